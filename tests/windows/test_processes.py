"""The processes on Windows: workers that are started anew, told over sockets, and in a job."""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from windows.servers import Serve, Server, Start

#: Starts it with those options; writes its file anew.
Service = tuple[Callable[..., Server], Callable[..., None]]
START = r"worker (\d+) \(wsgi \d+\) ready"


@pytest.fixture
def service(start: Start, tmp_path: Path) -> Service:
    """A function that starts `apps.service` with the options of its file, and that file."""
    conf = tmp_path / "a path with spaces #1.conf"

    def write(**options: object) -> None:
        lines = "".join(f"{name} = {value}\n" for name, value in options.items())
        conf.write_text(f"[DEFAULT]\n{lines}")

    def begin(**options: object) -> Server:
        write(**options)
        return start("-m", "apps.reloading", "--config-file", str(conf))

    return begin, write


def pid_of(answer: bytes) -> int:
    return int(answer.split()[1])


def test_a_dead_worker_is_replaced(service: Service) -> None:
    begin, _ = service
    server = begin(workers=1)
    first = pid_of(server.get())
    os.kill(first, 9)
    server.wait_for(START, 2)
    assert pid_of(server.get()) != first


_NT: Any = vars(ctypes)["WinDLL"]("ntdll") if sys.platform == "win32" else None
UNDER_WINE = hasattr(_NT, "wine_get_version")
KEYS = pytest.mark.parametrize(
    "key",
    [
        pytest.param(0, id="ctrl-c"),
        pytest.param(
            1,
            id="ctrl-break",
            marks=pytest.mark.skipif(
                UNDER_WINE, reason="Wine's C library hands Ctrl-C alone to programs"
            ),
        ),
    ],
)


@KEYS
def test_a_key_drains(serve: Serve, engine: str, key: int) -> None:
    server = serve(engine, "--workers", "1", "--graceful-timeout", "60")
    with contextlib.closing(server.client()) as client:
        client.request("GET", "/nap?2")
        server.press(key)
        server.wait_for("stopping when all is answered")
        assert client.getresponse().status == 200
    assert server.wait() == 0


def test_a_second_key_ends_at_once(serve: Serve, engine: str) -> None:
    server = serve(engine, "--workers", "1", "--graceful-timeout", "600")
    with contextlib.closing(server.client()) as client:
        client.request("GET", "/nap?300")
        server.press(0)
        server.wait_for("stopping when all is answered")
        server.press(0)
        server.wait_for("stopping at once")
        assert server.wait() == 0


@pytest.mark.parametrize("workers", ["0", "1"])
def test_an_idle_server_hears_a_key(serve: Serve, engine: str, workers: str) -> None:
    server = serve(engine, "--workers", workers)
    assert server.get("/whole") == b"onetwo"
    server.press(0)
    assert server.wait() == 0


def test_nobody_keeps_the_port_when_the_parent_is_killed(
    serve: Serve, engine: str
) -> None:
    server = serve(engine, "--workers", "2", "--graceful-timeout", "60")
    port = server.port
    with contextlib.closing(server.client()) as client:
        client.request("GET", "/nap?300")
        server.process.kill()
        server.process.wait()

        def free() -> bool:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
            except OSError:
                return True
            return False

        deadline = time.monotonic() + 10
        while not free():
            assert time.monotonic() < deadline, "somebody answers"
            time.sleep(0.05)


@pytest.mark.timeout(900)
def test_thirty_reloads_lose_no_request(service: Service) -> None:
    begin, write = service
    server = begin(workers=1)
    port, count, enough = server.port, [0], threading.Event()
    failures: list[str] = []

    def load() -> None:
        while not enough.is_set():
            try:
                with contextlib.closing(
                    http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                ) as client:
                    client.request("GET", "/")
                    assert client.getresponse().status == 200
                count[0] += 1
            except OSError as exc:
                failures.append(repr(exc))

    thread = threading.Thread(target=load)
    thread.start()
    try:
        for number in range(2, 32):
            write(workers=1, greeting=f"hello{number}")
            server.get("/reload")
            server.wait_for(f"generation {number} serves")
    finally:
        enough.set()
        thread.join()
    assert failures == []
    assert count[0] > 30
    assert server.get().startswith(b"hello31 ")


def test_a_broken_configuration_keeps_the_old_generation(service: Service) -> None:
    begin, write = service
    server = begin(workers=1)
    first = pid_of(server.get())
    write(workers=1, backlog="many")
    server.get("/reload")
    server.wait_for("reload failed: ")
    assert pid_of(server.get()) == first


def test_a_port_that_another_holds_is_one_line(serve: Serve, engine: str) -> None:
    with socket.socket() as other:
        exclusive: int = vars(socket)["SO_EXCLUSIVEADDRUSE"]
        other.setsockopt(socket.SOL_SOCKET, exclusive, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        server = serve(engine, "--bind-port", str(port))
        assert server.wait() != 0
    (line,) = re.findall("wsgi-server: error: .*", server.log())
    assert "another server listens there" in line
    assert "Traceback" not in server.log()


@pytest.mark.parametrize(
    "option", [("--user", "nobody"), ("--bind", "unix:x"), ("--bind", "fd://3")]
)
def test_what_cannot_be_is_refused_in_one_line(
    start: Start, option: tuple[str, str]
) -> None:
    server = start("-m", "wsgi_server", "apps.hello:app", *option)
    assert server.wait() != 0
    assert len(re.findall("wsgi-server: error: ", server.log())) == 1
    assert "Traceback" not in server.log()


def test_a_virtual_environment_serves(start: Start, tmp_path: Path) -> None:
    scripts = tmp_path / "venv" / "Scripts"
    scripts.mkdir(parents=True)
    home = Path(sys.executable).parent
    lines = f"home = {home}\ninclude-system-site-packages = true\n"
    (tmp_path / "venv" / "pyvenv.cfg").write_text(lines)
    redirector = scripts / "python.exe"
    redirector.write_bytes((home / "redirector.exe").read_bytes())
    options = ("--bind-host", "127.0.0.1", "--bind-port", "0", "--workers", "1")
    server = start(
        *("-m", "wsgi_server", "apps.exercise:app", *options),
        python=str(redirector),
        env={"RIG_BASE_PYTHON": sys.executable},
    )
    assert server.get("/whole") == b"onetwo"
    # What was started is not the server itself, which would outlive it.
    server.press(0)
    assert server.wait() == 0


def test_the_drop_in_of_glance_serves(start: Start, tmp_path: Path) -> None:
    conf = tmp_path / "glance.conf"
    conf.write_text("[DEFAULT]\nworkers = 1\nbind_host = 127.0.0.1\n")
    server = start("-m", "apps.glanced", "--config-file", str(conf))
    assert server.get().startswith(b"glanced ")


def test_what_the_launcher_started_ends_with_it(tmp_path: Path) -> None:
    code = (
        "import sys, wsgi_server\n"
        "launcher = wsgi_server.Win32ProcessLauncher()\n"
        "child = [sys.executable, '-c', 'import time; time.sleep(600)']\n"
        "print(launcher.add_process(child).pid, flush=True)\n"
        "launcher.wait()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 10
    while is_alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    kernel = vars(ctypes)["WinDLL"]("kernel32")
    handle = kernel.OpenProcess(0x100000, False, pid)
    if not handle:
        return False
    try:
        return bool(kernel.WaitForSingleObject(handle, 0) == 0x102)
    finally:
        kernel.CloseHandle(handle)
