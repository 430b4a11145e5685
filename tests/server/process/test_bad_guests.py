"""Who misuses the admin side gets a clear answer, and the service in front never notices."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import live
import pytest
import tools
from server.process.support import both_engines
from server.process.watching import Watched
from wsgi_server._command.client import Client

pytestmark = pytest.mark.forks

Start = Callable[..., Watched]
#: More than the admin side lets in at one time.
CROWD = 100


class Front:
    """Clients of the service who ask all the time; `failures` are what they did not like."""

    def __init__(self, server: live.LiveServer) -> None:
        self._server = server
        self._stop = threading.Event()
        self.failures: list[object] = []
        self.count = 0
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Front:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._stop.is_set():
            try:
                answer = self._server.get("/turns")
                if answer.status != 200:
                    self.failures.append(answer)
            except OSError as exc:
                self.failures.append(exc)
            self.count += 1

    def go_on(self) -> None:
        """Returns when some more were answered."""
        before = self.count
        live.wait_until("more answers", lambda: self.count > before + 2)


def raw(address: tuple[str, int] | str, sent: bytes) -> bytes:
    """What comes back until the other side closes."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.settimeout(live.PATIENCE)
        sock.connect(address)
        sock.sendall(sent)
        # One that is refused amid its body may be reset.
        with contextlib.suppress(ConnectionResetError):
            return b"".join(iter(lambda: sock.recv(65536), b""))
    return b""


HOST = b"Host: 127.0.0.1\r\n"
#: What is sent, and what is answered; over TCP where `local` is false.
BAD: dict[str, tuple[bool, bytes, bytes]] = {
    "garbage": (False, b"\x00\xff\x16\x03\r\n\r\n", b"400 "),
    "half a request": (False, b"GET /readyz HTTP/1.1\r\nHo", b"408 "),
    "an order over TCP": (
        False,
        b"POST /stop HTTP/1.1\r\n"
        + HOST
        + b"Content-Length: 0\r\nConnection: close\r\n\r\n",
        b"403 ",
    ),
    "a name that rebinding would send": (
        False,
        b"GET /status HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
        b"421 ",
    ),
    "a body beyond 64 KiB": (
        True,
        b"POST /scale HTTP/1.1\r\n" + HOST + b"Content-Length: 65537\r\n\r\n",
        b"413 ",
    ),
    "half a body": (
        True,
        b"POST /scale HTTP/1.1\r\n" + HOST + b"Content-Length: 100\r\n\r\n{",
        b"408 ",
    ),
    "no JSON": (
        True,
        b"POST /scale HTTP/1.1\r\n"
        + HOST
        + b"Content-Length: 3\r\nConnection: close\r\n\r\n{{{",
        b"400 ",
    ),
    "a number of workers that is none": (
        True,
        b"POST /scale HTTP/1.1\r\n"
        + HOST
        + b'Content-Length: 14\r\nConnection: close\r\n\r\n{"workers": 0}',
        b"400 ",
    ),
}


@both_engines
@pytest.mark.parametrize("workers", ["0", "2"])
def test_bad_guests_get_an_answer_and_the_service_never_notices(
    watched: Start, workers: str
) -> None:
    one = watched("apps.exercise:app", "--workers", workers)
    tcp, unix = one.admin, str(one.socket)
    with contextlib.ExitStack() as stack:
        front = stack.enter_context(Front(one.server))
        # A slow reader, and more who say nothing than there is room for.
        slow = stack.enter_context(socket.create_connection(tcp))
        slow.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        for _ in range(CROWD):
            stack.enter_context(socket.create_connection(tcp))
        front.go_on()
        # Who is silent makes room for who asks.
        assert one.probe() == (200, "ready")
        answers: dict[str, bytes] = {}

        def send(what: str, local: bool, sent: bytes) -> None:
            answers[what] = raw(unix if local else tcp, sent)

        # All at once: two of them are to wait for their time to be over.
        threads = [
            threading.Thread(target=send, args=(what, local, sent))
            for what, (local, sent, _) in BAD.items()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for what, (_, _, status) in BAD.items():
            assert answers[what].startswith(b"HTTP/1.1 " + status), what
        front.go_on()
        assert one.status()["phase"] == "SERVING"
    assert front.failures == []
    assert "Traceback" not in one.server.log()


@both_engines
def test_scrapes_meet_ends_reloads_and_busy_workers_and_no_client_does(
    watched: Start,
) -> None:
    one = watched("apps.exercise:app", "--workers", "3")
    with Front(one.server) as front:
        stop = threading.Event()
        scrapes: list[float] = []

        def scrape() -> None:
            while not stop.is_set():
                scrapes.append(one.total("wsgi_server_generation"))

        thread = threading.Thread(target=scrape)
        thread.start()
        try:
            for _ in range(3):
                one.control.post("/reload")
                front.go_on()
        finally:
            stop.set()
            thread.join()
        assert scrapes == sorted(scrapes)
        assert one.total("wsgi_server_generation") == 4
    assert front.failures == []
    # A worker that is killed takes with it whom it serves: nobody, here.
    victim = min(one.server.worker_pids())
    os.kill(victim, signal.SIGKILL)
    name = "wsgi_server_worker_exits_total"
    one.server.wait_for("its end", lambda: one.total(name, reason="signal") == 1)
    assert one.probe("/livez") == (200, "live")
    one.server.wait_for(
        "another one", lambda: one.total("wsgi_server_workers", state="ready") == 3
    )
    assert "Traceback" not in one.server.log()


@pytest.mark.parametrize("workers", ["0", "1"])
def test_an_unprivileged_server_in_a_directory_it_may_not_write_in_is_quiet(
    tmp_path: Path, control: Path, workers: str
) -> None:
    """Where systemd gives it a directory that it cannot use, that is one line at INFO."""
    closed = control.parent / "closed"
    closed.mkdir(mode=0o555)
    drop: list[str] = []
    if os.geteuid() == 0:
        # Root without its privileges, for whom the modes of files count.
        drop = [tools.need("setpriv"), "--bounding-set=-all", "--inh-caps=-all"]
        os.chown(closed, 65534, 65534)
    server = live.launch(
        tmp_path,
        [
            *("env", "-C", str(closed), *drop),
            *live.command_line("apps.hello:app", "--bind", "127.0.0.1:0"),
            *("--workers", workers),
        ],
        env={"RUNTIME_DIRECTORY": str(closed)},
    )
    with live.stopping([server]):
        assert server.get("/").status == 200
        server.wait_for_log("INFO .*no control socket: .*permission denied")
    for level in ("WARNING", "ERROR", "CRITICAL", "Traceback"):
        assert level not in server.log()
    assert list(closed.iterdir()) == []


def test_two_servers_do_not_share_a_control_socket(
    watched: Start, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    one = watched("apps.hello:app")
    run = command(
        *("apps.hello:app", "--bind", "127.0.0.1:0"),
        *("--control-socket", str(one.socket)),
    )
    assert run.returncode in (5, 6)
    assert "another server listens there" in run.stderr
    assert Client(str(one.socket)).get("/status")["server"]["pid"] == one.server.pid
