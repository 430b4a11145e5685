"""What systemd hears, received on a real datagram socket."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import live
import pytest
from oslo_config import cfg
from server.process.support import Service, reload
from wsgi_server._command.arguments import parse
from wsgi_server._config.settings import Settings
from wsgi_server._process.worker import MARGIN
from wsgi_server._process.workers import DUMP_TIMEOUT
from wsgi_server._system.systemd import Notifier, listen_fds
from wsgi_server.errors import ExitStatus
from wsgi_server.opts import register_opts

DOCS = Path(__file__).parents[3] / "docs" / "server"


class Manager:
    """systemd's end of the notification socket."""

    def __init__(self, path: str) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(path)
        self.sock.settimeout(live.PATIENCE)
        self.heard: list[str] = []

    def hear(self, pattern: str) -> str:
        """The next message that matches; those before it are kept in `heard`."""
        while True:
            message = self.sock.recv(4096).decode()
            self.heard.append(message)
            if re.search(pattern, message):
                return message

    def drain(self) -> list[str]:
        """What has arrived by now."""
        self.sock.setblocking(False)
        try:
            while True:
                self.heard.append(self.sock.recv(4096).decode())
        except BlockingIOError:
            return self.heard
        finally:
            self.sock.settimeout(live.PATIENCE)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    it = Manager(str(tmp_path / "notify"))
    yield it
    it.sock.close()


def env(tmp_path: Path, **more: str) -> dict[str, str]:
    return {"NOTIFY_SOCKET": str(tmp_path / "notify"), **more}


@pytest.mark.forks
def test_ready_is_said_when_the_workers_are_ready_and_not_before(
    service: Service, manager: Manager, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    code = service.application.read_text()
    service.application.write_text(
        code + f"while not os.path.exists({str(gate)!r}): time.sleep(0.01)\n"
    )
    server = service.start(env=env(tmp_path), listens=False)
    server.wait_for("both workers", lambda: len(server.worker_pids()) == 2)
    assert not [m for m in manager.drain() if "READY" in m]
    gate.touch()
    assert "STATUS=generation 1, 2 workers ready" in manager.hear("READY=1")


@pytest.mark.forks
def test_a_start_that_is_tried_for_long_says_so(
    service: Service, manager: Manager, tmp_path: Path
) -> None:
    service.configure(start_retry=100, worker_ready_timeout=20)
    service.start(env=env(tmp_path))
    manager.hear("EXTEND_TIMEOUT_USEC=120000000")
    manager.hear("READY=1")


@pytest.mark.forks
def test_a_reload_is_announced_with_its_time_and_ends_with_ready(
    service: Service, manager: Manager, tmp_path: Path
) -> None:
    server = service.start(env=env(tmp_path))
    manager.hear("READY=1")
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    server.send(signal.SIGHUP)
    message = manager.hear("RELOADING=1")
    stamp = int(re.search(r"MONOTONIC_USEC=(\d+)", message).group(1))  # type: ignore[union-attr]
    assert before < stamp <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert "generation 2" in manager.hear("READY=1")
    service.config.write_text("nonsense")
    reload(server)
    # systemd would wait for ever if a failed reload did not end as well.
    manager.hear("RELOADING=1")
    assert "generation 2" in manager.hear("READY=1")


@pytest.mark.forks
def test_stopping_is_said(service: Service, manager: Manager, tmp_path: Path) -> None:
    server = service.start(env=env(tmp_path))
    server.send(signal.SIGTERM)
    manager.hear("STOPPING=1")
    assert server.wait() == 0


@pytest.mark.forks
@pytest.mark.parametrize("workers", [2, 0])
def test_the_watchdog_hears_of_a_healthy_server(
    service: Service, manager: Manager, tmp_path: Path, workers: int
) -> None:
    service.configure(workers=workers)
    service.start(env=env(tmp_path, WATCHDOG_USEC="400000"))
    manager.hear("READY=1")
    for _ in range(3):
        manager.hear("WATCHDOG=1")


@pytest.mark.forks
def test_the_watchdog_hears_nothing_while_no_worker_moves(
    service: Service, manager: Manager, tmp_path: Path
) -> None:
    service.configure(worker_timeout=1)
    server = service.start(env=env(tmp_path, WATCHDOG_USEC="200000"))
    manager.hear("WATCHDOG=1")
    for pid in server.worker_pids():
        os.kill(pid, signal.SIGSTOP)
    manager.hear("STATUS=generation 1, 0 workers ready")
    manager.drain()
    manager.heard.clear()
    manager.hear("STATUS=generation 1, [12] workers ready")
    assert not [m for m in manager.heard if "WATCHDOG" in m]
    manager.hear("WATCHDOG=1")


@pytest.mark.forks
@pytest.mark.parametrize("workers", [2, 0])
def test_an_upgrade_names_the_new_main_process(
    service: Service, manager: Manager, tmp_path: Path, workers: int
) -> None:
    service.configure(workers=workers)
    server = service.start(env=env(tmp_path))
    manager.hear("READY=1")
    server.send(signal.SIGUSR2)
    message = manager.hear(r"MAINPID=\d+")
    new = int(message.partition("=")[2])
    assert f"process {new} starts on our sockets" in server.log()
    assert server.wait() == 0
    # Not even that it stops: systemd would take it for the service.
    assert not [m for m in manager.drain() if "STOPPING" in m]
    os.kill(new, signal.SIGTERM)
    server.wait_for("its end", lambda: not live.is_alive(new))
    # The control: the new one says it.
    manager.hear("STOPPING=1")


def test_the_service_unit_fits_the_server() -> None:
    unit = (DOCS / "wsgi-server.service").read_text().replace("\\\n", "")
    service = dict(re.findall(r"^(\w+)=(.*)$", unit, re.MULTILINE))
    hopeless = {
        ExitStatus.USAGE,
        ExitStatus.LOAD,
        ExitStatus.CONFIG,
        ExitStatus.BIND,
    }
    assert set(map(int, service["RestartPreventExitStatus"].split())) == hopeless
    _, *arguments = shlex.split(service["ExecStart"])
    parsed = parse(arguments)
    assert parsed.app.startswith("config:")
    assert parsed.start_retry > 0
    conf = cfg.ConfigOpts()
    register_opts(conf)
    conf([], default_config_files=[], default_config_dirs=[])
    longest = Settings.from_conf(conf, default_port=0).graceful_timeout + MARGIN
    assert float(service["TimeoutStopSec"]) > longest + DUMP_TIMEOUT


def test_a_notifier_without_a_socket_is_silent_and_one_without_a_reader_survives(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Notifier({}, 1).ready("fine")
    assert caplog.records == []
    deaf = Notifier({"NOTIFY_SOCKET": str(tmp_path / "absent")}, 1)
    deaf.ready("fine")
    deaf.stopping()
    assert len(caplog.records) == 1


def test_a_change_waits_for_room_in_the_queue_and_a_sign_of_life_does_not(
    manager: Manager, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    notifier = Notifier(env(tmp_path), 1)
    for _ in range(10_000):
        if caplog.records:
            break
        notifier.alive()
    assert "cannot notify" in caplog.text
    hearing = threading.Thread(target=manager.hear, args=("READY=1",))
    hearing.start()
    notifier.ready("fine")
    hearing.join()
    assert manager.heard[-1] == "READY=1\nSTATUS=fine"


def test_an_abstract_notification_socket_works() -> None:
    name = f"wsgi-server-notify-{os.getpid()}"
    manager = Manager(f"\0{name}")
    Notifier({"NOTIFY_SOCKET": f"@{name}"}, 1).ready("fine")
    assert manager.hear("READY=1") == "READY=1\nSTATUS=fine"
    manager.sock.close()


@pytest.mark.parametrize(
    ("environ", "fds"),
    [
        ({}, []),
        ({"LISTEN_PID": "7", "LISTEN_FDS": "2"}, [("", 3), ("", 4)]),
        ({"LISTEN_PID": "8", "LISTEN_FDS": "2"}, []),
        (
            {"LISTEN_PID": "7", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b"},
            [("a", 3), ("b", 4)],
        ),
        ({"LISTEN_PID": "7", "LISTEN_FDS": "many"}, []),
    ],
)
def test_listen_fds_are_for_the_process_they_name(
    environ: dict[str, str], fds: list[tuple[str, int]]
) -> None:
    assert listen_fds(environ, 7) == fds


def test_the_watchdog_is_for_the_process_it_names() -> None:
    usec = {"WATCHDOG_USEC": "4000000"}
    assert Notifier(usec, 7).interval == 2.0
    assert Notifier({**usec, "WATCHDOG_PID": "7"}, 7).interval == 2.0
    assert Notifier({**usec, "WATCHDOG_PID": "8"}, 7).interval is None
    assert Notifier({}, 7).interval is None
    assert Notifier({"WATCHDOG_USEC": "0"}, 7).interval is None
