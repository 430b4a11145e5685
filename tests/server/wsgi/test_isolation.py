"""What one request keeps, no other one finds."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

import live
import pytest

pytestmark = pytest.mark.forks

Start = Callable[..., live.LiveServer]
APP = "apps.keeping:app"


def answers(server: live.LiveServer, path: str) -> list[dict[str, Any]]:
    """Of requests one after the other, on one connection and on new ones."""
    found = []
    with contextlib.closing(server.client()) as client:
        for number in range(4):
            client.request("GET", f"{path}?kept-{number}")
            found.append(json.loads(client.getresponse().read()))
    new = [json.loads(server.get(f"{path}?new-{n}").body) for n in range(4, 8)]
    return found + new


@pytest.mark.parametrize("path", ["/", "/nap"])
def test_a_context_variable_is_that_of_one_request(
    live_server: Start, path: str
) -> None:
    found = answers(live_server(APP), path)
    assert [one["variable"] for one in found] == [None] * 8
    # It is there to the end of its own: while the body is sent, and when it is closed.
    names = [f"kept-{n}" for n in range(4)] + [f"new-{n}" for n in range(4, 8)]
    assert [one["sending"] for one in found] == names
    assert found[-1]["closed"] == names[:-1]


@pytest.mark.parametrize("path", ["/", "/nap"])
@pytest.mark.parametrize("engine", ["patched"])
def test_what_is_local_to_a_green_thread_is_that_of_one_request(
    live_server: Start, path: str
) -> None:
    """Elsewhere a thread is one of the system's, and runs many requests."""
    found = answers(live_server(APP), path)
    for where in ("local", "attribute", "thread"):
        assert [one[where] for one in found] == [None] * 8


@pytest.mark.parametrize("engine", ["eventlet"])
def test_what_is_local_to_a_greenlet_is_that_of_one_request(live_server: Start) -> None:
    """One engine: threads have no greenlets."""
    found = answers(live_server(APP), "/")
    assert [one["attribute"] for one in found] == [None] * 8
