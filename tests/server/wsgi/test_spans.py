"""Spans of OpenTelemetry, as the real SDK gets them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import live
import pytest

pytest.importorskip("opentelemetry.sdk")

pytestmark = pytest.mark.forks

Start = Callable[..., live.LiveServer]

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"


def started(live_server: Start, folder: Path, *lines: str) -> live.LiveServer:
    conf = folder / "server.conf"
    conf.write_text("\n".join(("[DEFAULT]", "access_log_format = json", *lines)))
    return live_server("apps.spanned:app", "--config-file", str(conf))


def spans(server: live.LiveServer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(server.get("/spans").body)
    return [one for one in found if one["attributes"].get("url.path") != "/spans"]


def named(server: live.LiveServer, name: str) -> dict[str, Any]:
    # A span ends behind the last byte, which the client may have before.
    return server.wait_for(
        f"the span {name}",
        lambda: next((one for one in spans(server) if one["name"] == name), None),
    )


@pytest.mark.parametrize("workers", ["1", "0"])
def test_a_request_has_a_span_and_the_application_runs_in_it(
    live_server: Start, tmp_path: Path, workers: str
) -> None:
    server = started(live_server, tmp_path, "spans = true", f"workers = {workers}")
    answer = server.get(
        "/images/7?secret=1", Traceparent=f"00-{TRACE}-{CALLER}-01", User_Agent="me"
    )
    span = named(server, "GET /images/{id}")
    assert span["kind"] == "SpanKind.SERVER"
    assert span["context"]["trace_id"] == f"0x{TRACE}"
    assert span["parent_id"] == f"0x{CALLER}"
    assert span["status"]["status_code"] == "UNSET"
    assert span["attributes"] == {
        "http.request.method": "GET",
        "url.path": "/images/7",
        "url.scheme": "http",
        "network.protocol.version": "1.1",
        "server.address": "127.0.0.1",
        "server.port": server.port,
        "client.address": "127.0.0.1",
        "user_agent.original": "me",
        "http.request.id": answer.headers["X-Request-Id"],
        "http.route": "/images/{id}",
        "http.response.status_code": 200,
        "http.response.body.size": 10,
    }
    inner = named(server, "inner")
    assert inner["parent_id"] == span["context"]["span_id"]
    line = json.loads(server.output().splitlines()[0])
    assert f"0x{line['trace_id']}" == span["context"]["trace_id"]
    assert f"0x{line['span_id']}" == span["context"]["span_id"]


def test_a_failure_is_one_of_the_span(live_server: Start, tmp_path: Path) -> None:
    server = started(live_server, tmp_path, "spans = true")
    assert server.get("/boom").status == 500
    span = named(server, "GET")
    assert span["status"]["status_code"] == "ERROR"
    assert span["attributes"]["error.type"] == "RuntimeError"
    assert span["attributes"]["http.response.status_code"] == 500


def test_no_request_is_within_the_span_of_another(
    live_server: Start, tmp_path: Path
) -> None:
    server = started(live_server, tmp_path, "spans = true")
    for number in range(5):
        server.get(f"/images/{number}")
    found = server.wait_for(
        "five spans",
        lambda: (seen := [one for one in spans(server) if one["name"] != "inner"])[4:]
        and seen,
    )
    assert {one["parent_id"] for one in found} == {None}
    assert len({one["context"]["trace_id"] for one in found}) == 5


def test_without_the_option_there_are_none(live_server: Start, tmp_path: Path) -> None:
    server = started(live_server, tmp_path)
    server.get("/images/7")
    assert [one["name"] for one in spans(server)] == ["inner"]


def test_what_is_not_installed_is_named(
    tmp_path: Path, command: Callable[..., Any]
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nsys.modules['opentelemetry'] = None\n"
    )
    conf = tmp_path / "server.conf"
    conf.write_text("[DEFAULT]\nspans = true\n")
    path = f"{tmp_path}:{live.environment().get('PYTHONPATH', '')}"
    ended = command(
        *("apps.hello:app", "--check-config", "--config-file", str(conf)),
        env={"PYTHONPATH": path},
    )
    assert ended.returncode == 5
    assert "pip install 'wsgi-server[otel]'" in ended.stderr


def test_nothing_is_imported_for_it_unasked() -> None:
    code = (
        "import sys, wsgi_server._process.worker; print('opentelemetry' in sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert ended.stdout == "False\n"
