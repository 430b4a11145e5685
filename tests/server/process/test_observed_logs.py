"""What the logs say is seen by whoever watches: slow requests, lines that are lost, routes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from server.process.support import both_engines
from server.process.watching import Watched
from server.stalled import Pipe

pytest.importorskip("prometheus_client")

pytestmark = pytest.mark.forks

Start = Callable[..., Watched]


@both_engines
@pytest.mark.parametrize("workers", ["1", "0"])
def test_a_slow_request_is_counted_and_shown(watched: Start, workers: str) -> None:
    it = watched(
        "apps.exercise:app", "--slow-request-time", "0.2", "--workers", workers
    )
    slow = threading.Thread(target=it.server.get, args=("/sleepy?4",))
    slow.start()
    shown = it.server.wait_for("it is shown", lambda: it.status()["slow"])
    assert [one["path"] for one in shown] == ["/sleepy"]
    assert len(shown[0]["request_id"]) == 32
    it.server.wait_for(
        "it is counted", lambda: it.total("wsgi_server_slow_requests_total") == 1
    )
    slow.join()
    it.server.wait_for("it is over", lambda: not it.status()["slow"])
    assert it.total("wsgi_server_slow_requests_total") == 1


@both_engines
def test_lines_that_a_log_does_not_take_are_counted(
    watched: Start, tmp_path: Path
) -> None:
    path = tmp_path / "access"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        it = watched("apps.exercise:app", "--access-log", str(path))
        pipe = Pipe(reader, -1)
        sent = 0

        def dropped() -> bool:
            nonlocal sent
            for _ in range(200):
                it.server.get(f"/whole?{'x' * 7000}")
            sent += 200
            return it.total("wsgi_server_access_log_lines_dropped_total") > 0

        it.server.wait_for("lines are lost", dropped)
        assert it.total("wsgi_server_access_log_lines_dropped_total") < sent
    finally:
        pipe.close()


@both_engines
@pytest.mark.parametrize("asked", [True, False])
def test_routes_are_told_apart_where_that_is_asked_for(
    watched: Start, tmp_path: Path, asked: bool
) -> None:
    conf = tmp_path / "server.conf"
    conf.write_text(f"[DEFAULT]\nmetrics_by_route = {asked}\n")
    it = watched("apps.routed:app", "--config-file", str(conf))
    for number in (1, 2):
        it.server.get(f"/v2/images/{number}")
    route = "/v2/images/{id}" if asked else ""
    it.server.wait_for(
        "both are counted as one kind",
        lambda: it.total("http_server_request_duration_seconds_count", http_route=route)
        == 2,
    )
