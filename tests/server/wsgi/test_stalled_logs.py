"""Logs and standard streams that nobody reads cost lines: no request, no turn, no stop."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import live
import pytest
from apps.noisy import WAYS
from server.process.support import states
from server.stalled import StalledServer, stalled, writes
from wsgi_server.errors import ExitStatus

pytestmark = pytest.mark.forks

Start = Callable[..., live.LiveServer]
#: Requests in each way; the pipes are full after the first two.
MANY = 20


def options(form: str, workers: int) -> list[str]:
    return [
        *("--bind-host", "127.0.0.1", "--bind-port", "0"),
        *("--engine", live.engine_of(form), "--workers", str(workers)),
    ]


@pytest.fixture(params=[1, 0], ids=["worker", "alone"])
def server(
    request: pytest.FixtureRequest, engine: str, tmp_path: Path
) -> Iterator[StalledServer]:
    """A server whose streams have stalled."""
    uri = live.application_of(engine, "apps.noisy:app")
    with stalled(tmp_path, uri, *options(engine, request.param)) as it:
        yield it


def serving(server: live.LiveServer) -> int:
    """The process that answers."""
    return next(iter(server.worker_pids()), server.pid)


def make_noise(server: live.LiveServer) -> None:
    for way in WAYS:
        for _ in range(MANY):
            assert server.get(way).status == (500 if way == "/fail" else 200)


def test_nothing_that_is_said_to_nobody_holds_a_request_up(
    server: StalledServer,
) -> None:
    make_noise(server)
    assert all(pipe.is_full for pipe in server.pipes)
    assert server.stop() == 0


def test_a_reader_that_goes_away_makes_nothing_spin(server: StalledServer) -> None:
    make_noise(server)
    pid = serving(server)
    before = writes(pid)
    server.close()
    make_noise(server)
    server.wait_for("it to sleep", lambda: set(states(pid)) == {"S"})
    # One attempt for each line, and one for what the request itself writes.
    assert writes(pid) - before < 12 * MANY * len(WAYS)
    assert server.stop() == 0


def test_a_full_disk_costs_lines_and_no_request(engine: str, tmp_path: Path) -> None:
    uri = live.application_of(engine, "apps.noisy:app")
    bind = tmp_path / "s"
    arguments = [*options(engine, 1)[4:], "--bind", f"unix:{bind}"]
    with open("/dev/full", "wb") as full:
        process = subprocess.Popen(
            live.command_line(uri, *arguments),
            cwd=tmp_path,
            env=live.environment(),
            stdout=full,
            stderr=full,
        )
    nothing = tmp_path / "nothing"
    nothing.touch()
    server = live.LiveServer(process, tmp_path, nothing, nothing)
    with live.stopping([server]):
        for way in WAYS:
            for _ in range(MANY):
                status = 500 if way == "/fail" else 200
                assert f"HTTP/1.1 {status} " in ask(bind, way)
        assert server.stop() == 0


def ask(path: Path, target: str) -> str:
    """The answer on a Unix socket, once somebody listens there."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(live.PATIENCE)
        # The file is there before anybody listens behind it.
        live.wait_until("its socket", lambda: not sock.connect_ex(str(path)))
        sock.sendall(f"GET {target} HTTP/1.0\r\n\r\n".encode())
        return b"".join(iter(lambda: sock.recv(65536), b"")).decode()


def test_a_log_file_that_is_a_fifo_is_opened_for_a_reader_alone(
    live_server: Start, tmp_path: Path
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    arguments = ("apps.noisy:app", "--log-file", str(fifo))
    refused = live_server(*arguments, listens=False)
    assert refused.wait() == ExitStatus.CONFIG
    assert f"log_file: cannot write {fifo}: No such device" in refused.log()
    # The control: with a reader, who reads until it listens and then goes away.
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        server = live_server(*arguments, listens=False)
        said = b""
        while not (found := re.search(rb"listening on (\S+)\n", said)):
            with contextlib.suppress(BlockingIOError):
                said += os.read(reader, 65536)
    finally:
        os.close(reader)
    server.url = found.group(1).decode()
    make_noise(server)
    # To open it anew is tried, and does not wait for somebody to read.
    server.send(signal.SIGUSR1)
    make_noise(server)
    assert server.stop() == 0


def test_a_log_handler_that_waits_with_its_lock_does_not_stop_the_clock(
    live_server: Start, tmp_path: Path
) -> None:
    """The server has something to log meanwhile, and cannot wait where timers run."""
    gate = tmp_path / "gate"
    conf = tmp_path / "server.conf"
    conf.write_text("[DEFAULT]\nrequest_timeout = 0.5\n")
    server = live_server(
        "apps.waiting_log:app", "--config-file", str(conf), env={"GATE": str(gate)}
    )
    with (
        contextlib.closing(server.client()) as waits,
        contextlib.closing(server.client()) as long,
    ):
        waits.request("GET", "/wait")
        server.wait_for("the handler to wait", gate.with_suffix(".waits").exists)
        long.request("GET", "/long")
        # Both are overdue by now; what is said about the second waits for the first.
        server.wait_for_log("GET /wait .* exceeded request_timeout")
        gate.touch()
        assert long.getresponse().status == 503
        gate.with_suffix(".off").touch()


def test_a_server_without_standard_streams_serves(engine: str, tmp_path: Path) -> None:
    """As some init systems start it; without a log, what it says goes nowhere."""
    bind, log = tmp_path / "s", tmp_path / "log"
    uri = live.application_of(engine, "apps.noisy:app")
    words = live.command_line(
        uri,
        *("--bind", f"unix:{bind}", "--engine", live.engine_of(engine)),
        *("--workers", "1", "--log-file", str(log)),
    )
    closes = ["sh", "-c", 'exec "$@" 0<&- 1>&- 2>&-', "sh", *words]
    process = subprocess.Popen(closes, cwd=tmp_path, env=live.environment())
    server = live.LiveServer(process, tmp_path, log, log)
    live.wait_until("its log", log.exists)
    with live.stopping([server]):
        for way in WAYS:
            status = 500 if way == "/fail" else 200
            assert f"HTTP/1.1 {status} " in ask(bind, way)
        for pid in (server.pid, serving(server)):
            streams = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)]
            assert streams == ["/dev/null"] * 3
        assert server.stop() == 0
    assert "listening on" in log.read_text()
