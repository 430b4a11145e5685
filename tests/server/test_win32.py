"""`Win32Server` and its launcher: nothing in them forks, so they run here as well."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import live
import pytest
from system.transfer import steady_requests
from wsgi_server import Win32ProcessLauncher
from wsgi_server.errors import ServerError

Start = Callable[..., live.LiveServer]
WIN32 = {"SERVICE_SERVER": "wsgi_server:Win32Server"}

pytestmark = pytest.mark.forks


def test_the_launcher_starts_processes_and_waits_for_them() -> None:
    launcher = Win32ProcessLauncher()
    processes = [
        launcher.add_process([sys.executable, "-c", f"raise SystemExit({status})"])
        for status in (0, 3)
    ]
    launcher.wait()
    assert [process.returncode for process in processes] == [0, 3]
    assert launcher.processes == []


def test_the_launcher_leaves_no_process_behind() -> None:
    launcher = Win32ProcessLauncher()
    process = launcher.add_process([sys.executable, "-c", "input()"], stdin=-1)
    assert process.poll() is None
    launcher.stop()
    assert process.poll() is not None
    assert process.stdin is not None
    process.stdin.close()


def test_a_program_that_is_not_there_is_a_server_error() -> None:
    with pytest.raises(ServerError, match="cannot start /no/such/program"):
        Win32ProcessLauncher().add_process(["/no/such/program"])


def test_workers_share_the_socket_and_are_replaced(live_program: Start) -> None:
    server = live_program("apps.service", env=WIN32)
    first = server.worker_pids()
    assert len(first) == 1
    greeting, pid = server.get().text.split()
    assert (greeting, int(pid)) == ("hello", *first)
    for worker in first:
        os.kill(worker, signal.SIGKILL)
    server.wait_for("another worker", lambda: server.worker_pids() - first)
    assert int(server.get().text.split()[1]) not in first
    assert server.stop() == 0


def test_workers_leave_when_their_parent_is_gone(live_program: Start) -> None:
    server = live_program("apps.service", env=WIN32)
    workers = server.worker_pids()
    server.get()
    os.kill(server.pid, signal.SIGKILL)
    server.process.wait()
    server.wait_for("their end", lambda: not any(map(live.is_alive, workers)))


def test_without_workers_it_serves_by_itself(
    live_program: Start, tmp_path: Path
) -> None:
    conf = tmp_path / "service.conf"
    conf.write_text("[DEFAULT]\nworkers = 0\n")
    server = live_program("apps.service", "--config-file", str(conf), env=WIN32)
    assert server.get().text == f"hello {server.pid}"
    assert server.stop() == 0


def write(conf: Path, **options: object) -> None:
    lines = "".join(f"{name} = {value}\n" for name, value in options.items())
    conf.write_text(f"[DEFAULT]\n{lines}")


@pytest.fixture
def service(live_program: Start, tmp_path: Path) -> Callable[..., live.LiveServer]:
    def start(**options: object) -> live.LiveServer:
        write(tmp_path / "service.conf", **options)
        return live_program("apps.service", "--config-file", "service.conf", env=WIN32)

    return start


def test_a_reload_replaces_the_workers_as_everywhere(
    service: Callable[..., live.LiveServer], tmp_path: Path
) -> None:
    server = service(workers=2)
    first = server.worker_pids()
    write(tmp_path / "service.conf", workers=2, greeting="again", backlog=77)
    with steady_requests(server, "/") as seen:
        server.send(signal.SIGHUP)
        server.wait_for_log("generation 2 serves")
        server.wait_for("the end of the old", lambda: not first & server.worker_pids())
    assert seen.failures == []
    assert server.get().text.startswith("again ")
    assert len(server.worker_pids()) == 2
    assert server.stop() == 0


def test_a_reload_that_fails_leaves_everything_as_it_was(
    service: Callable[..., live.LiveServer], tmp_path: Path
) -> None:
    server = service(workers=1)
    workers = server.worker_pids()
    write(tmp_path / "service.conf", workers=1, backlog="many")
    server.send(signal.SIGHUP)
    server.wait_for_log("reload failed: ")
    assert server.worker_pids() == workers
    assert server.get().status == 200
    assert server.stop() == 0
