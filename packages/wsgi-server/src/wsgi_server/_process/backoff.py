"""How soon a worker that died may be replaced."""

from __future__ import annotations

import math
from typing import Final

#: Replacements that may follow each other at once, and how fast that allowance returns.
BURST: Final = 5


PER_SECOND: Final = 5.0


#: A worker that was ready for less than this fell over its own feet, in seconds.
STABLE: Final = 0.25


#: The longest wait between two attempts, in seconds.
LONGEST: Final = 30.0


class Backoff:
    """How soon dead workers may be replaced.

    Five deaths per second are replaced at once. A worker that never became ready makes
    every next attempt wait twice as long, up to 30 s; so does one that died right after it
    had, once several did within seconds: one that somebody kills is not a broken one.
    """

    def __init__(self) -> None:
        self._allowance = float(BURST)
        self._counted = 0.0
        self._failures = 0
        self._short_lives = 0.0
        #: Monotonic seconds before which nothing may be spawned.
        self.until = 0.0

    def died(self, now: float, served: float | None) -> None:
        """A worker ended unasked; `served` is how long it was ready, None for never."""
        elapsed, self._counted = now - self._counted, now
        self._allowance = min(float(BURST), self._allowance + elapsed * PER_SECOND) - 1
        if self._allowance < 0:
            self._wait(now, -self._allowance / PER_SECOND)
        if served is None:
            self._failures += 1
            self._wait(now, _doubled(self._failures - 1))
            return
        self._failures = 0
        if served < STABLE:
            self._short_lives = max(0.0, self._short_lives - elapsed) + 1
            if self._short_lives > BURST:
                self._wait(now, _doubled(self._short_lives - BURST))

    def _wait(self, now: float, delay: float) -> None:
        self.until = max(self.until, now + min(LONGEST, delay))


def _doubled(times: float) -> float:
    """The shortest wait, doubled so often; after the longest it makes no difference."""
    return min(LONGEST, math.pow(2.0, min(times, 10.0)) / PER_SECOND)
