"""What else a loop waits for: descriptors that are watched for somebody, and timers.

The loop outlives whatever a callback raises: one that ends over it would hear no signal any
more, and one that calls again at once would do nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import monotonic

from wsgi_server._system.edges import Poller
from wsgi_server._system.platform import IN

from .faults import Faults

Callback = Callable[[], object]


class Callbacks:
    """By descriptor, in the poller of a loop."""

    def __init__(
        self,
        poller: Poller,
        faults: Faults,
        call_at: Callable[[float, Callback], object],
    ) -> None:
        self._poller = poller
        self._faults = faults
        self._call_at = call_at
        self._callbacks: dict[int, Callback] = {}

    def __contains__(self, fd: int) -> bool:
        return fd in self._callbacks

    def add(self, fd: int, callback: Callback) -> None:
        """Has `callback` called whenever `fd` is readable."""
        self._callbacks[fd] = callback
        self._poller.register(fd, IN)

    def remove(self, fd: int) -> None:
        """Forgets `fd`. Harmless where it is not watched."""
        if self._callbacks.pop(fd, None) is not None:
            self._poller.unregister(fd)

    def call(self, fd: int) -> None:
        """`fd` is readable; where its callback fails, it rests."""
        try:
            self._callbacks[fd]()
        except Exception:  # noqa: BLE001  logged there
            rest = self._faults.note("a callback of the loop failed")
            if fd in self._callbacks:
                self._poller.modify(fd, 0)
                self._call_at(monotonic() + rest, partial(self._watch_again, fd))

    def fire(self, callback: Callback) -> None:
        """Calls what is due."""
        try:
            callback()
        except Exception:  # noqa: BLE001  logged there
            self._faults.note("a timer of the loop failed")

    def _watch_again(self, fd: int) -> None:
        if fd in self._callbacks:
            self._poller.modify(fd, IN)
