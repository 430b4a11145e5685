"""Patches the process, and notes who in the server calls what was patched.

Every function and class that eventlet has put into the standard library is replaced by one
that looks at its caller first. Calls from the server, through whatever modules of others, are
written to the file `NOTES`; those of an application below the server are its own business.
"""

from __future__ import annotations

import eventlet

eventlet.monkey_patch()

import functools  # noqa: E402
import importlib  # noqa: E402
import inspect  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable, Iterable  # noqa: E402
from types import FrameType  # noqa: E402
from typing import Any, Final  # noqa: E402

import wsgi_server  # noqa: E402
from apps import exercise  # noqa: E402
from apps.exercise import Environ, StartResponse  # noqa: E402
from oslo_config import cfg  # noqa: E402

#: The modules of eventlet, and those of the standard library that they stand for.
GREEN: Final = {
    "os": "os",
    "select": "select",
    "selectors": "selectors",
    "socket": "socket",
    "subprocess": "subprocess",
    "thread": "_thread",
    "threading": "threading",
    "time": "time",
    "Queue": "queue",
}
#: What only tells something. Frames and threads are asked for all the time.
HARMLESS: Final = {
    "get_ident",
    "current_thread",
    "currentThread",
    "_get_main_thread_ident",
    "_count",
    "stack_size",
    "local",
    "_local",
    "timeout",
    "ssl",
    "LockType",
    "_active",
    "_limbo",
}

write = eventlet.patcher.original("os").write
NOTES = eventlet.patcher.original("os").open(
    os.environ["NOTES"], os.O_WRONLY | os.O_CREAT | os.O_APPEND
)


def culprit() -> str | None:
    """The module of the server on whose behalf this call is made."""
    # Behind this one, `note` and the wire.
    frame: FrameType | None = sys._getframe(3)
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name.startswith("wsgi_server."):
            return f"{name}:{frame.f_lineno}"
        if name.startswith(("apps.", "eventlet", "importlib")):
            return None
        frame = frame.f_back
    return None


def note(what: str) -> None:
    if (found := culprit()) is not None:
        write(NOTES, f"{what} by {found}\n".encode())


def wired(what: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **keywords: Any) -> Any:
        note(what)
        return function(*args, **keywords)

    return call


def wire_class(what: str, kind: Any) -> None:
    """Notes those who make one. Where the class cannot be changed it is made of C."""
    make = kind.__init__

    def __init__(self: Any, *args: Any, **keywords: Any) -> None:
        note(what)
        make(self, *args, **keywords)

    try:
        kind.__init__ = __init__
    except TypeError:
        return


def wire() -> None:
    for green, name in GREEN.items():
        patched = importlib.import_module(f"eventlet.green.{green}").__patched__
        module = importlib.import_module(name)
        for attribute in set(patched) - HARMLESS:
            found = getattr(module, attribute, None)
            if inspect.isclass(found):
                wire_class(f"{name}.{attribute}", found)
            elif callable(found):
                setattr(module, attribute, wired(f"{name}.{attribute}", found))
    hubs: Any = importlib.import_module("eventlet.hubs")
    # Where everything green ends that waits for a descriptor.
    hubs.trampoline = wired("trampoline", hubs.trampoline)
    semaphore = importlib.import_module("eventlet.semaphore").Semaphore
    acquire = semaphore.acquire

    def acquire_or_tell(self: Any, *args: Any, **keywords: Any) -> Any:
        if self.counter <= 0:
            note("a lock that is taken")
        return acquire(self, *args, **keywords)

    semaphore.acquire = acquire_or_tell


wire()


def app(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    """As `apps.exercise`; `/control` has the server step on a wire."""
    if environ["PATH_INFO"] == "/control":
        conf = cfg.ConfigOpts()
        wsgi_server.opts.register_opts(conf)
        conf([], default_config_files=[])
        wsgi_server.get_socket(conf, default_port=0).close()
    return exercise.app(environ, start)
