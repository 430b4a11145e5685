"""The tables of requests, at every split, with bytes behind them and behind a request."""

from __future__ import annotations

import pytest
from http_cases import LIMITED, REFUSED, SMALL_LIMITS, Refused, request
from http_readings import ACCEPTED, Accepted
from server.http11.reading import Outcome, limits, read, ways
from wsgi_server._http11 import Limits

#: Short enough for `SMALL_LIMITS`.
BEFORE = request(line=b"GET /before HTTP/1.1")
BEHIND = request(line=b"GET /behind HTTP/1.1")
SMALL = limits(SMALL_LIMITS)

refusals = pytest.mark.parametrize(
    ("case", "bounds"),
    [
        *(pytest.param(case, Limits(), id=case.name) for case in REFUSED),
        *(pytest.param(case, SMALL, id=case.name) for case in LIMITED),
    ],
)
acceptances = pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.name) for case in ACCEPTED]
)


def refused(case: Refused, outcome: Outcome, *, before: int = 0) -> None:
    assert outcome.status == case.status
    assert len(outcome.messages) == before + case.in_body
    assert [message.ended for message in outcome.messages] == (
        [True] * before + [False] * case.in_body
    )


def paths(outcome: Outcome) -> list[str]:
    assert outcome.status is None
    assert all(message.ended for message in outcome.messages)
    return [message.head["path"] for message in outcome.messages]


@refusals
def test_a_refusal_does_not_depend_on_the_split(case: Refused, bounds: Limits) -> None:
    for way, parts in ways(case.data):
        try:
            refused(case, read(parts, bounds))
        except AssertionError as exc:
            raise AssertionError(f"{way}: {exc}") from exc


@refusals
def test_nothing_behind_a_refusal_is_a_request(case: Refused, bounds: Limits) -> None:
    for _, parts in ways(case.data + BEHIND):
        refused(case, read(parts, bounds))


@refusals
def test_a_refusal_behind_a_request_leaves_that_alone(
    case: Refused, bounds: Limits
) -> None:
    for _, parts in ways(BEFORE + case.data + BEHIND):
        outcome = read(parts, bounds)
        refused(case, outcome, before=1)
        assert outcome.messages[0].head["path"] == "/before"


@refusals
def test_one_step_less_wrong_is_one_request(case: Refused, bounds: Limits) -> None:
    alone = read([case.control], bounds)
    assert len(paths(alone)) == 1
    assert alone.left == 0
    for _, parts in ways(BEFORE + case.control + BEHIND):
        outcome = read(parts, bounds)
        assert paths(outcome) == ["/before", *paths(alone), "/behind"]
        assert outcome.messages[1] == alone.messages[0]
        assert outcome.left == 0


@acceptances
def test_a_request_is_read_as_the_table_says(case: Accepted) -> None:
    outcome = read([case.data])
    (message,) = outcome.messages
    head = message.head
    assert outcome.status is None
    assert message.ended
    assert outcome.left == 0
    assert head["method"] == case.method
    assert head["path"] == case.path
    assert head["query"] == case.query
    assert head["keep_alive"] == case.keep_alive
    assert head["headers"].pop("HTTP_HOST", None) == case.host
    assert head["headers"] == case.headers
    assert head["has_body"] >= bool(case.body)
    assert message.body == case.body
    assert message.trailers == case.trailers


@acceptances
def test_an_accepted_request_does_not_depend_on_the_split(case: Accepted) -> None:
    whole = read([BEFORE + case.data + BEHIND])
    assert paths(whole) == ["/before", case.path, "/behind"]
    for way, parts in ways(BEFORE + case.data + BEHIND):
        assert read(parts) == whole, way


@acceptances
def test_a_request_that_is_cut_short_is_told_from_a_whole_one(case: Accepted) -> None:
    # The empty line that may come first is not yet a request.
    first = 2 if case.data.startswith(b"\r\n") else 0
    for at in range(len(case.data) + 1):
        outcome = read([case.data[:at]])
        assert outcome.status is None
        ended = all(message.ended for message in outcome.messages)
        inside = at not in (0, first, len(case.data))
        assert (outcome.left > 0 or not ended) == inside, at
