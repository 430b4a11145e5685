"""Each counter moves when its cause happens, by its amount, and no other one moves."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import tools
from server.process.support import both_engines
from server.process.watching import Watched

pytestmark = pytest.mark.forks

Start = Callable[..., Watched]
Totals = Mapping[str, float]

#: Counters without their prefix and suffix, with the labels that matter.
ANSWERED = "http_server_request_duration_seconds_count"
QUEUE = "wsgi_server_request_queue_duration_seconds_count"
#: What moves with time, and not with a cause of its own.
TIME = (
    "process_",
    "wsgi_server_worker_cpu_seconds",
    "wsgi_server_threads_busy_seconds",
)

OPTIONS = """\
[DEFAULT]
header_timeout = 0.3
body_timeout = 0.3
keepalive_timeout = 0.3
max_keepalive_requests = 2
max_request_line = 400
max_header_line = 600
max_request_body = 1000
threads = 1
queue_size = 1
drain_idle_timeout = 0.2
"""


def answered(method: str, status: int, error: str = "") -> str:
    return f"{ANSWERED} {method} {status} {error}".rstrip()


@dataclass(frozen=True)
class Cause:
    """Bytes that a client sends, and what moves; a client that `leaves` does not wait."""

    sent: bytes
    moves: Totals
    reason: str = "client"


def get(path: str, *fields: str, method: str = "GET", close: bool = True) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: a", *fields]
    if close:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode()


def rejected(reason: str) -> Totals:
    return {f"requests_rejected {reason}": 1}


def request(method: str, status: int, sent: int = 0, error: str = "") -> Totals:
    body = {"response_body_bytes": sent} if sent else {}
    return {answered(method, status, error): 1, QUEUE: 1, **body}


#: What one client does on a connection of its own.
CAUSES: dict[str, Cause] = {
    "a request": Cause(get("/turns"), request("GET", 200, 1)),
    "its head alone": Cause(get("/turns", method="HEAD"), request("HEAD", 200)),
    "an unknown method": Cause(get("/turns", method="BREW"), request("_OTHER", 200, 1)),
    "a body both ways": Cause(
        get("/echo", "Content-Length: 100", method="POST") + b"x" * 100,
        {**request("POST", 200, 100), "request_body_bytes": 100},
    ),
    "an exception": Cause(
        get("/boom"),
        {**request("GET", 500, error="RuntimeError"), "application_errors": 1},
        "error",
    ),
    "nonsense": Cause(b"nonsense\r\n\r\n", rejected("syntax"), "error"),
    "a long target": Cause(get("/" + "x" * 500), rejected("target_too_long"), "error"),
    "a long field": Cause(
        get("/turns", "X: " + "x" * 800), rejected("headers_too_large"), "error"
    ),
    "a large body": Cause(
        get("/turns", "Content-Length: 2000", method="POST"),
        rejected("body_too_large"),
        "error",
    ),
    "half a head": Cause(get("/turns")[:20], rejected("header_timeout"), "error"),
    "half a body": Cause(
        get("/turns", "Content-Length: 100", method="POST") + b"x",
        rejected("body_timeout"),
        "error",
    ),
    "a pause after a request": Cause(
        get("/turns", close=False), request("GET", 200, 1), "idle"
    ),
    "as many requests as may come": Cause(
        get("/turns", close=False) * 2,
        {answered("GET", 200): 2, QUEUE: 2, "response_body_bytes": 2},
        "max",
    ),
}


def totals(one: Watched) -> Totals:
    """Every counter of the scrape, by its name and the labels that matter."""
    found: dict[str, float] = {}
    for sample in one.samples():
        name, labels = sample.name, dict(sample.labels)
        if name.startswith(TIME):
            continue
        if name == ANSWERED:
            keys = ("http_request_method", "http_response_status_code", "error_type")
            found[" ".join([name, *(labels[key] for key in keys)]).rstrip()] = (
                sample.value
            )
        elif name == QUEUE:
            found[name] = sample.value
        elif name.endswith("_total"):
            short = name.removeprefix("wsgi_server_").removesuffix("_total")
            key = " ".join([short, *labels.values()])
            found[key] = sample.value
    return found


def moved(before: Totals, after: Totals) -> Totals:
    return {
        name: value - before.get(name, 0)
        for name, value in after.items()
        if value != before.get(name, 0)
    }


def wait_for_move(one: Watched, before: Totals, name: str) -> None:
    one.server.wait_for(name, lambda: moved(before, totals(one)).get(name))


@both_engines
def test_what_a_client_does_moves_its_counters_and_no_other(
    watched: Start, tmp_path: Path
) -> None:
    file = tmp_path / "short.conf"
    file.write_text(OPTIONS)
    one = watched("apps.exercise:app", "--config-file", str(file))
    for what, cause in CAUSES.items():
        requests = sum(n for key, n in cause.moves.items() if key.startswith(ANSWERED))
        expected = {
            **cause.moves,
            "connections_accepted": 1,
            f"connections_closed {cause.reason}": 1,
            **({"worker_requests 1": requests} if requests else {}),
        }
        before = totals(one)
        one.server.exchange(cause.sent)
        wait_for_move(one, before, f"connections_closed {cause.reason}")
        assert moved(before, totals(one)) == expected, what


@both_engines
def test_who_finds_no_place_and_who_goes_too_soon(
    watched: Start, tmp_path: Path
) -> None:
    file = tmp_path / "short.conf"
    file.write_text(OPTIONS.replace("timeout = 0.3", "timeout = 30"))
    one = watched("apps.exercise:app", "--config-file", str(file))
    until, started = tmp_path / "until", tmp_path / "started"
    before = totals(one)
    with (
        one.server.connect() as first,
        one.server.connect() as second,
        one.server.connect() as third,
    ):
        # A worker whose queue is full takes nobody in: they have to be there before.
        one.server.wait_for(
            "all three",
            lambda: moved(before, totals(one)).get("connections_accepted") == 3,
        )
        first.sendall(get(f"/wait?until={until}&started={started}"))
        one.server.wait_for("it runs", started.exists)
        second.sendall(get("/turns"))
        one.server.wait_for(
            "one waits", lambda: one.total("wsgi_server_requests_queued") == 1
        )
        assert one.total("wsgi_server_requests_active") == 1
        third.sendall(get("/turns"))
        assert third.recv(12) == b"HTTP/1.1 503"
        until.touch()
        assert second.recv(12) == b"HTTP/1.1 200"
    one.server.wait_for("both", lambda: moved(before, totals(one)).get(QUEUE) == 2)
    found = moved(before, totals(one))
    assert found["requests_rejected overload"] == 1
    before = totals(one)
    with one.server.connect() as client:
        client.sendall(get("/big?200000000"))
        assert client.recv(4096)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    wait_for_move(one, before, "client_disconnects")
    assert moved(before, totals(one))[answered("GET", 200, "client_gone")] == 1


@both_engines
def test_a_request_that_takes_too_long_is_a_timeout(watched: Start) -> None:
    one = watched("apps.exercise:app", "--request-timeout", "0.2")
    before = totals(one)
    assert one.server.get("/sleepy?1").status == 503
    wait_for_move(one, before, "request_timeouts")
    assert moved(before, totals(one))[answered("GET", 503, "timeout")] == 1


@both_engines
def test_a_handshake_that_fails_and_a_drained_connection(
    watched: Start, tmp_path: Path
) -> None:
    cert, key = tools.self_signed(tmp_path)
    one = watched("apps.exercise:app", "--cert-file", str(cert), "--key-file", str(key))
    before = totals(one)
    with one.server.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert client.recv(100) != b"HTTP"
    wait_for_move(one, before, "connections_closed tls")
    assert moved(before, totals(one)) == {
        "connections_accepted": 1,
        "connections_closed tls": 1,
    }
    before = totals(one)
    context = ssl.create_default_context(cafile=str(cert))
    with context.wrap_socket(one.server.connect(), server_hostname="localhost") as idle:
        idle.sendall(get("/turns", close=False))
        assert idle.recv(12) == b"HTTP/1.1 200"
        one.control.post("/reload")
        wait_for_move(one, before, "connections_closed drain")
    one.server.wait_for("one worker", lambda: len(one.server.worker_pids()) == 1)
    found = moved(before, totals(one))
    assert found["reloads accepted"] == found["worker_exits reload"] == 1
    assert found["worker_starts"] == 1


def reloaded(one: Watched) -> None:
    one.control.post("/reload")


def scaled(one: Watched) -> None:
    one.control.post("/scale", workers=2)
    one.server.wait_for("two", lambda: len(ready(one)) == 2)
    one.control.post("/scale", workers=1)


def asked_a_lot(one: Watched) -> None:
    for _ in range(3):
        assert one.server.get("/turns").status == 200


def crashed(one: Watched) -> None:
    with one.server.connect() as client:
        client.sendall(get("/exit"))
        assert client.recv(1) == b""


def killed(one: Watched) -> None:
    (pid,) = one.server.worker_pids()
    os.kill(pid, signal.SIGKILL)


def hung(one: Watched) -> None:
    with one.server.connect() as client:
        client.sendall(get("/busy?600"))
        one.server.wait_for_log("it is killed")


def nothing(one: Watched) -> None:
    """Its time, or its size, is enough."""


#: Why a worker ends, with what options, and what brings it about.
EXITS: dict[str, tuple[tuple[str, ...], Callable[[Watched], object]]] = {
    "reload": ((), reloaded),
    "scale": ((), scaled),
    "max_requests": (("--max-requests", "3"), asked_a_lot),
    "max_lifetime": (("max_worker_lifetime = 0.5",), nothing),
    "max_rss": (("max_worker_rss = 1000",), nothing),
    "timeout": (("--worker-timeout", "0.5"), hung),
    "crash": ((), crashed),
    "signal": ((), killed),
}


def ready(one: Watched) -> list[int]:
    rows = one.control.get("/workers")["workers"]
    return [row["pid"] for row in rows if row["state"] == "ready"]


@pytest.mark.parametrize("reason", EXITS)
def test_a_worker_ends_for_its_reason_alone(
    watched: Start, tmp_path: Path, reason: str
) -> None:
    options, cause = EXITS[reason]
    file = tmp_path / "exit.conf"
    file.write_text("\n".join(["[DEFAULT]", *(o for o in options if " = " in o), ""]))
    plain = [o for o in options if " = " not in o]
    engine = ("--engine", "eventlet")
    one = watched("apps.exercise:app", "--config-file", str(file), *plain, *engine)
    cause(one)
    one.server.wait_for(
        f"the end by {reason}",
        lambda: one.total("wsgi_server_worker_exits_total", reason=reason),
    )
    others = {
        sample.labels["reason"]
        for sample in one.samples()
        if sample.name == "wsgi_server_worker_exits_total" and sample.value
    }
    assert others == {reason}


def test_a_worker_that_cannot_load_is_one_that_failed_to(
    watched: Start, tmp_path: Path
) -> None:
    (tmp_path / "brittle.py").write_text("from apps.hello import app\n")
    one = watched("brittle:app")
    (tmp_path / "brittle.py").write_text("from apps.hello import no_such_name\n")
    killed(one)
    name = "wsgi_server_worker_exits_total"
    one.server.wait_for("a failure", lambda: one.total(name, reason="load_failed"))
    assert one.total(name, reason="signal") == 1
    assert one.total(name, reason="crash") == 0
    assert one.probe("/livez") == (200, "live")
    assert one.probe()[0] == 503


def test_promtool_finds_nothing_wrong_with_a_scrape(watched: Start) -> None:
    program = tools.need("promtool")
    one = watched("apps.exercise:app")
    for path in ("/turns", "/boom"):
        one.server.get(path)
    run = subprocess.run(
        [program, "check", "metrics"],
        input=one.scrape(),
        text=True,
        capture_output=True,
        check=False,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_a_scrape_does_not_grow_with_the_workers_that_come_and_go(
    watched: Start,
) -> None:
    one = watched("apps.exercise:app", "--workers", "2", "--max-requests", "5")
    asked = 0

    def ask() -> int:
        for _ in range(20):
            assert one.server.get("/turns").status == 200
        one.control.post("/reload")
        one.server.wait_for("two workers", lambda: len(one.server.worker_pids()) == 2)
        return len(one.samples())

    sizes = []
    for _ in range(4):
        asked += 20
        sizes.append(ask())
    assert len(set(sizes)) == 1
    one.server.wait_for("every request", lambda: one.total(ANSWERED) == asked)
