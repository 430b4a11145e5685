"""What the server itself calls to wait, write, fork and lock: never that of eventlet.

`eventlet.monkey_patch()` puts functions into the modules of the standard library that switch
to another greenlet instead of waiting. The server may not use them: a log that stalls would
hold requests up, a callback of the hub cannot wait at all, the supervisor has no hub, and a
loop over `os.write` goes round for ever where nobody reads. So every module takes what
eventlet replaces from here, as in `unpatched.write(fd, data)`.

The names are bound when this module is imported. What patches later, an application in its
worker, changes the modules and not these; what has patched before, a program that embeds the
server, is gone round with the copies that eventlet keeps of the originals.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

__all__ = [
    "Lock",
    "SimpleQueue",
    "Socket",
    "epoll",
    "fork",
    "get_ident",
    "getaddrinfo",
    "open",
    "poll",
    "popen",
    "read",
    "select",
    "sleep",
    "something_is_green",
    "start_new_thread",
    "threads_are_green",
    "wait4",
    "waitpid",
    "write",
]


def _is_patched(what: str) -> bool:
    patcher = sys.modules.get("eventlet.patcher")
    return patcher is not None and bool(patcher.is_monkey_patched(what))


def threads_are_green() -> bool:
    """Whether somebody has made `threading` eventlet's."""
    return _is_patched("thread")


def something_is_green() -> bool:
    """Whether somebody has made any of the modules eventlet's that wait."""
    return any(map(_is_patched, ("os", "select", "socket", "thread", "time")))


def _original(name: str) -> Any:
    if _is_patched(name.strip("_")):
        return sys.modules["eventlet.patcher"].original(name)
    return importlib.import_module(name)


def popen(*args: Any, **keywords: Any) -> Any:
    """As `subprocess.Popen`, which only those import who start something."""
    return _original("subprocess").Popen(*args, **keywords)


if TYPE_CHECKING:
    from _thread import get_ident, start_new_thread
    from os import fork, open, read, wait4, waitpid, write  # noqa: A004  as in os
    from queue import SimpleQueue
    from select import epoll, poll, select
    from socket import getaddrinfo
    from socket import socket as Socket
    from threading import Lock
    from time import sleep
else:
    _os, _select, _socket = map(_original, ("os", "select", "socket"))
    open = _os.open  # noqa: A001  as in os
    read, write = _os.read, _os.write
    getaddrinfo, Socket = _socket.getaddrinfo, _socket.socket
    # A lock of C. Whoever holds it must not let another greenlet run.
    Lock = _original("_thread").allocate_lock
    start_new_thread = _original("_thread").start_new_thread
    get_ident = _original("_thread").get_ident
    # Of C as well; eventlet replaces the name in `queue`.
    SimpleQueue = importlib.import_module("_queue").SimpleQueue
    sleep = _original("time").sleep
    select = _select.select
    # Not on every platform.
    fork, waitpid = getattr(_os, "fork", None), _os.waitpid
    wait4 = getattr(_os, "wait4", None)
    epoll = getattr(_select, "epoll", None)
    poll = getattr(_select, "poll", None)
    if poll is None:
        poll = importlib.import_module("wsgi_server._system.wsapoll").WsaPoll
