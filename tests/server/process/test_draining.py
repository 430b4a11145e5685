"""What a worker that retires owes its clients, down to those it has not met yet."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import live
import pytest
import tools
from server.process.support import HeldRequest, Service, both_engines, count, halt

pytestmark = [pytest.mark.forks, both_engines]

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def test_a_connection_that_the_kernel_has_completed_is_served_and_not_reset(
    service: Service,
) -> None:
    service.configure(workers=1)
    server = service.start()
    (worker,) = server.worker_pids()
    # The worker cannot accept it before it is told to go: the supervisor has closed its
    # own copy of the socket by then, and nobody else has one.
    halt(worker)
    with server.connect() as client:
        client.sendall(GET)
        server.send(signal.SIGTERM)
        server.wait_for_log("stopping when all is answered")
        server.wait_for("the worker to be told", lambda: is_pending(worker, "TERM"))
        os.kill(worker, signal.SIGCONT)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert server.wait() == 0


def test_a_silent_connection_is_half_closed_and_still_listened_to(
    service: Service,
) -> None:
    service.configure(workers=1, drain_idle_timeout=0.2, graceful_timeout=300)
    server = service.start()
    with server.connect() as client:
        client.sendall(GET)
        assert b"".join(whole_answer(client)).startswith(b"HTTP/1.1 200 ")
        server.send(signal.SIGTERM)
        assert client.recv(1) == b""
        # A request that crosses with the end is not answered, and its client is told by
        # an end that it can trust: a reset might have eaten an answer before it.
        client.sendall(GET)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    assert server.wait() == 0


#: Whoever sends one of these has no request, whatever else it waits for.
STRANGERS = {
    "nothing": b"",
    "half a head": GET[:-7],
    "an answered request": GET,
    "half a PROXY header": b"PROXY TCP4 192.0.2.1",
    "half a handshake": b"\x16\x03\x01\x02\x00\x01",
}
HOUR = 3600
PATIENT = {"header_timeout": HOUR, "keepalive_timeout": HOUR, "graceful_timeout": HOUR}


@pytest.fixture
def stranger(service: Service, what: str, tmp_path: Path) -> bytes:
    """What it sends; the service is patient and speaks whatever that is the half of."""
    if "PROXY" in what:
        service.configure(proxy_protocol="127.0.0.1")
    if "handshake" in what:
        cert, key = tools.self_signed(tmp_path)
        service.configure(cert_file=cert, key_file=key)
    service.configure(**PATIENT, drain_idle_timeout=0.4)
    return STRANGERS[what]


def meet(server: live.LiveServer, client: socket.socket, sent: bytes) -> None:
    """Sends it, and returns when the worker has seen it."""
    client.sendall(sent)
    if sent == GET:
        b"".join(whole_answer(client))
    if sent.startswith(b"PROXY"):
        return  # it is looked at where it lies
    (worker,) = server.worker_pids() or {server.pid}
    server.wait_for("all to be read", lambda: not unread(worker, client))


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("what", STRANGERS)
def test_a_stop_does_not_wait_for_who_has_no_request(
    service: Service, stranger: bytes, workers: int
) -> None:
    service.configure(workers=workers)
    server = service.start()
    with server.connect() as client:
        meet(server, client, stranger)
        server.send(signal.SIGTERM)
        # The client is still there, and has an hour for what it has begun.
        assert server.wait() == 0


@pytest.mark.parametrize("what", [what for what in STRANGERS if what != "half a head"])
def test_a_retired_worker_does_not_wait_for_who_has_no_request(
    service: Service, stranger: bytes
) -> None:
    service.configure(workers=1)
    server = service.start()
    old = server.worker_pids()
    with server.connect() as client:
        meet(server, client, stranger)
        server.send(signal.SIGHUP)
        server.wait_for("the old one's end", lambda: not old & server.worker_pids())


def test_half_a_head_is_finished_in_a_reload(service: Service) -> None:
    service.configure(workers=1, **PATIENT, drain_idle_timeout=0)
    server = service.start()
    (old,) = server.worker_pids()
    with server.connect() as client, server.connect() as silent:
        meet(server, client, GET[:-7])
        server.send(signal.SIGHUP)
        # The old worker retires, and waits for nobody who is silent.
        assert silent.recv(1) == b""
        client.sendall(GET[-7:])
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["pid"] == old


@pytest.mark.parametrize("before", [b"", GET], ids=["silent", "idle"])
def test_a_request_that_crosses_with_a_stop_is_answered(
    service: Service, before: bytes
) -> None:
    service.configure(workers=1, **PATIENT, drain_idle_timeout=HOUR)
    server = service.start()
    with server.connect() as client:
        meet(server, client, before)
        server.send(signal.SIGTERM)
        server.wait_for_log("stopping when all is answered")
        client.sendall(GET)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert server.wait() == 0


@pytest.mark.parametrize("what", [what for what in STRANGERS if "half" in what])
def test_half_of_something_and_then_the_end_occupies_no_place(
    service: Service, stranger: bytes, what: str
) -> None:
    service.configure(workers=1, max_connections=1)
    server = service.start()
    with server.connect() as client:
        meet(server, client, stranger)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(server.connect())
        if "PROXY" in what:
            client.sendall(b"PROXY UNKNOWN\r\n")
        if "handshake" in what:
            client = stack.enter_context(context.wrap_socket(client))
        client.sendall(GET)
        assert b"".join(whole_answer(client)).startswith(b"HTTP/1.1 200 ")


def test_a_worker_that_is_told_twice_does_not_hurry(
    service: Service, tmp_path: Path
) -> None:
    # TERM for the whole process group: it comes from its sender and from the supervisor.
    service.configure(workers=1, graceful_timeout=60)
    server = service.start()
    (worker,) = server.worker_pids()
    held = HeldRequest(server, tmp_path)
    os.kill(worker, signal.SIGTERM)
    server.wait_for_log(f"worker {worker} .* leaves by itself")
    server.send(signal.SIGTERM)
    server.wait_for_log("stopping when all is answered")
    assert held.release().status == 200
    assert server.wait() == 0
    assert count(server, " cut after ") == 0


def test_pools_get_what_draining_has_left_of_the_grace(
    service: Service, tmp_path: Path
) -> None:
    service.configure(workers=1, graceful_timeout=3)
    begun = tmp_path / "begun"
    service.application.write_text(
        "import eventlet, wsgi_server\n"
        "POOL = wsgi_server.get_asynchronous_eventlet_pool()\n"
        "def app(environ, start_response):\n"
        "    POOL.spawn_n(eventlet.sleep, 3600)\n"
        f"    open({str(begun)!r}, 'w').close()\n"
        "    eventlet.sleep(3600)\n"
    )
    server = service.start()
    with server.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        server.wait_for("the request to run", begun.exists)
        assert server.stop() == 0
    assert count(server, " cut after ") == 1
    assert count(server, r"1 greenlets in pools did not finish in 0\.5 s") == 1
    assert count(server, "did not leave in time") == 0


def is_pending(pid: int, name: str) -> bool:
    """Whether a signal waits to be delivered to a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    masks = re.findall(r"^(?:SigPnd|ShdPnd):\t(\w+)$", status, re.MULTILINE)
    bit = 1 << (signal.Signals[f"SIG{name}"] - 1)
    return any(int(mask, 16) & bit for mask in masks)


def unread(pid: int, client: socket.socket) -> int:
    """Bytes that a client has sent and the process behind it has not read."""
    own, other = (f"{s[1]:04X}" for s in (client.getsockname(), client.getpeername()))
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        local, remote = (field.rpartition(":")[2] for field in fields[1:3])
        if (local, remote) == (other, own):
            return int(fields[4].partition(":")[2], 16)
    raise AssertionError("the connection is not there")


def whole_answer(client: socket.socket) -> Iterator[bytes]:
    """The pieces of one answer, up to the end of its body."""
    seen = b""
    while not seen.endswith(b"}"):
        piece = client.recv(65536)
        assert piece, seen
        seen += piece
        yield piece
