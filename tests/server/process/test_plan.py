"""Who lives and who goes, as tables and as laws."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsgi_server._process.plan import Spawn, Stop, complete, in_turn, plan


@dataclass(frozen=True)
class W:
    """A worker as `plan` sees it."""

    worker_id: int
    generation: int = 1
    ready: bool = True
    stopping: bool = False
    due: bool = False


def starting(worker_id: int, generation: int = 1) -> W:
    return W(worker_id, generation, ready=False)


def leaving(worker_id: int, generation: int = 1, *, due: bool = False) -> W:
    return W(worker_id, generation, stopping=True, due=due)


def successor(worker_id: int) -> Spawn:
    return Spawn(worker_id, 1, successor=True)


def aged(worker_id: int) -> W:
    return W(worker_id, due=True)


@pytest.mark.parametrize(
    ("workers", "wanted", "steps"),
    [
        pytest.param([], 2, [Spawn(1, 1), Spawn(2, 1)], id="start"),
        pytest.param([starting(1), starting(2)], 2, [], id="wait for readiness"),
        pytest.param([W(1), W(2)], 2, [], id="all is well"),
        pytest.param([W(1), W(3)], 3, [Spawn(2, 1)], id="a number is reused"),
        pytest.param([leaving(1), W(2)], 2, [Spawn(1, 1)], id="one that leaves"),
        pytest.param([W(1)], 3, [Spawn(2, 1), Spawn(3, 1)], id="more wanted"),
        pytest.param([W(1), W(2), W(3)], 2, [Stop(W(3))], id="fewer wanted"),
        pytest.param([W(1), W(2), starting(3)], 2, [], id="fewer, one still starts"),
        pytest.param([W(1), aged(2)], 2, [successor(2)], id="due: successor first"),
        pytest.param([W(1), aged(2), starting(2)], 2, [], id="due: wait for it"),
        pytest.param([W(1), aged(2), W(2)], 2, [Stop(aged(2))], id="due: then stop"),
        pytest.param(
            [aged(1), aged(2)], 2, [successor(1)], id="two due: one at a time"
        ),
        pytest.param(
            [aged(1), aged(2), aged(2)],
            2,
            [Stop(aged(2))],
            id="whose successor is there",
        ),
        pytest.param(
            [aged(1), W(2), leaving(2, due=True)], 2, [], id="the last one still drains"
        ),
        pytest.param([aged(1), starting(2)], 2, [], id="due while another starts"),
        pytest.param(
            [aged(1), starting(1)], 2, [Spawn(2, 1)], id="a death during a replacement"
        ),
    ],
)
def test_one_generation(
    workers: Sequence[W], wanted: int, steps: list[Spawn | Stop[W]]
) -> None:
    assert plan(workers, wanted, 1) == steps


@pytest.mark.parametrize(
    ("workers", "steps"),
    [
        pytest.param(
            [W(1), W(2)], [Spawn(1, 2), Spawn(2, 2), Spawn(3, 2)], id="raise it"
        ),
        pytest.param(
            [W(1), W(2), starting(1, 2), W(2, 2), W(3, 2)], [], id="stop nobody yet"
        ),
        pytest.param(
            [W(1), W(2), W(1, 2), W(2, 2), W(3, 2)], [], id="not even when it is ready"
        ),
        pytest.param(
            [W(2), W(1, 2), starting(2, 2), starting(3, 2)],
            [Spawn(1, 1)],
            id="the present generation stays whole",
        ),
        pytest.param(
            [W(1, 0), W(1), W(2), starting(1, 2), starting(2, 2), starting(3, 2)],
            [Stop(W(1, 0))],
            id="what the reload before left over still goes",
        ),
    ],
)
def test_a_coming_generation_is_raised_beside_the_present_generation(
    workers: Sequence[W], steps: list[Spawn | Stop[W]]
) -> None:
    assert plan(workers, 2, 1, coming=(2, 3)) == steps


@pytest.mark.parametrize(
    ("workers", "steps"),
    [
        pytest.param(
            [W(1), W(2), W(1, 2), W(2, 2)], [Stop(W(1)), Stop(W(2))], id="retire"
        ),
        pytest.param(
            [W(1), W(2), W(1, 2)], [Spawn(2, 2), Stop(W(1))], id="as new ones are ready"
        ),
        pytest.param(
            [W(1), W(2)], [Spawn(1, 2), Spawn(2, 2)], id="none ready, none goes"
        ),
        pytest.param([leaving(1), W(1, 2), W(2, 2)], [], id="told already"),
        pytest.param(
            [W(1), starting(2), starting(1, 2), starting(2, 2)],
            [Stop(starting(2))],
            id="one that serves nobody yet",
        ),
    ],
)
def test_old_workers_go_as_new_ones_are_ready(
    workers: Sequence[W], steps: list[Spawn | Stop[W]]
) -> None:
    assert plan(workers, 2, 2) == steps


def test_a_service_that_is_gone_loses_its_workers() -> None:
    assert plan([W(1), W(2)], 0, 2) == [Stop(W(1)), Stop(W(2))]


def test_complete_counts_ready_workers_that_stay() -> None:
    assert complete([W(1), W(2)], 2, 1)
    assert not complete([W(1), starting(2)], 2, 1)
    assert not complete([W(1), leaving(2)], 2, 1)
    assert not complete([W(1), W(2, 2)], 2, 1)


# Whatever happens, in whatever order.
fates = st.lists(
    st.sampled_from(["ready", "die", "leave", "due", "reload"]), max_size=60
)


@given(fates, st.integers(1, 4), st.integers())
def test_whatever_happens_the_wanted_workers_come_back(
    events: list[str], wanted: int, seed: int
) -> None:
    dice = random.Random(seed)
    workers: list[W] = []
    generation = 1
    for event in [*events, *["ready", "leave"] * 40]:
        serving = sum(w.ready and not w.stopping for w in workers)
        for step in plan(workers, wanted, generation):
            if isinstance(step, Spawn):
                workers.append(starting(step.worker_id, step.generation))
            else:
                at = workers.index(step.worker)
                workers[at] = replace(workers[at], stopping=True)
        # Stopping never takes more than what is beyond the wanted ones.
        left = sum(w.ready and not w.stopping for w in workers)
        assert left >= min(serving, wanted)
        assert len([w for w in workers if not w.stopping]) <= 2 * wanted + 1
        chosen = [i for i, w in enumerate(workers) if _suits(w, event)]
        if event == "reload":
            generation += not any(
                w.generation != generation and not w.stopping for w in workers
            )
        elif chosen:
            at = dice.choice(chosen)
            if event in ("die", "leave"):
                del workers[at]
            else:
                workers[at] = replace(workers[at], **{event: True})
    assert [w for w in workers if not w.stopping and w.ready and not w.due]
    fresh = {w.worker_id for w in workers if w.generation == generation and w.ready}
    assert set(range(1, wanted + 1)) <= fresh


def _suits(worker: W, event: str) -> bool:
    if event == "ready":
        return not worker.ready and not worker.stopping
    if event == "leave":
        return worker.stopping
    if event == "due":
        return worker.ready and not worker.stopping
    return event == "die"


@pytest.mark.parametrize(
    ("needs", "turns"),
    [
        pytest.param([], [], id="nothing is missing"),
        pytest.param(
            [
                ("a", 0, [Spawn(1, 1), Spawn(2, 1), Spawn(3, 1)]),
                ("b", 0, [Spawn(1, 1)]),
            ],
            [("a", 1), ("b", 1), ("a", 2), ("a", 3)],
            id="a service without workers is not kept waiting by another",
        ),
        pytest.param(
            [("a", 2, [Spawn(3, 1)]), ("b", 1, [Spawn(2, 1)])],
            [("b", 2), ("a", 3)],
            id="the fewest first",
        ),
        pytest.param(
            [("a", 1, [Spawn(1, 1, successor=True)]), ("b", 7, [Spawn(8, 1)])],
            [("b", 8), ("a", 1)],
            id="who is missing before who is due",
        ),
    ],
)
def test_workers_are_started_in_turn(
    needs: list[tuple[str, int, list[Spawn]]], turns: list[tuple[str, int]]
) -> None:
    assert [(name, spawn.worker_id) for name, spawn in in_turn(needs)] == turns
