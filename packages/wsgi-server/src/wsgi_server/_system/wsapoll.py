"""`select.poll` for Windows, whose Python has `select` alone, for 512 sockets at most."""

from __future__ import annotations

import ctypes
import errno
import os
from typing import Any, Final

from .platform import HUP, IN, OUT

#: Milliseconds before those are asked again who have only closed their side.
_NAP: Final = 20
_INFINITE: Final = 0xFFFFFFFF


class _PollFd(ctypes.Structure):
    _fields_ = (
        ("fd", ctypes.c_size_t),
        ("events", ctypes.c_short),
        ("revents", ctypes.c_short),
    )


class WsaPoll:
    """Sockets alone. Whoever changes what is polled does it in the thread that polls."""

    def __init__(self) -> None:
        self._winsock, self._kernel = _libraries()
        self._masks: dict[int, int] = {}
        self._table: Any = None

    def register(self, fd: int, eventmask: int = IN | OUT) -> None:
        """As `select.poll.register`."""
        self._masks[fd] = eventmask & (IN | OUT)
        self._table = None

    def modify(self, fd: int, eventmask: int) -> None:
        """As `select.poll.modify`."""
        if fd not in self._masks:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        self.register(fd, eventmask)

    def unregister(self, fd: int) -> None:
        """As `select.poll.unregister`."""
        del self._masks[fd]
        self._table = None

    def poll(self, timeout: float | None = None) -> list[tuple[int, int]]:
        """As `select.poll.poll`, in milliseconds."""
        wait = -1 if timeout is None or timeout < 0 else int(timeout)
        if not self._masks:
            self._kernel.Sleep(_INFINITE if wait < 0 else wait)
            return []
        if self._table is None:
            rows = [_PollFd(fd, mask) for fd, mask in self._masks.items()]
            self._table = (_PollFd * len(rows))(*rows)
        count = self._winsock.WSAPoll(self._table, len(self._table), wait)
        if count < 0:
            code = self._winsock.WSAGetLastError()
            raise OSError(code, f"WSAPoll: error {code}")
        if not count:
            return []
        found = [(row.fd, row.revents) for row in self._table if row.revents]
        # Whatever is asked, Windows reports who has closed its side. A client that is slow
        # to take what it is sent may have done that, and must not keep a loop busy.
        kept = [
            (fd, mask) for fd, mask in found if mask != HUP or self._masks[fd] != OUT
        ]
        if not kept:
            self._kernel.Sleep(_NAP)
        return kept


def _libraries() -> tuple[Any, Any]:
    load: Any = vars(ctypes)["WinDLL"]
    winsock = load("ws2_32")
    winsock.WSAPoll.argtypes = (ctypes.c_void_p, ctypes.c_ulong, ctypes.c_int)
    return winsock, load("kernel32")
