"""Callbacks at a time, for a loop of our own."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable, Iterator


class Timer:
    """A callback at a time, until cancelled."""

    __slots__ = ("_callback",)

    def __init__(self, callback: Callable[[], object]) -> None:
        self._callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        """Makes it do nothing."""
        self._callback = None

    def fire(self) -> None:
        """Calls back, once."""
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()


class Timers:
    """Those that are set, from whatever thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()

    def add(
        self, deadline: float, callback: Callable[[], object]
    ) -> tuple[Timer, bool]:
        """A timer for `deadline` (monotonic seconds), and whether none comes sooner."""
        timer = Timer(callback)
        with self._lock:
            heapq.heappush(self._timers, (deadline, next(self._order), timer))
            return timer, self._timers[0][2] is timer

    def until_next(self, now: float) -> float | None:
        """Seconds until the next is due; None where there is none."""
        with self._lock:
            return max(0.0, self._timers[0][0] - now) if self._timers else None

    def due(self, now: float) -> Iterator[Timer]:
        """Takes out what is due, one after the other."""
        while True:
            with self._lock:
                if not self._timers or self._timers[0][0] > now:
                    return
                timer = heapq.heappop(self._timers)[2]
            yield timer
