"""How soon workers are replaced: the ration of all, and each service's history."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsgi_server._process.pace.backoff import (
    ACCIDENTS,
    ALONE,
    LONGEST,
    PER_SECOND,
    SHORTEST,
    History,
    Ration,
)
from wsgi_server._process.pace.replacements import Replacements
from wsgi_server._process.plan import Spawn, plan

#: Doubled until it is the longest.
WAITS = [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, LONGEST, LONGEST]


def test_five_are_replaced_at_once_and_the_sixth_a_second_after_the_first() -> None:
    ration = Ration()
    for number in range(PER_SECOND):
        assert ration.next <= 100.0
        ration = ration.spend(100.0 + number / 10)
    assert ration.next == 101.0
    assert ration.spend(101.0).next == 101.1


@given(st.lists(st.floats(0, 3), max_size=60))
def test_no_second_sees_more_than_five(pauses: list[float]) -> None:
    """Whenever somebody asks: a replacement starts as soon as the ration has one."""
    ration, now, started = Ration(), 100.0, []
    for pause in pauses:
        now = max(now + pause, ration.next)
        ration = ration.spend(now)
        started.append(now)
    for index, first in enumerate(started):
        later = [at for at in started[index:] if at < first + 1.0]
        assert len(later) <= PER_SECOND


def test_workers_that_never_serve_are_tried_more_and_more_rarely() -> None:
    history, now, waits = History(), 100.0, []
    for _ in WAITS:
        history = history.died(now, served=None)
        waits.append(round(history.missing_at - now, 3))
        now = history.missing_at
    assert waits == WAITS


@pytest.mark.parametrize("served", [None, 0.1])
def test_a_worker_that_never_lives_is_tried_for_ever(served: float | None) -> None:
    history = History()
    for _ in range(1100):
        history = history.died(100.0, served)
    assert history.next(successor=False) == 100.0 + LONGEST


def test_workers_that_die_young_are_tried_more_and_more_rarely_after_a_while() -> None:
    history, now, waits = History(), 100.0, []
    for _ in range(12):
        history = history.died(now, served=0.1)
        waits.append(round(max(0.0, history.missing_at - now), 3))
        now = max(now + 0.3, history.missing_at)
    assert waits[:ACCIDENTS] == [0.0] * ACCIDENTS
    assert 0.5 < waits[-1] <= LONGEST


def test_young_ones_that_die_now_and_then_are_replaced_at_once() -> None:
    history = History()
    for number in range(100):
        history = history.died(100.0 + number, served=0.1)
        assert history.next(successor=False) == -math.inf


def test_a_worker_that_served_ends_the_series_of_failures() -> None:
    history = History()
    for _ in range(9):
        history = history.died(100.0, served=None)
    history = history.died(101.0, served=60.0)
    # Nobody serves any more perhaps: the next attempt is at once.
    assert history.next(successor=False) == -math.inf
    assert history.died(102.0, served=None).missing_at == 102.0 + SHORTEST


def test_a_service_without_workers_waits_a_second_where_the_last_one_did_serve() -> (
    None
):
    history = History()
    for _ in range(20):
        history = history.died(100.0, served=0.1)
    assert history.missing_at == 100.0 + LONGEST
    assert history.died(100.0, served=0.1, alone=True).missing_at == 100.0 + ALONE


def test_a_replacement_that_does_not_help_is_tried_more_and_more_rarely() -> None:
    history, now, waits = History(), 100.0, []
    for _ in WAITS:
        history = history.replaced(now, served=0.0, startup=0.1)
        waits.append(round(history.successor_at - now, 3))
        now = history.successor_at
    assert waits == WAITS
    # Whoever died is another matter.
    assert history.next(successor=False) == -math.inf
    assert history.next(successor=True) == now


@pytest.mark.parametrize(
    ("served", "startup", "helped"),
    [(1.0, 0.5, True), (0.9, 0.5, False), (5.0, 6.0, False), (6.0, 6.0, True)],
)
def test_a_replacement_helps_when_the_worker_served_longer_than_its_start_took(
    served: float, startup: float, helped: bool
) -> None:
    history = History(futile=4).replaced(100.0, served, startup)
    assert (history.futile == 0) is helped
    assert (history.next(successor=True) <= 100.0) is helped


@given(
    st.lists(
        st.tuples(
            st.floats(0, 40), st.none() | st.floats(0, 5), st.booleans(), st.booleans()
        ),
        max_size=40,
    )
)
def test_whatever_happened_the_next_attempt_is_half_a_minute_away_at_most(
    events: list[tuple[float, float | None, bool, bool]],
) -> None:
    history, now = History(), 100.0
    for pause, served, alone, due in events:
        now += pause
        if due:
            history = history.replaced(now, served or 0.0, startup=0.5)
        else:
            history = history.died(now, served, alone=alone)
        assert history.next(successor=True) <= now + LONGEST
        if served is not None and alone and not due:
            assert history.next(successor=False) <= now + ALONE


@dataclass
class W:
    """A worker of a simulated service."""

    worker_id: int
    started: float
    generation: int = 1
    ready_since: float | None = None
    stopping: bool = False
    due_reason: str | None = None
    due_after: float = 0.0

    @property
    def ready(self) -> bool:
        return self.ready_since is not None

    @property
    def due(self) -> bool:
        return self.due_reason is not None


def simulate(
    fate: str, seconds: float, *, wanted: int = 4, services: int = 1, seed: int = 1
) -> dict[str, list[float]]:
    """When each service's workers were started, after they were all there at 0."""
    dice = random.Random(seed)
    replacements, now = Replacements(), 0.0
    starts: dict[str, list[float]] = {}
    there = {
        f"s{index}": [W(n + 1, -9.0, ready_since=-8.0) for n in range(wanted)]
        for index in range(services)
    }
    while now < seconds:
        needs = []
        for name, workers in there.items():
            for worker in list(workers):
                if not worker.ready and fate != "crash":
                    worker.ready_since = now
                    replacements.became_ready(name)
                if fate == "due" and not worker.due:
                    worker.due_reason = "size"
                if fate == "die" and dice.random() < 0.9:
                    workers.remove(worker)
                    served: float | None = now - (worker.ready_since or 0.0)
                    replacements.died(name, now, served, alone=not workers)
                elif fate == "crash":
                    workers.remove(worker)
                    served = None if worker.ready_since is None else 60.0
                    replacements.died(name, now, served, alone=not workers)
            steps = plan(workers, wanted, 1)
            for step in steps:
                if not isinstance(step, Spawn):
                    workers.remove(step.worker)
            lacks = [step for step in steps if isinstance(step, Spawn)]
            needs.append((name, list(workers), lacks))
        for name, spawn in replacements.choose(needs, now):  # type: ignore[arg-type]
            starts.setdefault(name, []).append(now)
            there[name].append(W(spawn.worker_id, now))
        now += 0.05
    return starts


@pytest.mark.parametrize(
    ("fate", "most"),
    [
        # Half a minute holds seven doublings, and an attempt or two before them.
        pytest.param("due", 9, id="each is due as soon as it is ready"),
        pytest.param("crash", 9, id="none ever becomes ready"),
    ],
)
def test_what_does_not_help_is_tried_a_few_times_in_half_a_minute(
    fate: str, most: int
) -> None:
    starts = simulate(fate, 30.0)["s0"]
    assert 4 < len(starts) <= most
    pauses = [later - one for one, later in pairwise(starts)]
    assert pauses == sorted(pauses)


@pytest.mark.parametrize("seed", range(5))
def test_whatever_they_die_of_no_second_sees_more_than_five_and_nobody_goes_without(
    seed: int,
) -> None:
    starts = simulate("die", 20.0, services=3, seed=seed)
    every = sorted(at for times in starts.values() for at in times)
    for first in every:
        assert len([at for at in every if first <= at < first + 0.999]) <= PER_SECOND
    assert len(starts) == 3
    for times in starts.values():
        # Three services share five a second; a young death costs a second when alone.
        gaps = [later - one for one, later in pairwise(times)]
        assert max(gaps) < 3.0


def test_twenty_that_die_in_one_turn_are_replaced_five_each_second() -> None:
    replacements = Replacements()
    lacks = [Spawn(number + 1, 1) for number in range(20)]
    for _ in range(20):
        replacements.died("api", 100.0, 3600.0, alone=False)
    now, started = 100.0, []
    while lacks:
        chosen = replacements.choose([("api", [], lacks)], now)
        started += [now] * len(chosen)
        lacks = lacks[len(chosen) :]
        assert not lacks or replacements.due > now
        now = replacements.due
    assert started == [100.0] * 5 + [101.0] * 5 + [102.0] * 5 + [103.0] * 5
