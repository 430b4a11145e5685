"""Each series moves when its cause happens, and the whole is what Prometheus reads."""

from __future__ import annotations

import dataclasses
import gzip
import runpy
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as read_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as read_text
from server.admin.support import Admin, FakeServer, worker
from wsgi_server._admin.exporter import Exporter
from wsgi_server._admin.metrics import METRICS
from wsgi_server._admin.state import ListenerRow, WorkerState
from wsgi_server._scoreboard.counts import CLOSINGS, COUNTERS, REJECTIONS

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(server: FakeServer) -> Samples:
    """Every sample of ours, by name and labels."""
    body, _ = Exporter(server.state).render("", "")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in read_text(body.decode())
        for sample in family.samples
        if not sample.name.startswith("process_")
    }


def series(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset(labels.items())


def service(server: FakeServer, **changes: Any) -> None:
    server.service = dataclasses.replace(server.service, **changes)


GET = {
    "http_request_method": "GET",
    "http_response_status_code": "200",
    "url_scheme": "http",
    "http_route": "",
    "error_type": "",
}
DURATION = "http_server_request_duration_seconds"
QUEUE = "wsgi_server_request_queue_duration_seconds"


def begin_a_worker(server: FakeServer) -> None:
    new = worker(3, state=WorkerState.STARTING, connections={})
    server.change(workers=(*server.now.workers, new))
    service(server, starts=1, wanted=3)


#: What happens, and by how much which series change.
CAUSES: dict[str, tuple[Callable[[FakeServer], object], dict[Any, float]]] = {
    "a request": (
        lambda s: s.counts.took(("GET", "200", "http", "", ""), 0.03),
        {
            series(f"{DURATION}_count", **GET): 1,
            series(f"{DURATION}_sum", **GET): 0.03,
            **{
                series(f"{DURATION}_bucket", **GET, le=le): 1
                for le in [
                    "0.05",
                    "0.075",
                    "0.1",
                    "0.25",
                    "0.5",
                    "0.75",
                    "1.0",
                    "2.5",
                    "5.0",
                    "7.5",
                    "10.0",
                    "+Inf",
                ]
            },
        },
    ),
    "a wait": (
        lambda s: s.counts.waited(7.0),
        {
            series(f"{QUEUE}_count"): 1,
            series(f"{QUEUE}_sum"): 7,
            series(f"{QUEUE}_bucket", le="10.0"): 1,
            series(f"{QUEUE}_bucket", le="+Inf"): 1,
        },
    ),
    **{
        name: (
            lambda s, name=name: s.counts.add(name, 3),  # type: ignore[misc]
            {series(f"wsgi_server_{name}_total"): 3},
        )
        for name in COUNTERS
        if not name.startswith(("rejected_", "closed_")) and name != "requests"
    },
    **{
        f"rejected {reason}": (
            lambda s, reason=reason: s.counts.add(f"rejected_{reason}"),  # type: ignore[misc]
            {series("wsgi_server_requests_rejected_total", reason=reason): 1},
        )
        for reason in REJECTIONS
    },
    **{
        f"closed {reason}": (
            lambda s, reason=reason: s.counts.add(f"closed_{reason}"),  # type: ignore[misc]
            {series("wsgi_server_connections_closed_total", reason=reason): 1},
        )
        for reason in CLOSINGS
    },
    "requests run and wait": (
        lambda s: s.change(
            workers=(worker(1, active=3, queued=2, threads_busy=3), worker(2))
        ),
        {
            series("wsgi_server_requests_active"): 3,
            series("wsgi_server_requests_queued"): 2,
            series("wsgi_server_threads_busy"): 3,
        },
    ),
    "connections come": (
        lambda s: s.change(
            workers=(worker(1, connections={"idle": 2, "writing": 4}), worker(2))
        ),
        {series("wsgi_server_connections", state="writing"): 4},
    ),
    "a worker starts": (
        begin_a_worker,
        {
            series("wsgi_server_workers", state="starting"): 1,
            series("wsgi_server_worker_starts_total"): 1,
            series("wsgi_server_workers_wanted"): 1,
            series("wsgi_server_threads"): 32,
            series("wsgi_server_worker_beat_age_seconds", worker="3"): 0.5,
            series("wsgi_server_worker_open_fds", worker="3"): 20,
            series("wsgi_server_worker_resident_memory_bytes", worker="3"): 40 << 20,
        },
    ),
    "a worker ends": (
        lambda s: service(s, exits={"crash": 2}),
        {series("wsgi_server_worker_exits_total", reason="crash"): 2},
    ),
    "workers work": (
        lambda s: service(s, requests_by_number={1: 5.0}, cpu_by_number={1: 0.5}),
        {
            series("wsgi_server_worker_requests_total", worker="1"): 5,
            series("wsgi_server_worker_cpu_seconds_total", worker="1"): 0.5,
        },
    ),
    "the kernel holds clients": (
        lambda s: service(
            s, listeners=(ListenerRow("http://127.0.0.1:8080", 9, 4096),)
        ),
        {series("wsgi_server_listen_backlog", listener="http://127.0.0.1:8080"): 9},
    ),
    "a reload": (
        lambda s: s.change(
            reloads_accepted=1, generation=2, last_reload_time=1.7e9 + 5
        ),
        {
            series("wsgi_server_reloads_total", result="accepted"): 1,
            series("wsgi_server_generation"): 1,
            series("wsgi_server_config_last_reload_success_timestamp_seconds"): 5,
        },
    ),
    "a reload that fails": (
        lambda s: s.change(reloads_failed=1, last_reload_accepted=False),
        {
            series("wsgi_server_reloads_total", result="failed"): 1,
            series("wsgi_server_config_last_reload_successful"): -1,
        },
    ),
    "nothing": (lambda s: None, {}),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_each_series_moves_when_its_cause_happens_and_only_then(cause: str) -> None:
    happen, expected = CAUSES[cause]
    server = FakeServer()
    before = scrape(server)
    happen(server)
    after = scrape(server)
    moved = {
        name: round(value - before.get(name, 0), 6)
        for name, value in after.items()
        if value != before.get(name, 0)
    }
    assert moved == expected
    assert {name for name in before if name not in after} <= set()


def test_the_certificate_of_a_listener_has_an_end() -> None:
    server = FakeServer()
    service(server, listeners=(ListenerRow("https://[::1]:443", 0, 4096, 2e9),))
    name = "wsgi_server_tls_certificate_not_after_timestamp_seconds"
    assert scrape(server)[series(name, listener="https://[::1]:443")] == 2e9


def test_every_metric_has_samples_and_every_family_is_a_metric() -> None:
    server = FakeServer()
    server.counts.took(("GET", "200", "http", "", ""), 0.1)
    listeners = (ListenerRow("https://[::1]:443", 0, 4096, 2e9),)
    service(
        server,
        listeners=listeners,
        requests_by_number={1: 1.0},
        cpu_by_number={1: 1.0},
    )
    body, _ = Exporter(server.state).render("", "")
    families = {
        family.name: family
        for family in read_text(body.decode())
        if not family.name.startswith("process_")
    }
    for metric in METRICS:
        family = families.pop(metric.name.removesuffix("_total"))
        assert family.documentation == metric.help
        assert family.samples, metric.name
        for sample in family.samples:
            found = {k: v for k, v in sample.labels.items() if k != "le"}
            assert set(found) == {label.name for label in metric.labels}
            for name, values in metric.labels:
                assert isinstance(values, str) or found[name] in values
    assert families == {}


def test_several_services_are_told_apart() -> None:
    server = FakeServer()
    other = dataclasses.replace(server.service, name="cfn", wanted=7)
    server.change(services=(server.service, other))
    samples = scrape(server)
    name = "wsgi_server_workers_wanted"
    assert samples[series(name, service="images")] == 2
    assert samples[series(name, service="cfn")] == 7
    assert series("wsgi_server_generation") in samples


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/plain;version=0.0.4", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text;version=1.0.0", "application/openmetrics-text"),
    ],
)
def test_a_scrape_has_the_form_that_is_accepted(
    admin: Admin, accept: str, kind: str
) -> None:
    admin.server.counts.took(("GET", "200", "http", "/v2/{id}", ""), 0.1)
    answer = admin.ask("/metrics", headers={"Accept": accept})
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith(kind)
    read = read_openmetrics if "openmetrics" in kind else read_text
    assert any(f.name == DURATION for f in read(answer.content.decode()))


def test_a_scrape_is_compressed_where_that_is_accepted(admin: Admin) -> None:
    plain = admin.ask("/metrics")
    packed = admin.ask("/metrics", headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert b"wsgi_server_generation" in gzip.decompress(packed.content)
    assert len(packed.content) < len(plain.content) / 2


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="needs promtool (Debian: prometheus)"
)
def test_promtool_finds_nothing_to_say(admin: Admin) -> None:
    admin.server.counts.took(("GET", "200", "http", "", ""), 0.1)
    found = admin.ask("/metrics").content
    run = subprocess.run(
        ["promtool", "check", "metrics"], input=found, capture_output=True, check=False
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, b"", b"")


def test_without_the_library_the_answer_is_how_to_install_it(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "prometheus_client", None)
    answer = admin.ask("/metrics")
    assert answer.status == 501
    assert b"pip install 'wsgi-server[metrics]'" in answer.content


def test_the_page_of_all_metrics_is_as_the_code_says() -> None:
    folder = Path(__file__).parents[3] / "docs" / "reference"
    lines = runpy.run_path(str(folder / "list_metrics.py"))["page"]()
    assert (folder / "metrics.md").read_text("utf-8") == "\n".join(lines)
