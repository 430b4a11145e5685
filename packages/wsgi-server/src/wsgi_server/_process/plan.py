"""Who lives and who goes: decisions as pure functions of the workers there are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


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
    #: Beside a worker that serves and asked to be replaced.
    successor: bool = False


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
    coming: tuple[int, int] | None = None,
) -> list[Spawn | Stop[M]]:
    """What to do next, so that `wanted` workers of `generation` serve.

    Old workers go only as new ones report ready. While a reload is under way `coming` is
    the new generation and the workers wanted of it: it is raised beside the present one,
    which stays whole until the coming one has been accepted; only what an earlier
    reload left over goes meanwhile. A worker that is due goes when its successor is ready,
    one at a time.
    """
    fresh = _serving(workers, generation)
    ready = [w for w in fresh if w.ready]
    steps: list[Spawn | Stop[M]] = [*_missing(workers, wanted, generation)]
    newest = generation if coming is None else coming[0]
    old = [
        w
        for w in workers
        if w.generation not in (generation, newest) and not w.stopping
    ]
    # Those that serve nobody yet go at once, the others one by one.
    going = [w for w in old if not w.ready]
    serving = [w for w in old if w.ready]
    going += serving[: max(0, len(serving) + len(ready) - wanted)]
    steps += [Stop(w) for w in going]
    if coming is not None:
        return [*steps, *_missing(workers, coming[1], newest)]
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
    return [Spawn(w.worker_id, generation, successor=True) for w in fresh if w.due][:1]


def in_turn(
    needs: Iterable[tuple[str, int, Sequence[Spawn]]],
) -> list[tuple[str, Spawn]]:
    """Whose turn it is where not every worker can be started at once.

    `needs` are services, the workers that each has, and those that it lacks. Missing
    workers come before successors, and the service that has the fewest comes first.
    """
    ranked = [
        (spawn.successor, has + number, name, spawn)
        for name, has, spawns in needs
        for number, spawn in enumerate(spawns)
    ]
    return [(name, spawn) for *_, name, spawn in sorted(ranked, key=lambda r: r[:2])]
