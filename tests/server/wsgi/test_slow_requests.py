"""Requests that take long are named while they run, and once more when they have ended."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import live
import pytest

pytestmark = pytest.mark.forks

Start = Callable[..., live.LiveServer]


@pytest.mark.parametrize("workers", ["1", "0"])
def test_a_slow_request_is_named_with_its_stack(
    live_server: Start, workers: str
) -> None:
    server = live_server(
        *("apps.exercise:app", "--slow-request-time", "0.2", "--workers", workers)
    )
    answer = server.get("/sleepy?1.5")
    known = answer.headers["X-Request-Id"]
    name = rf"GET /sleepy\?1\.5 from 127\.0\.0\.1 \({known}\)"
    said = server.wait_for_log(
        rf"WARNING .*{name} has run for \d\.\d s; it stands at\n(?:  .*\n)+"
    )
    assert "in sleepy" in said[0]
    server.wait_for_log(rf"INFO .*{name} took \d\.\d s in the end")
    assert server.log().count("has run for") == 1


def test_a_request_that_lets_nobody_look_is_named_at_its_end(
    live_server: Start,
) -> None:
    server = live_server("apps.exercise:app", "--slow-request-time", "0.2")
    server.get("/busy?0.5")
    # With threads somebody can look all the same.
    server.wait_for_log(
        r"WARNING .*GET /busy\?0\.5 .*(took 0\.\d s and held up its worker|has run for)"
    )


def test_quick_ones_are_not(live_server: Start) -> None:
    server = live_server("apps.exercise:app", "--slow-request-time", "0.3")
    with closing(server.client()) as client:
        for path in ("/whole", "/sleepy?0.6", "/whole"):
            client.request("GET", path)
            client.getresponse().read()
    server.wait_for_log("took 0.\\d s in the end")
    assert "/whole" not in server.log()


def test_zero_switches_it_off(live_server: Start) -> None:
    server = live_server(
        *("apps.exercise:app", "--slow-request-time", "0", "--request-timeout", "1.5")
    )
    assert server.get("/sleepy?5").status == 503
    assert "it stands at" in server.log()
    assert "has run for" not in server.log()
