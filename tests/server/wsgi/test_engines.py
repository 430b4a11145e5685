"""What an engine promises beyond HTTP."""

from __future__ import annotations

import contextlib
import http.client
import json
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import live
import pytest
from wsgi_server.errors import ExitStatus

Start = Callable[..., live.LiveServer]
APP = "apps.exercise:app"


def test_importing_the_package_loads_no_engine() -> None:
    script = (
        "import sys, wsgi_server; "
        "print([m for m in ('eventlet', 'greenlet', 'ssl', 'http') if m in sys.modules])"
    )
    words = [sys.executable, "-W", "error", "-c", script]
    result = subprocess.run(words, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("engine", live.ENGINES)
def test_what_workers_share_is_loaded_without_an_engine(engine: str) -> None:
    script = (
        "import sys; from wsgi_server._engines import preload; "
        f"preload({engine!r}); names = ('eventlet', 'greenlet', "
        "'wsgi_server._connection.connection'); "
        "print([name for name in names if name in sys.modules])"
    )
    words = [sys.executable, "-W", "error", "-c", script]
    result = subprocess.run(words, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "['wsgi_server._connection.connection']"


@pytest.mark.parametrize("engine", ["threads"])
def test_the_threads_engine_never_loads_eventlet(live_server: Start) -> None:
    server = live_server(APP)
    modules = json.loads(server.get("/modules").body)["modules"]
    assert not {"eventlet", "greenlet"} & set(modules)


def test_waiting_requests_do_not_wait_for_one_another(live_server: Start) -> None:
    server = live_server(APP, "--threads", "40")
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(40):
            client = stack.enter_context(contextlib.closing(server.client()))
            client.request("GET", "/sleepy?0.5")
            clients.append(client)
        # One after the other they would take longer than a client waits.
        assert [client.getresponse().read() for client in clients] == [b"awake"] * 40


def test_what_ends_a_greenlet_ends_no_engine(live_server: Start) -> None:
    server = live_server(APP, "--threads", "2")
    for _ in range(5):
        for what in (b"generator", b"greenlet"):
            answer = server.exchange(b"GET /gone?%b HTTP/1.1\r\nHost: x\r\n\r\n" % what)
            assert answer.startswith(b"HTTP/1.1 500 ")
    assert server.get("/whole").status == 200


@pytest.mark.parametrize("engine", ["eventlet", "patched"])
def test_a_second_greenlet_that_waits_for_a_client_is_told(live_server: Start) -> None:
    """Threads wait for themselves; here it would take the first one's place."""
    server = live_server(APP)
    with server.connect() as client:
        client.sendall(
            b"POST /both-ways HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
        )
        server.wait_for_log("RuntimeError: two greenlets wait for one client")
    assert server.get("/whole").status == 200


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Room for a thousand connections here and in the servers that are started."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
    if wanted < 2048:
        pytest.skip(f"no more than {hard} descriptors are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_descriptors")
def test_a_thousand_slow_requests_are_all_answered(live_server: Start) -> None:
    """200 places: most requests wait in the queue, and none is lost there."""
    server = live_server(APP, "--threads", "200")
    request = b"GET /sleepy?0.1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(server.connect()) for _ in range(1000)]
        for sock in socks:
            sock.sendall(request)
        for sock in socks:
            answer = b"".join(iter(lambda: sock.recv(65536), b""))
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert answer.endswith(b"awake")


def test_clients_that_wait_occupy_no_place(live_server: Start) -> None:
    """Idle ones, half a head, half a small body: many more than there are places."""
    server = live_server(APP, "--threads", "2")
    beginnings = (
        b"GET /whole HTTP/1.1\r\nHo",
        b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf",
        b"GET /whole HTTP/1.1\r\nHost: x\r\n\r\n",
    )
    with contextlib.ExitStack() as stack:
        for beginning in beginnings * 30:
            stack.enter_context(server.connect()).sendall(beginning)
        for _ in range(10):
            assert server.get("/whole").body == b"onetwo"
        (worker,) = server.worker_pids()
        # The main thread, the leader, and one for each place.
        assert len(list(Path(f"/proc/{worker}/task").iterdir())) <= 4


@pytest.mark.parametrize("engine", ["threads"])
def test_a_thread_that_computes_does_not_stop_the_others(live_server: Start) -> None:
    """A greenlet that does not wait holds everybody up; that is eventlet's contract."""
    server = live_server(APP)
    with contextlib.closing(server.client()) as client:
        client.request("GET", "/busy?1")
        assert server.get("/whole").status == 200
        assert client.getresponse().read() == b"done"


@contextlib.contextmanager
def never_done(
    server: live.LiveServer, more: bytes, head: bytes = b""
) -> Iterator[socket.socket]:
    """A client that sends `more` again and again, faster than it is taken."""
    with contextlib.closing(server.connect()) as client:

        def send() -> None:
            with contextlib.suppress(OSError):  # it is shut down below
                client.sendall(head)
                while True:
                    client.sendall(more)

        sender = threading.Thread(target=send)
        sender.start()
        try:
            yield client
        finally:
            client.shutdown(socket.SHUT_RDWR)
            sender.join()


def test_a_client_that_is_never_done_lets_others_in(live_server: Start) -> None:
    server = live_server(APP)
    request = b"GET /busy?0.0005 HTTP/1.1\r\nHost: a\r\n\r\n" * 100
    with (
        contextlib.closing(server.client()) as other,
        never_done(server, request) as client,
    ):
        assert client.recv(1)
        reader = threading.Thread(target=drain, args=(client,))
        reader.start()
        seen = [turns(other) for _ in range(6)]
    reader.join()
    # A piece that the server reads at once holds more than a thousand requests. They are
    # not served in a row: the other client is asked in between.
    assert max(after - before for before, after in pairwise(seen)) < 1000


@pytest.mark.parametrize("size", [1000, 65_536])
def test_an_upload_without_an_end_lets_others_in(live_server: Start, size: int) -> None:
    """Its client is always ahead, so the application never has to wait for it."""
    server = live_server(APP)
    head = b"POST /chew HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"%x\r\n%b\r\n" % (size, b"x" * size)
    with contextlib.closing(server.client()) as other, never_done(server, chunk, head):
        for _ in range(3):
            other.request("GET", "/whole")
            assert other.getresponse().read() == b"onetwo"


@pytest.mark.parametrize("size", [1000, 65_536])
def test_a_response_without_an_end_lets_others_in(
    live_server: Start, size: int
) -> None:
    """Its client takes it at once."""
    server = live_server(APP)
    with (
        contextlib.closing(server.client()) as other,
        contextlib.closing(server.connect()) as client,
    ):
        client.sendall(b"GET /drool?%d HTTP/1.1\r\nHost: a\r\n\r\n" % size)
        reader = threading.Thread(target=drain, args=(client,))
        reader.start()
        try:
            for _ in range(3):
                other.request("GET", "/whole")
                assert other.getresponse().read() == b"onetwo"
        finally:
            client.shutdown(socket.SHUT_RDWR)
            reader.join()


def turns(client: http.client.HTTPConnection) -> int:
    client.request("GET", "/turns")
    return int(client.getresponse().read())


def drain(client: socket.socket) -> None:
    """Reads until the end."""
    with contextlib.suppress(OSError):
        while client.recv(65536):
            pass


def test_no_fork_serves_in_the_one_process(live_server: Start) -> None:
    server = live_server(APP, "--workers", "0")
    assert json.loads(server.get("/modules").body)["pid"] == server.pid
    assert server.worker_pids() == set()


@pytest.mark.parametrize("workers", ["1", "0"])
def test_hooks_run_when_a_worker_starts_drains_and_ends(
    live_server: Start, tmp_path: Path, workers: str
) -> None:
    notes = tmp_path / "notes"
    server = live_server(
        "apps.hooked:app", "--workers", workers, env={"NOTES": str(notes)}
    )
    assert server.get("/").body == b"hooked"
    assert server.stop() == 0
    lines = notes.read_text().splitlines()
    assert lines[0] == f"begin {workers}"
    assert "drain" in lines
    assert lines.index("end of the last") < lines.index("end of the first")
    assert "RuntimeError: a broken hook" in server.log()


def test_a_post_fork_hook_that_fails_ends_the_start(
    live_server: Start, tmp_path: Path
) -> None:
    server = live_server(
        "apps.hooked:app",
        env={"NOTES": str(tmp_path / "notes"), "BREAK": "1"},
        listens=False,
    )
    assert server.wait() == ExitStatus.LOAD
    assert "failed: no database" in server.log()
