"""Processes that an application forked, and that are to end when its server does.

A process that has left our process group (`setsid`, `setpgid`) is its own master, and is left
alone.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from typing import Any

from . import unpatched
from .signals import Signal


class Children:
    """Each held by a pidfd: its number may be another's when it has ended."""

    def __init__(self) -> None:
        self._pids: dict[int, int] = {}
        self._epoll: Any = None

    def __bool__(self) -> bool:
        return bool(self._pids)

    def add(self, pid: int) -> None:
        """Remembers that process, unless it has ended."""
        self.prune()
        # ESRCH: it has; ENOSYS, EMFILE: nothing can be held here.
        with contextlib.suppress(OSError):
            fd = os.pidfd_open(pid)
            self._pids[fd] = pid
            if self._epoll is None:
                self._epoll = unpatched.epoll()
            self._epoll.register(fd, select.EPOLLIN)

    def fds(self) -> list[int]:
        """What is polled, the first, and what stands for the processes."""
        return [] if self._epoll is None else [self._epoll.fileno(), *self._pids]

    def prune(self, seconds: float = 0) -> None:
        """Forgets those that have ended; waits so long for the first."""
        if self._pids:
            for fd, _ in self._epoll.poll(seconds):
                self._forget(fd)

    def send(self, signum: Signal) -> None:
        """Signals those that live and are in our process group; forgets the others."""
        self.prune()
        for fd, pid in list(self._pids.items()):
            # ESRCH: it has ended meanwhile. EPERM: it has become somebody else's.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if os.getpgid(pid) == os.getpgrp():
                    signal.pidfd_send_signal(fd, signum)
                    continue
            self._forget(fd)

    def end(self, seconds: float) -> None:
        """Asks them to end, and ends after `seconds` those that have not."""
        deadline = time.monotonic() + seconds
        self.send(Signal.SIGTERM)
        while self._pids and (left := deadline - time.monotonic()) > 0:
            self.prune(left)
        self.send(Signal.SIGKILL)
        self.close()

    def close(self) -> None:
        """Forgets them all."""
        for fd in list(self._pids):
            self._forget(fd)
        if self._epoll is not None:
            self._epoll.close()
            self._epoll = None

    def _forget(self, fd: int) -> None:
        del self._pids[fd]
        os.close(fd)
