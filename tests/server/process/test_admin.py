"""A server that is watched and steered: what it shows in each phase, what orders come to."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import live
import pytest
from server.process.watching import Watched
from wsgi_server._command.client import Client, NoServer, Refused

pytestmark = pytest.mark.forks

Start = Callable[..., live.LiveServer]


def test_requests_are_counted_whoever_answers_them(
    watched: Callable[..., Watched],
) -> None:
    one = watched("apps.exercise:app", "--workers", "2", "--max-requests", "20")
    for _ in range(60):
        assert one.server.get("/turns").status == 200
    name = "http_server_request_duration_seconds_count"
    one.server.wait_for("all requests in the total", lambda: one.total(name) == 60)
    one.control.post("/reload")
    assert one.total(name) == 60
    assert one.server.get("/turns").status == 200
    one.server.wait_for("the next request", lambda: one.total(name) == 61)
    ends = one.total("wsgi_server_worker_exits_total", reason="max_requests")
    assert ends >= 1
    assert one.total("wsgi_server_worker_exits_total", reason="reload") >= 1
    assert one.total("wsgi_server_worker_exits_total", reason="crash") == 0


def test_what_went_wrong_is_counted_by_its_kind(
    watched: Callable[..., Watched],
) -> None:
    one = watched()
    assert one.server.exchange(b"GET / HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 400")
    assert one.server.get("/boom").status == 500
    one.server.wait_for(
        "the refusal",
        lambda: one.total("wsgi_server_requests_rejected_total", reason="syntax") == 1,
    )
    one.server.wait_for(
        "the fault", lambda: one.total("wsgi_server_application_errors_total") == 1
    )
    name = "http_server_request_duration_seconds_count"
    assert one.total(name, http_response_status_code="500") == 1


@pytest.mark.parametrize("workers", ["0", "2"])
def test_probes_and_status_tell_the_life_of_a_server(
    watched: Callable[..., Watched], workers: str
) -> None:
    one = watched("apps.exercise:app", "--workers", workers)
    assert one.probe("/livez") == (200, "live")
    assert one.probe("/startupz") == (200, "started")
    assert one.probe() == (200, "ready")
    assert one.status()["phase"] == "SERVING"
    assert one.control.post("/drain")["api"] == 1
    assert one.probe() == (503, "held")
    one.control.post("/undrain")
    assert one.probe() == (200, "ready")
    found = one.control.post("/reload")
    assert found["generation"] == 2
    assert one.status()["generation"] == 2
    assert one.probe() == (200, "ready")
    assert one.server.get("/turns").status == 200
    assert one.control.post("/stop")["detail"] == "stopping"
    assert one.server.wait() == 0
    assert not one.socket.exists()


def test_a_reload_that_fails_is_a_refusal_with_its_reason(
    watched: Callable[..., Watched], tmp_path: Path
) -> None:
    file = tmp_path / "server.conf"
    file.write_text("[DEFAULT]\nkeepalive_timeout = 5\n")
    one = watched("apps.exercise:app", "--config-file", str(file))
    file.write_text("[DEFAULT]\nkeepalive_timeout = long\n")
    with pytest.raises(Refused, match=r"reload failed: .*keepalive_timeout"):
        one.control.post("/reload")
    assert one.status()["phase"] == "FAILED RELOAD"
    assert one.probe() == (200, "ready")
    assert one.total("wsgi_server_reloads_total", result="failed") == 1
    assert one.total("wsgi_server_config_last_reload_successful") == 0
    file.write_text("[DEFAULT]\nkeepalive_timeout = 6\n")
    assert one.control.post("/reload")["generation"] == 2
    assert one.total("wsgi_server_config_last_reload_successful") == 1


def test_workers_are_scaled_and_replaced_on_order(
    watched: Callable[..., Watched],
) -> None:
    one = watched("apps.exercise:app", "--workers", "1")

    def ready() -> dict[int, int]:
        rows = one.control.get("/workers")["workers"]
        return {r["number"]: r["pid"] for r in rows if r["state"] == "ready"}

    one.control.post("/scale", workers=2)
    one.server.wait_for("two workers", lambda: len(ready()) == 2)
    before = ready()
    one.control.post("/workers/1/restart")
    one.server.wait_for(
        "another worker 1",
        lambda: set(now := ready()) == {1, 2} and now[1] != before[1],
    )
    assert ready()[2] == before[2]
    one.control.post("/scale", by=-1)
    one.server.wait_for("one worker", lambda: len(ready()) == 1)
    with pytest.raises(Refused, match="at least one worker"):
        one.control.post("/scale", by=-1)
    with pytest.raises(Refused, match="no worker 7"):
        one.control.post("/workers/7/restart")


def test_a_worker_says_where_it_stands(watched: Callable[..., Watched]) -> None:
    one = watched()
    with live.stopping([]), socket.create_connection(one.server.address) as client:
        client.sendall(b"GET /patient?60 HTTP/1.1\r\nHost: a\r\n\r\n")
        one.server.wait_for(
            "the request runs",
            lambda: one.total("wsgi_server_requests_active") == 1,
        )
        (text,) = one.control.get("/stacks")["stacks"].values()
        assert "GET /patient" in text
        assert "?60" not in text
        assert "exercise.py" in text


def test_readiness_ends_with_the_order_to_stop_and_not_before_requests_are_answered(
    watched: Callable[..., Watched],
) -> None:
    one = watched()
    with socket.create_connection(one.server.address) as client:
        client.sendall(
            b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nx"
        )
        one.server.wait_for(
            "the request runs",
            lambda: one.total("wsgi_server_requests_active") == 1,
        )
        one.server.send(signal.SIGTERM)
        one.server.wait_for("the drain", lambda: one.probe() == (503, "draining"))
        assert one.probe("/livez") == (200, "live")
        assert one.status()["phase"] == "DRAINING"
        with pytest.raises(Refused, match="stopping"):
            one.control.post("/reload")
        client.sendall(b"x" * 99999)
        assert client.recv(12) == b"HTTP/1.1 200"
    assert one.server.wait() == 0


def test_the_level_of_the_log_changes_for_a_while(
    watched: Callable[..., Watched],
) -> None:
    one = watched()
    one.control.post("/log-level", level="DEBUG", logger="", **{"for": 0.1})
    one.server.wait_for_log(r"logger root: level DEBUG")
    one.server.wait_for_log(r"logger root: level INFO")


def test_the_command_asks_the_server_that_it_finds(
    watched: Callable[..., Watched], command: Callable[..., Any], tmp_path: Path
) -> None:
    pid_file = tmp_path / "pid"
    one = watched("apps.exercise:app", "--pid-file", str(pid_file))
    run = command("status", "--pid-file", str(pid_file))
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("SERVING: ")
    file = tmp_path / "server.conf"
    file.write_text(f"[DEFAULT]\ncontrol_socket = {one.socket}\n")
    run = command("workers", "--config-file", str(file), "--json")
    assert json.loads(run.stdout)["workers"][0]["state"] == "ready"
    run = command("config", "--socket", str(one.socket))
    assert "workers = 1  (command line)" in run.stdout
    assert "backlog = 4096  (default)" in run.stdout


def test_an_upgrade_takes_the_control_socket_over(
    watched: Callable[..., Watched],
) -> None:
    one = watched()
    old = one.status()["server"]["pid"]
    one.control.post("/upgrade")

    def taken_over() -> bool:
        try:
            return bool(one.status()["server"]["pid"] != old)
        except NoServer:
            return False

    one.server.wait_for("the new server", taken_over)
    new = one.status()["server"]["pid"]
    assert one.server.wait() == 0
    assert one.status()["server"]["pid"] == new
    one.control.post("/stop")
    live.wait_until("the end of the new server", lambda: not live.is_alive(new))


@pytest.mark.parametrize(
    ("obstacle", "reason"),
    [
        ("long", "the path is longer than"),
        ("file", "a file that is no socket is in the way"),
        ("missing", "no such file or directory"),
        ("server", "another server listens there"),
    ],
)
def test_a_control_socket_that_cannot_be_had_is_one_line(
    command: Callable[..., Any], tmp_path: Path, obstacle: str, reason: str
) -> None:
    with tempfile.TemporaryDirectory(prefix="ctl-") as folder:
        path = Path(folder, "s")
        with contextlib.ExitStack() as stack:
            if obstacle == "long":
                path = Path(folder, "x" * 100)
            elif obstacle == "file":
                path.write_text("precious")
            elif obstacle == "missing":
                path = Path(folder, "no", "s")
            else:
                other = stack.enter_context(socket.socket(socket.AF_UNIX))
                other.bind(str(path))
                other.listen()
            run = command(
                *("apps.hello:app", "--bind", "127.0.0.1:0"),
                *("--control-socket", str(path)),
            )
        assert run.returncode in (5, 6)
        lines = [line for line in run.stderr.splitlines() if "error:" in line]
        assert len(lines) == 1
        assert reason in lines[0]
        if obstacle == "file":
            assert path.read_text() == "precious"


@pytest.mark.parametrize("engine", ["threads"])
def test_another_user_is_let_in_by_the_mode_alone(
    watched: Callable[..., Watched],
) -> None:
    """The socket is the supervisor's: one engine stands for all."""
    if os.geteuid() != 0:
        pytest.skip("only root can ask as another user")
    one = watched()
    os.chmod(one.socket.parent, 0o755)
    ask = (
        "import os, sys, socket; os.setuid(65534); "
        "socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    )
    command = [sys.executable, "-c", ask, str(one.socket)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "PermissionError" in run.stderr
    os.chmod(one.socket, 0o666)
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_systemd_gives_the_control_socket_a_place(
    live_server: Start, tmp_path: Path
) -> None:
    with tempfile.TemporaryDirectory(prefix="ctl-") as folder:
        env = {"RUNTIME_DIRECTORY": f"{folder}:/elsewhere"}
        server = live_server("apps.hello:app", env=env)
        control = Client(str(Path(folder, "control.sock")))
        assert control.get("/status")["phase"] == "SERVING"
        assert server.stop() == 0


def test_a_place_that_cannot_be_had_is_no_error_where_nobody_asked(
    live_server: Start, tmp_path: Path
) -> None:
    server = live_server(
        "apps.hello:app", env={"RUNTIME_DIRECTORY": str(tmp_path / "no")}
    )
    assert server.get("/").status == 200
    server.wait_for_log("INFO .*no control socket: .*no such file or directory")
    assert "ERROR" not in server.log()
    assert "WARNING" not in server.log()


def test_nothing_is_there_where_nobody_asked(live_server: Start) -> None:
    server = live_server("apps.exercise:app")
    (worker,) = server.worker_pids()
    for pid in (server.pid, worker):
        maps = Path(f"/proc/{pid}/maps").read_text()
        assert "prometheus" not in maps
    assert "admin" not in server.log()
    sockets = [
        target
        for fd in os.listdir(f"/proc/{server.pid}/fd")
        if (target := os.readlink(f"/proc/{server.pid}/fd/{fd}")).startswith("socket:")
    ]
    assert len(sockets) == 1


def test_scrapes_while_workers_come_and_go_never_go_back(
    watched: Callable[..., Watched],
) -> None:
    one = watched("apps.exercise:app", "--workers", "2", "--max-requests", "15")
    name = "http_server_request_duration_seconds_count"
    stop = threading.Event()
    asked = [0]

    def ask() -> None:
        while not stop.is_set():
            one.server.get("/turns")
            asked[0] += 1

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        seen = [0.0]
        for _ in range(5):
            one.control.post("/reload")
            seen += [one.total(name) for _ in range(3)]
    finally:
        stop.set()
        thread.join()
    assert seen == sorted(seen)
    one.server.wait_for("every request", lambda: one.total(name) == asked[0])


def test_the_supervisor_keeps_no_descriptor_of_a_reload(
    watched: Callable[..., Watched],
) -> None:
    one = watched()

    def descriptors() -> int:
        return len(os.listdir(f"/proc/{one.server.pid}/fd"))

    one.control.post("/reload")
    one.server.wait_for(
        "the old worker's end", lambda: len(one.server.worker_pids()) == 1
    )
    before = descriptors()
    for _ in range(10):
        one.control.post("/reload")
    one.server.wait_for(
        "the old worker's end", lambda: len(one.server.worker_pids()) == 1
    )
    # The client of an order may still have been there before.
    live.wait_until("no more descriptors than before", lambda: descriptors() <= before)


def test_the_admin_address_is_in_the_log_and_its_mistakes_are_said(
    command: Callable[..., Any],
) -> None:
    for bad in ("nonsense", "fd://3", "systemd", "127.0.0.1"):
        run = command("apps.hello:app", "--bind", "127.0.0.1:0", "--admin-bind", bad)
        assert run.returncode == 5
        assert re.search(r"admin_bind = .*: use HOST:PORT or unix:/path", run.stderr)
