"""What one thread waits at, once, until another one opens it.

No lock is taken on the way that a signal handler could meet, so a handler may wait at a gate
of its own while the code that it interrupted waits at another.
"""

from __future__ import annotations

import sys
from time import monotonic
from typing import Protocol

from wsgi_server._system import unpatched
from wsgi_server._system.edges import socket_pair
from wsgi_server._system.platform import PATIENT_LOCK


class Gate(Protocol):
    """Opened at most once, by whatever thread; waited at by the thread that made it."""

    def open(self) -> None:
        """Lets who waits go on."""

    def wait(self, deadline: float) -> bool:
        """Returns when it is open; false at `deadline` (monotonic seconds)."""

    def close(self) -> None:
        """Gives back what it holds; it is not opened any more."""


def new_gate() -> Gate:
    """A gate for the calling thread, which lets greenlets run where the thread has them.

    Raises `RuntimeError` in the hub of eventlet itself, which cannot wait.
    """
    if "eventlet.hubs" in sys.modules:
        from eventlet import hubs

        if hasattr(hubs._threadlocal, "hub"):
            return _GreenGate()
    return _NativeGate()


class _NativeGate:
    """For a thread that may sleep. Signal handlers of Python run meanwhile."""

    def __init__(self) -> None:
        self._lock = unpatched.Lock()
        self._lock.acquire()

    def open(self) -> None:
        self._lock.release()

    def wait(self, deadline: float) -> bool:
        # The longest wait that every platform knows, where none has to be shorter.
        longest = PATIENT_LOCK or 1e6
        while not self._lock.acquire(
            timeout=min(max(0.0, deadline - monotonic()), longest)
        ):
            if monotonic() >= deadline:
                return False
        return True

    def close(self) -> None:
        """Has nothing to give back."""


class _GreenGate:
    """For a greenlet: its hub hears of other threads by descriptors alone."""

    def __init__(self) -> None:
        from eventlet import hubs
        from greenlet import getcurrent

        if getcurrent() is hubs.get_hub().greenlet:
            raise RuntimeError("eventlet's hub cannot wait: call this in a greenlet")
        self._reader, self._writer = socket_pair()

    def open(self) -> None:
        # Its end makes the other one readable.
        self._writer.close()

    def wait(self, deadline: float) -> bool:
        from eventlet import hubs

        left = deadline - monotonic()
        timeout = None if left == float("inf") else max(0.0, left)
        try:
            hubs.trampoline(
                self._reader, read=True, timeout=timeout, timeout_exc=TimeoutError
            )
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        self._reader.close()
        self._writer.close()
