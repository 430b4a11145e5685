"""What workers count adds up, and never goes back, whatever happens in between."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from wsgi_server._scoreboard.counts import (
    COUNTERS,
    DURATION_BOUNDS,
    OVERFLOW,
    QUEUE_BOUNDS,
    ROWS,
    SIZE,
    Counts,
    Key,
)
from wsgi_server._scoreboard.totals import SHOWN, Histogram, Reading, Totals

#: Sums of these are exact in any order.
SECONDS = st.integers(0, 1 << 12).map(lambda n: n / 256)
KEYS = st.tuples(
    st.sampled_from(["GET", "POST", "_OTHER"]),
    st.integers(200, 599).map(str),
    st.sampled_from(["http", "https"]),
    st.sampled_from(["", "/v2/images/{id}", "/" + "x" * 300]),
    st.sampled_from(["", "ValueError", "timeout"]),
)


class Service(RuleBasedStateMachine):
    """Workers that count, end, and are counted, in any order."""

    @initialize()
    def begin(self) -> None:
        self.totals = Totals()
        self.memory = [bytearray(SIZE) for _ in range(4)]
        self.live = {slot: Counts(memoryview(self.memory[slot])) for slot in range(4)}
        self.done: Counter[str] = Counter()
        self.waited = Histogram.over(QUEUE_BOUNDS)
        self.took: Counter[str] = Counter()
        self.last = Reading()

    @rule(slot=st.integers(0, 3), name=st.sampled_from(COUNTERS), amount=SECONDS)
    def count(self, slot: int, name: str, amount: float) -> None:
        self.live[slot].add(name, amount)
        self.done[name] += amount  # type: ignore[assignment]

    @rule(slot=st.integers(0, 3), seconds=SECONDS)
    def wait(self, slot: int, seconds: float) -> None:
        self.live[slot].waited(seconds)
        self.done["waited"] += 1
        self.done["waiting"] += seconds  # type: ignore[assignment]

    @rule(slot=st.integers(0, 3), keys=st.lists(KEYS, max_size=80), seconds=SECONDS)
    def answer(self, slot: int, keys: list[Key], seconds: float) -> None:
        for key in keys:
            self.live[slot].took(key, seconds)
            self.done["took"] += 1
            self.done["taking"] += seconds  # type: ignore[assignment]

    @rule(slot=st.integers(0, 3))
    def end(self, slot: int) -> None:
        # Through a mapping of its own, as the supervisor has it.
        self.totals.retire(Counts(memoryview(self.memory[slot])))
        assert not any(self.memory[slot][: 8 * len(COUNTERS)])
        self.live[slot] = Counts(memoryview(self.memory[slot]))

    @invariant()
    def nothing_is_lost_and_nothing_goes_back(self) -> None:
        mine = [Counts(memoryview(memory)) for memory in self.memory]
        reading = self.totals.read(mine)
        for name in COUNTERS:
            assert reading.counters[name] == self.done[name]
        assert reading.queue.count == self.done["waited"]
        assert reading.queue.sum == self.done["waiting"]
        assert reading.duration.count == self.done["took"]
        assert reading.duration.sum == self.done["taking"]
        for key, before in self.last.durations.items():
            after = reading.durations[key]
            assert all(
                a <= b for a, b in zip(before.buckets, after.buckets, strict=True)
            )
            assert before.sum <= after.sum
        assert len(reading.durations) <= SHOWN + 1
        self.last = reading


Service.TestCase.settings = settings(max_examples=40, stateful_step_count=40)
TestTotals = Service.TestCase


def test_what_is_not_told_apart_shares_the_last_row() -> None:
    counts = Counts.local()
    for number in range(ROWS + 10):
        counts.took(("GET", str(number), "http", "", ""), 0.02)
        counts.took(("GET", str(number), "http", "", ""), 0.02)
    rows = {key: sum(buckets) for key, buckets, _ in counts.durations()}
    assert len(rows) == ROWS
    assert rows.pop(OVERFLOW) == 2 * 11
    assert set(rows.values()) == {2}


def test_labels_that_do_not_fit_are_counted_all_the_same() -> None:
    counts = Counts.local()
    counts.took(("GET", "200", "http", "/" + "é" * 200, ""), 1)
    assert [key for key, _, _ in counts.durations()] == [OVERFLOW]


@pytest.mark.parametrize(
    ("seconds", "bucket"), [(0, 0), (0.005, 0), (0.0051, 1), (10, 13), (10.1, 14)]
)
def test_a_bound_belongs_to_its_bucket(seconds: float, bucket: int) -> None:
    counts = Counts.local()
    counts.took(("GET", "200", "http", "", ""), seconds)
    ((_, buckets, total),) = counts.durations()
    assert [place for place, have in enumerate(buckets) if have] == [bucket]
    assert total == seconds


def test_the_first_kinds_of_requests_keep_their_place() -> None:
    totals = Totals()
    for batch in range(12):
        counts = Counts.local()
        for number in range(50):
            counts.took(("GET", "200", "http", f"/{batch}/{number}", ""), 0.1)
        totals.retire(counts)
    reading = totals.read([])
    assert len(reading.durations) == SHOWN + 1
    assert reading.durations[OVERFLOW].count == 600 - SHOWN
    assert ("GET", "200", "http", "/0/0", "") in reading.durations


@given(st.lists(st.floats(0, 20), min_size=1, max_size=50), st.floats(0.01, 0.99))
def test_a_quantile_lies_in_the_bucket_of_its_rank(
    values: list[float], share: float
) -> None:
    counts = Counts.local()
    for value in values:
        counts.took(("GET", "200", "http", "", ""), value)
    reading = Totals().read([counts])
    found = reading.duration.quantile(share)
    assert found is not None
    assert 0 <= found <= DURATION_BOUNDS[-1]
    rank = share * len(values)
    under = sum(value <= found for value in values)
    bounds = [0.0, *DURATION_BOUNDS]
    upper = next((b for b in bounds if b >= found), DURATION_BOUNDS[-1])
    assert sum(value <= upper for value in values) >= rank or upper == bounds[-1]
    assert under <= len(values)


def test_an_empty_histogram_has_no_quantile() -> None:
    assert Histogram.over(QUEUE_BOUNDS).quantile(0.5) is None
