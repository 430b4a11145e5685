"""Which of eventlet's hubs a thread waits in."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
import weakref
from typing import Any, Final

from wsgi_server._system import forks, unpatched
from wsgi_server.errors import ServerError

#: Hubs that work, the fastest first; the first that the platform has is taken.
HUBS: Final = ("epolls", "kqueue", "poll", "selects")
_COUNTING: Final = "eventlet.hubs.selects"


def use_best_hub() -> None:
    """Gives the calling thread the best of eventlet's hubs that the platform has.

    Raises `ServerError` when there is none.
    """
    from eventlet import hubs

    for name in HUBS:
        module = importlib.import_module(f"eventlet.hubs.{name}")
        if module.is_available():
            hubs.use_hub(module)
            return
    raise ServerError(
        f"eventlet has no hub for this platform (tried {', '.join(HUBS)})"
    )


def lift_limit(hub: Any) -> Any:
    """Returns `hub`; that of Windows, which takes 512 sockets, now takes any number."""
    if unpatched.poll.__module__ == "select" or type(hub).__module__ != _COUNTING:
        return hub
    # What waits in it already goes on waiting there.
    hub.__class__ = importlib.import_module("wsgi_server._engines.wsapoll_hub").Hub
    return hub


def renew_hub(*, green: bool) -> None:
    """In a forked child: a hub of its own, for that of the parent shares its epoll set.

    With `green` there is a hub afterwards in any case: it belongs to the main greenlet,
    where the engine runs, whoever needs it first.

    It is of the kind that the program chose, or EVENTLET_HUB in the environment; where
    that is the usual one, `epoll_hub` takes its place.
    """
    if not green and "eventlet.hubs" not in sys.modules:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from eventlet import hubs
    here = hubs._threadlocal
    if hasattr(here, "hub"):
        here.Hub = type(here.hub)
    elif not green:
        return
    elif not hasattr(here, "Hub"):
        hubs.use_hub()
    module = sys.modules[here.Hub.__module__]
    if module.__name__ == "eventlet.hubs.epolls" and "EVENTLET_HUB" not in os.environ:
        module = importlib.import_module("wsgi_server._engines.epoll_hub")
    hubs.use_hub(module)
    leave_on_fork(hubs.get_hub())


def leave_on_fork(hub: Any) -> None:
    """Has what the application forks wait in another hub than this one."""
    if hub in _left_on_fork:
        return
    _left_on_fork.add(hub)

    def leave(_keep: object) -> None:
        from eventlet import hubs

        if getattr(hubs._threadlocal, "hub", None) is hub:
            hubs.use_hub(sys.modules[type(hub).__module__])
        # What a hub polls is known of the epoll one; others hold no descriptor.
        poll: Any = getattr(hub, "poll", None)
        if hasattr(poll, "close"):
            poll.close()

    forks.on_fork(leave)


_left_on_fork: Final[weakref.WeakSet[Any]] = weakref.WeakSet()
