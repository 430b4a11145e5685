"""SIGUSR2: a new binary on the same sockets, or nothing at all."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import live
import pytest
import tools
from server.process.support import (
    Service,
    answer,
    both_engines,
    hang,
    reload,
    steady_requests,
)

pytestmark = pytest.mark.forks


@pytest.fixture
def successors() -> Iterator[list[int]]:
    """Supervisors that are no children of ours: stopped at the end, the hard way last."""
    pids: list[int] = []
    yield pids
    for pid in pids:
        if live.is_alive(pid):
            os.kill(pid, signal.SIGTERM)
        live.wait_until(f"the end of {pid}", lambda: not live.is_alive(pid))


def upgrade(server: live.LiveServer) -> int:
    """USR2, and the process id of the new supervisor."""
    server.send(signal.SIGUSR2)
    return int(server.wait_for_log(r"process (\d+) starts on our sockets").group(1))


def get_through(path: Path) -> bytes:
    """What the server behind a Unix socket answers."""
    return subprocess.run(
        [tools.need("curl"), "-sS", "--unix-socket", str(path), "http://localhost/"],
        capture_output=True,
        check=True,
    ).stdout


@pytest.mark.parametrize("workers", [2, 0])
def test_usr2_hands_over_to_a_new_server_and_loses_nothing(
    service: Service, successors: list[int], tmp_path: Path, workers: int
) -> None:
    pid_file = tmp_path / "serve.pid"
    service.configure(pid_file=str(pid_file), workers=workers)
    server = service.start()
    assert pid_file.read_text() == f"{server.pid}\n"
    with steady_requests(server) as load:
        service.publish("two")
        successors.append(upgrade(server))
        assert server.wait() == 0
        done = load.done
        server.wait_for("more answers", lambda: load.done > done + 5)
    assert load.failures == []
    assert answer(server)["version"] == "two"
    assert pid_file.read_text() == f"{successors[0]}\n"
    os.kill(successors[0], signal.SIGTERM)
    server.wait_for("its end", lambda: not live.is_alive(successors[0]))
    assert not pid_file.exists()


@pytest.mark.parametrize("workers", [2, 0])
def test_a_new_server_that_fails_changes_nothing(
    service: Service, successors: list[int], tmp_path: Path, workers: int
) -> None:
    pid_file = tmp_path / "serve.pid"
    service.configure(pid_file=str(pid_file), workers=workers)
    server = service.start()
    old = server.worker_pids()
    code = service.application.read_text()
    with steady_requests(server) as load:
        service.application.write_text("1 / 0\n")
        failed = upgrade(server)
        server.wait_for_log(f"upgrade: process {failed} failed; we go on")
        done = load.done
        server.wait_for("more answers", lambda: load.done > done + 5)
    assert load.failures == []
    # Not even a zombie is left of it.
    server.wait_for("its end", lambda: not Path(f"/proc/{failed}").exists())
    assert server.worker_pids() == old
    assert pid_file.read_text() == f"{server.pid}\n"
    # The control: the same with code that works.
    service.application.write_text(code)
    server.send(signal.SIGUSR2)
    server.wait_for_log(r"process \d+ has taken over")
    found = re.search(r"process (\d+) has taken over", server.log())
    assert found is not None
    successors.append(int(found.group(1)))
    assert server.wait() == 0
    assert answer(server)["version"] == "one"


@pytest.mark.parametrize("workers", [2, 0])
def test_a_new_server_that_fails_leaves_the_unix_socket_to_the_old_one(
    service: Service, successors: list[int], tmp_path: Path, workers: int
) -> None:
    path = tmp_path / "s"
    service.configure(bind=f"unix:{path}", workers=workers)
    server = service.start()
    code = service.application.read_text()
    service.application.write_text("1 / 0\n")
    failed = upgrade(server)
    server.wait_for_log(f"upgrade: process {failed} failed; we go on")
    server.wait_for("its end", lambda: not live.is_alive(failed))
    assert b'"version": "one"' in get_through(path)
    # The control: the file belongs to a new server that works.
    service.application.write_text(code)
    service.publish("two")
    server.send(signal.SIGUSR2)
    found = server.wait_for_log(r"process (\d+) has taken over")
    successors.append(int(found.group(1)))
    assert server.wait() == 0
    assert b'"version": "two"' in get_through(path)
    os.kill(successors[0], signal.SIGTERM)
    server.wait_for("its end", lambda: not path.exists())


def test_usr2_twice_starts_one_server(
    service: Service, successors: list[int], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    server = service.start()
    service.application.write_text(
        service.application.read_text()
        + f"while not os.path.exists({str(gate)!r}): time.sleep(0.01)\n"
    )
    successors.append(upgrade(server))
    server.send(signal.SIGUSR2)
    server.wait_for_log("no upgrade now")
    gate.touch()
    assert server.wait() == 0
    assert answer(server)["version"] == "one"


def test_a_unix_socket_survives_the_upgrade(
    service: Service, successors: list[int], tmp_path: Path
) -> None:
    path = tmp_path / "s"
    service.configure(bind=f"unix:{path}")
    server = service.start()
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    service.configure(unix_socket_mode="0600")
    successors.append(upgrade(server))
    assert server.wait() == 0
    assert path.is_socket()
    assert b'"version": "one"' in get_through(path)
    server.wait_for("its mode", lambda: stat.S_IMODE(path.stat().st_mode) == 0o600)
    os.kill(successors[0], signal.SIGTERM)
    server.wait_for("its end", lambda: not path.exists())


@both_engines
@pytest.mark.parametrize("workers", [2, 0])
def test_sigterm_during_an_upgrade_stops_both(service: Service, workers: int) -> None:
    # A deadline so far away that poll() does not take it.
    service.configure(worker_ready_timeout=3e9, workers=workers)
    server = service.start()
    begun = hang(service)
    successor = upgrade(server)
    server.wait_for("its application", begun.exists)
    server.send(signal.SIGTERM)
    assert server.wait() == 0
    server.wait_for("the other's end", lambda: not live.is_alive(successor))


@both_engines
def test_a_new_server_that_is_never_ready_is_stopped_and_makes_room_for_the_next(
    service: Service, successors: list[int]
) -> None:
    service.configure(workers=0, worker_ready_timeout=0.1)
    server = service.start()
    code = service.application.read_text()
    hang(service)
    late = upgrade(server)
    server.wait_for_log(f"process {late} is not ready in time")
    server.wait_for_log(f"process {late} has left")
    server.wait_for("its end", lambda: not live.is_alive(late))
    assert answer(server)["pid"] == server.pid
    # The control: the same with time enough and code that loads.
    service.application.write_text(code)
    service.configure(worker_ready_timeout=60)
    reload(server)
    server.send(signal.SIGUSR2)
    found = server.wait_for_log(r"process (\d+) has taken over")
    successors.append(int(found.group(1)))
    assert server.wait() == 0
