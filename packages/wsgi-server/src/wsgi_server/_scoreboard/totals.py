"""Totals of a service: what its workers have counted, those that are gone included.

Nothing in here ever goes back, whatever workers come and go and whenever it is read: a
worker's counts are added to those of the retired ones before its slot is free again.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from .counts import (
    COUNTERS,
    DURATION_BOUNDS,
    OVERFLOW,
    QUEUE_BOUNDS,
    Counts,
    Key,
)

#: Kinds of requests that a service shows at most; the first ones keep their place.
SHOWN: Final = 256


@dataclass
class Histogram:
    """How many fell between two bounds, the last beyond all of them; and their sum."""

    bounds: tuple[float, ...]
    buckets: list[int]
    sum: float = 0.0

    @classmethod
    def over(cls, bounds: tuple[float, ...]) -> Histogram:
        """An empty one over `bounds`."""
        return cls(bounds, [0] * (len(bounds) + 1))

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(self.buckets)

    def include(self, buckets: Iterable[int], total: float) -> None:
        """Adds others over the same bounds."""
        self.buckets = list(map(operator.add, self.buckets, buckets))
        self.sum += total

    def quantile(self, share: float) -> float | None:
        """What that share of them stays under, interpolated; None where there are none.

        As Prometheus' `histogram_quantile`: in the last bucket it is the last bound.
        """
        if not self.count:
            return None
        bounds, rank, below = self.bounds, share * self.count, 0
        for place, have in enumerate(self.buckets):
            if have and below + have >= rank:
                if place == len(bounds):
                    return bounds[-1]
                start = bounds[place - 1] if place else 0.0
                return start + (bounds[place] - start) * (rank - below) / have
            below += have
        return bounds[-1]


@dataclass
class Reading:
    """The totals of one service at one moment."""

    counters: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(COUNTERS, 0.0)
    )
    queue: Histogram = field(default_factory=lambda: Histogram.over(QUEUE_BOUNDS))
    durations: dict[Key, Histogram] = field(default_factory=dict)

    @property
    def duration(self) -> Histogram:
        """Those of all kinds of requests together."""
        total = Histogram.over(DURATION_BOUNDS)
        for one in self.durations.values():
            total.include(one.buckets, one.sum)
        return total

    def include(self, other: Reading) -> None:
        """Adds the totals of others."""
        for name, value in other.counters.items():
            self.counters[name] += value
        self.queue.include(other.queue.buckets, other.queue.sum)
        for key, one in other.durations.items():
            if key not in self.durations:
                self.durations[key] = Histogram.over(DURATION_BOUNDS)
            self.durations[key].include(one.buckets, one.sum)


class Totals:
    """The counts of a service's workers, of those that are there and of all before."""

    def __init__(self) -> None:
        self._retired = Reading()
        #: Kinds of requests that have a place of their own, for good.
        self._shown: set[Key] = set()

    def read(self, live: Iterable[Counts]) -> Reading:
        """The totals with `live`, the counts of the workers there are."""
        reading = Reading()
        reading.include(self._retired)
        for counts in live:
            self._add(counts, reading)
        return reading

    def retire(self, counts: Counts) -> None:
        """Keeps what a worker has counted that has ended, and clears its counts."""
        self._add(counts, self._retired)
        counts.clear()

    def _add(self, counts: Counts, reading: Reading) -> None:
        for name, value in zip(COUNTERS, counts.counters(), strict=True):
            reading.counters[name] += value
        reading.queue.include(*counts.queue())
        for key, buckets, total in counts.durations():
            place = self._place(key)
            if place not in reading.durations:
                reading.durations[place] = Histogram.over(DURATION_BOUNDS)
            reading.durations[place].include(buckets, total)

    def _place(self, key: Key) -> Key:
        if key in self._shown:
            return key
        if len(self._shown) >= SHOWN:
            return OVERFLOW
        self._shown.add(key)
        return key
