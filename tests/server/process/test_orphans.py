"""Workers whose supervisor was killed: they leave by themselves, whatever they are at."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

import live
import pytest
from server.process.support import Service, answer, both_engines, hang

pytestmark = pytest.mark.forks


@both_engines
def test_workers_leave_when_the_supervisor_is_killed(service: Service) -> None:
    server = service.start()
    workers = server.worker_pids()
    with contextlib.closing(server.client()) as client:
        client.request("GET", "/")
        client.getresponse().read()
        began = time.monotonic()
        kill(server)
        server.wait_for(
            "the workers' end", lambda: not any(map(live.is_alive, workers))
        )
        assert time.monotonic() - began < 5
    service.configure(bind_port=server.port)
    assert answer(service.start())["version"] == "one"


@both_engines
def test_a_busy_orphan_finishes_its_request_within_graceful_timeout(
    service: Service, tmp_path: Path
) -> None:
    service.configure(graceful_timeout=1)
    server = service.start()
    workers = server.worker_pids()
    begun = tmp_path / "begun"
    with server.connect() as client:
        client.sendall(
            f"GET /begin?file={begun}&s=300 HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        )
        server.wait_for("the request to run", begun.exists)
        began = time.monotonic()
        kill(server)
        server.wait_for(
            "the workers' end", lambda: not any(map(live.is_alive, workers))
        )
    assert time.monotonic() - began > 0.9


@both_engines
@pytest.mark.parametrize("path", ["/stuck", "/spin"])
def test_an_orphan_whose_application_holds_the_loop_up_ends_at_graceful_timeout(
    service: Service, tmp_path: Path, path: str
) -> None:
    service.configure(graceful_timeout=1, workers=1)
    server = service.start()
    (worker,) = server.worker_pids()
    begun = tmp_path / "begun"
    with server.connect() as client:
        client.sendall(
            f"GET {path}?file={begun}&s=300 HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        )
        server.wait_for("the request to run", begun.exists)
        began = time.monotonic()
        kill(server)
        server.wait_for("the worker's end", lambda: not live.is_alive(worker))
    assert time.monotonic() - began > 0.9
    # Where it stood is in the log, whoever ended it.
    assert 'application.py", line' in server.log()


@both_engines
def test_an_orphan_that_still_loads_ends_at_once(service: Service) -> None:
    begun = hang(service)
    server = service.start(listens=False)
    server.wait_for("a worker that loads", begun.exists)
    workers = server.worker_pids()
    kill(server)
    server.wait_for("the workers' end", lambda: not any(map(live.is_alive, workers)))


@both_engines
def test_a_new_server_binds_while_an_orphan_is_still_busy(
    service: Service, tmp_path: Path
) -> None:
    service.configure(workers=1, graceful_timeout=60)
    server = service.start()
    (worker,) = server.worker_pids()
    begun, gate = tmp_path / "begun", tmp_path / "gate"
    with server.connect() as client:
        client.sendall(
            f"GET /begin?file={begun}&gate={gate} HTTP/1.1\r\nHost: x\r\n"
            "Connection: close\r\n\r\n".encode()
        )
        server.wait_for("the request to run", begun.exists)
        kill(server)
        server.wait_for("the port to be given up", lambda: live.refuses(server.address))
        service.configure(bind_port=server.port)
        assert answer(service.start())["version"] == "one"
        assert live.is_alive(worker)
        gate.touch()
        whole = b"".join(iter(lambda: client.recv(65536), b""))
    assert whole.startswith(b"HTTP/1.1 200 ")
    server.wait_for("the orphan's end", lambda: not live.is_alive(worker))


def test_the_orphans_signal_means_nothing_while_the_supervisor_lives(
    service: Service,
) -> None:
    service.configure(workers=1, graceful_timeout=0, max_worker_lifetime=4)
    server = service.start()
    (worker,) = server.worker_pids()
    os.kill(worker, signal.SIGIO)
    # Its age, 4 s, comes after the 2 s that an orphan would have had.
    server.wait_for_log(f"worker {worker} .* is to be replaced: 4 s of age")


def kill(server: live.LiveServer) -> None:
    """KILL for the supervisor alone."""
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
