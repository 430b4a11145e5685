"""How soon a worker may be replaced: one ration for all, and a history for each service.

Values, changed by what happened: `now` is monotonic seconds, and nothing here looks at a
clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

#: Replacements in any one second, of all services and for every reason.
PER_SECOND: Final = 5
#: The shortest and the longest wait between two attempts that do not help, in seconds.
SHORTEST: Final = 0.2
LONGEST: Final = 30.0
#: A worker that was ready for less than this fell over its own feet, in seconds.
STABLE: Final = 0.25
#: So many of them within seconds are no accident.
ACCIDENTS: Final = 5
#: The longest wait of a service without any worker where the last one did serve, in seconds.
ALONE: Final = 1.0
#: A worker that is due sooner after it was ready was replaced for nothing, in seconds.
WORTHWHILE: Final = 1.0


@dataclass(frozen=True, slots=True)
class Ration:
    """The times of the last replacements."""

    spent: tuple[float, ...] = ()

    @property
    def next(self) -> float:
        """When the next replacement may start."""
        return self.spent[0] + 1.0 if len(self.spent) == PER_SECOND else -math.inf

    def spend(self, now: float) -> Ration:
        """One replacement starts."""
        return Ration((*self.spent, now)[-PER_SECOND:])


@dataclass(frozen=True, slots=True)
class History:
    """What became of one service's workers, as far as it tells how soon to try again."""

    #: Workers in a row that never became ready.
    failures: int = 0
    #: Workers that died right after they had been ready; one is forgotten every second.
    young: float = 0.0
    counted: float = 0.0
    #: Replacements in a row that helped nobody.
    futile: int = 0
    #: When a worker that is missing may be started.
    missing_at: float = -math.inf
    #: When a successor may be started of a worker that serves and is due.
    successor_at: float = -math.inf

    @property
    def doubtful(self) -> bool:
        """Whether the next worker is an attempt, which the others should wait for."""
        return self.failures > 0 or self.young > ACCIDENTS

    def became_ready(self) -> History:
        """An attempt has led to a worker that serves."""
        return replace(self, failures=0)

    def died(self, now: float, served: float | None, *, alone: bool = False) -> History:
        """A worker ended unasked; `served` is how long it was ready, None for never.

        One that never was makes every next attempt wait twice as long, up to 30 s. So
        does one that died right after it had been, once several did within seconds: one
        that somebody kills is not a broken one. `alone` says that the service has no
        other worker; one that does serve for a moment is then better than none.
        """
        if served is None:
            at = max(self.missing_at, now + _doubled(self.failures))
            return replace(self, failures=self.failures + 1, missing_at=at)
        young = max(0.0, self.young - (now - self.counted))
        at = -math.inf
        if served < STABLE:
            young += 1
            if young > ACCIDENTS:
                wait = _doubled(young - ACCIDENTS)
                at = now + min(ALONE, wait) if alone else now + wait
        return replace(self, failures=0, young=young, counted=now, missing_at=at)

    def replaced(self, now: float, served: float, startup: float) -> History:
        """A successor starts of a worker that asked for it `served` seconds after ready.

        One that was due at once, or sooner than its start took (`startup`), makes the
        next wait: what it asks for does not come about by replacing it.
        """
        if served >= max(WORTHWHILE, startup):
            return replace(self, futile=0, successor_at=-math.inf)
        at = now + _doubled(self.futile)
        return replace(self, futile=self.futile + 1, successor_at=at)

    def next(self, *, successor: bool) -> float:
        """When a worker may be started."""
        return max(self.missing_at, self.successor_at) if successor else self.missing_at


def _doubled(times: float) -> float:
    """The shortest wait, doubled so often; after the longest it makes no difference."""
    return min(LONGEST, SHORTEST * math.pow(2.0, min(times, 10.0)))
