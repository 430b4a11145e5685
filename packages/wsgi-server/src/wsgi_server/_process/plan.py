"""Who lives and who goes: decisions as pure functions of the workers there are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar


class Member(Protocol):
    """What a decision needs to know of a worker."""

    @property
    def worker_id(self) -> int:
        """Its number, from 1; two generations use the same numbers."""

    @property
    def generation(self) -> int:
        """The configuration it serves."""

    @property
    def ready(self) -> bool:
        """It accepts connections."""

    @property
    def stopping(self) -> bool:
        """It was told to go, or goes by itself."""

    @property
    def due(self) -> bool:
        """It asked to be replaced (its age, its requests, its size)."""


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start a worker."""

    worker_id: int
    generation: int


M = TypeVar("M", bound=Member)


@dataclass(frozen=True)
class Stop(Generic[M]):
    """Tell a worker to drain and leave."""

    worker: M


def plan(
    workers: Sequence[M],
    wanted: int,
    generation: int,
    *,
    candidate: tuple[int, int] | None = None,
) -> list[Spawn | Stop[M]]:
    """What to do next, so that `wanted` workers of `generation` serve.

    Old workers go only as new ones report ready. While a reload is under way `candidate`
    is the new generation and the workers wanted of it: it is raised beside the present
    one, which stays whole until the candidate has been accepted; only what an earlier
    reload left over goes meanwhile. A worker that is due goes when its successor is ready,
    one at a time.
    """
    fresh = _serving(workers, generation)
    ready = [w for w in fresh if w.ready]
    steps: list[Spawn | Stop[M]] = [*_missing(workers, wanted, generation)]
    coming = generation if candidate is None else candidate[0]
    old = [
        w
        for w in workers
        if w.generation not in (generation, coming) and not w.stopping
    ]
    # Those that serve nobody yet go at once, the others one by one.
    going = [w for w in old if not w.ready]
    serving = [w for w in old if w.ready]
    going += serving[: max(0, len(serving) + len(ready) - wanted)]
    steps += [Stop(w) for w in going]
    if candidate is not None:
        return [*steps, *_missing(workers, candidate[1], coming)]
    surplus = len(ready) - wanted
    if surplus > 0:
        steps += [Stop(w) for w in _leavers(ready)[:surplus]]
    elif len(fresh) == wanted == len(ready):
        steps += _successor(workers, fresh, generation)
    return steps


def complete(workers: Sequence[Member], wanted: int, generation: int) -> bool:
    """Whether all the workers wanted of `generation` are ready."""
    return sum(w.ready for w in _serving(workers, generation)) >= wanted


def _serving(workers: Sequence[M], generation: int) -> list[M]:
    return [w for w in workers if w.generation == generation and not w.stopping]


def _missing(
    workers: Sequence[Member], wanted: int, generation: int
) -> Sequence[Spawn]:
    taken = {w.worker_id for w in _serving(workers, generation)}
    free = [number for number in range(1, wanted + 1) if number not in taken]
    return [Spawn(number, generation) for number in free[: wanted - len(taken)]]


def _leavers(ready: Sequence[M]) -> list[M]:
    """Who goes first: whoever has a successor, then who is due, then high numbers."""
    numbers = [w.worker_id for w in ready]
    return sorted(
        ready,
        key=lambda w: (
            not (w.due and numbers.count(w.worker_id) > 1),
            not w.due,
            -w.worker_id,
        ),
    )


def _successor(
    workers: Sequence[Member], fresh: Sequence[Member], generation: int
) -> Sequence[Spawn]:
    if any(w.due and w.stopping for w in workers):
        # The last one still drains: at most one worker more than wanted at any time.
        return []
    return [Spawn(w.worker_id, generation) for w in fresh if w.due][:1]


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
