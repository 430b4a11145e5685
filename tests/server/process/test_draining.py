"""What a worker that retires owes its clients, down to those it has not met yet."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
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


def whole_answer(client: socket.socket) -> Iterator[bytes]:
    """The pieces of one answer, up to the end of its body."""
    seen = b""
    while not seen.endswith(b"}"):
        piece = client.recv(65536)
        assert piece, seen
        seen += piece
        yield piece
