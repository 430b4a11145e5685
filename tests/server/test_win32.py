"""`Win32Server` and its launcher: nothing in them forks, so they run here as well."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import live
import pytest
from apps.service import OPTIONS
from oslo_config import cfg
from wsgi_server import Win32ProcessLauncher, Win32Server
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


def test_a_stop_reaches_the_worker_that_starts_meanwhile(live_program: Start) -> None:
    served_by = {"SERVICE_SERVER": "apps.servers:StoppedAsItReplaces"}
    server = live_program("apps.service", env=served_by)
    (worker,) = server.worker_pids()
    os.kill(worker, signal.SIGKILL)
    assert server.wait() == 0
    assert "Traceback" not in server.log()


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


@pytest.mark.parametrize(
    "option", [f"cert_file = {__file__}", "engine = threads"], ids=["tls", "threads"]
)
def test_what_it_cannot_do_is_refused_and_nothing_served_instead(
    option: str, live_program: Start, tmp_path: Path
) -> None:
    conf = tmp_path / "service.conf"
    conf.write_text(f"[wsgi_server]\n{option}\n")
    arguments = ("--config-file", str(conf))
    server = live_program("apps.service", *arguments, env=WIN32, listens=False)
    assert server.wait() != 0
    assert "listening on" not in server.log()
    assert "ConfigError: " in server.log()
    assert "Win32Server serves" in server.log()


def test_a_socket_that_stays_gets_its_new_options() -> None:
    conf = cfg.ConfigOpts()
    conf.register_opts(OPTIONS)
    conf([], default_config_files=[])
    server = Win32Server(conf=conf)
    server.default_port = 0
    server.configure_socket()
    sock = server.sock
    assert sock is not None
    with sock:
        conf.set_override("tcp_keepidle", 77)
        server.configure_socket({}, lambda name: name == "tcp_keepidle")
        assert server.sock is sock
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 77


def test_a_reload_takes_a_restart(live_program: Start) -> None:
    server = live_program(
        "apps.service", env={**WIN32, "SERVICE_WAITS_BY": "reload"}, listens=False
    )
    server.wait_for_log("no reload: this platform takes a restart")
