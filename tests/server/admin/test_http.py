"""What a client of the admin side may do to it, and what it gets for that."""

from __future__ import annotations

import functools
import json
import socket

import live
import pytest
from server.admin.support import Admin
from wsgi_server._admin import http as admin_http
from wsgi_server._admin.http import BODY, CONNECTIONS


def exchange(sock: socket.socket, data: bytes) -> bytes:
    """Sends `data` and reads until the server closes."""
    sock.sendall(data)
    found = b""
    while piece := sock.recv(65536):
        found += piece
    return found


def _has_taken(admin: Admin, count: int) -> bool:
    return len(admin.server.waiting) > count


def ready(admin: Admin) -> None:
    """The control of every refusal: whoever asks properly is answered."""
    assert admin.ask("/readyz").status == 200


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"garbage\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"400"),
        (b"GET /" + b"x" * 4000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nA: " + b"x" * 20000, b"431"),
        (
            b"POST /reload HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
            % (BODY + 1),
            b"413",
        ),
        (
            b"POST /reload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"411",
        ),
    ],
)
@pytest.mark.parametrize("local", [False, True])
def test_what_is_wrong_is_refused(
    admin: Admin, data: bytes, status: bytes, *, local: bool
) -> None:
    with admin.connect(local=local) as sock:
        assert exchange(sock, data).startswith(b"HTTP/1.1 " + status)
    ready(admin)


def test_requests_of_one_connection_are_answered_in_order(admin: Admin) -> None:
    one = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = b"GET /startupz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with admin.connect() as sock:
        found = exchange(sock, one + one + last)
    assert found.count(b"HTTP/1.1 200 OK") == 3
    assert found.index(b"live:") < found.index(b"started:")


def test_a_request_may_come_in_pieces(admin: Admin) -> None:
    with admin.connect() as sock:
        for (
            byte
        ) in b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r":
            sock.sendall(bytes([byte]))
        assert b"live:" in exchange(sock, b"\n")


def test_what_is_asked_behind_an_answer_that_is_waited_for_is_not_lost(
    admin: Admin,
) -> None:
    admin.server.outcome = None
    with admin.connect(local=True) as sock:
        sock.sendall(b"POST /reload HTTP/1.1\r\nHost: x\r\n\r\n")
        while not admin.server.waiting:
            ready(admin)
        sock.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        ready(admin)
        admin.tell("reloaded")
        found = exchange(sock, b"")
    assert found.index(b"reloaded") < found.index(b"live:")


def test_who_does_not_wait_for_the_answer_is_forgotten(admin: Admin) -> None:
    admin.server.outcome = None
    with admin.connect(local=True) as sock:
        sock.sendall(b"POST /reload HTTP/1.1\r\nHost: x\r\n\r\n")
        while not admin.server.waiting:
            ready(admin)
    ready(admin)
    admin.tell("reloaded")
    ready(admin)


def test_clients_beyond_the_limit_take_the_place_of_idle_ones(admin: Admin) -> None:
    crowd = [admin.connect() for _ in range(100)]
    try:
        ready(admin)
    finally:
        for sock in crowd:
            sock.close()
    ready(admin)


def test_who_comes_while_all_others_wait_for_an_answer_is_refused(
    admin: Admin,
) -> None:
    admin.server.outcome = None
    busy: list[socket.socket] = []
    for number in range(CONNECTIONS):
        busy.append(admin.connect(local=True))
        busy[-1].sendall(b"POST /reload HTTP/1.1\r\nHost: x\r\n\r\n")
        live.wait_until(
            "the order was taken", functools.partial(_has_taken, admin, number)
        )
    with admin.connect() as late:
        assert exchange(late, b"").startswith(b"HTTP/1.1 503")
    for sock in busy:
        sock.close()
    while admin.ask("/readyz").status != 200:
        continue


def test_half_a_request_is_ended_in_time(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin_http, "PATIENCE", 0.05)
    with admin.connect() as sock:
        assert exchange(sock, b"GET /livez HTTP/1.1\r\n").startswith(b"HTTP/1.1 408")
    monkeypatch.undo()
    ready(admin)


def test_a_silent_client_is_closed_in_time(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin_http, "PATIENCE", 0.05)
    with admin.connect() as sock:
        assert sock.recv(1) == b""


def test_a_fault_of_ours_is_an_answer_and_a_line_in_the_log(
    admin: Admin, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(admin.server, "state", lambda: 1 / 0)
    with admin.connect() as sock:
        found = exchange(sock, b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert found.startswith(b"HTTP/1.1 500")
    assert b"division" not in found
    assert "GET /status failed" in caplog.text
    monkeypatch.undo()
    ready(admin)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("localhost:8081", 200),
        ("127.0.0.1:8081", 200),
        ("[::1]:8081", 200),
        ("[::1]", 200),
        ("192.0.2.7", 200),
        ("ops.example", 200),
        ("OPS.example:9000", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example:80", 421),
    ],
)
def test_a_name_that_is_not_ours_is_refused(
    admin: Admin, host: str, status: int
) -> None:
    assert admin.ask("/status", headers={"Host": host}).status == status


def test_over_the_socket_the_name_does_not_matter(admin: Admin) -> None:
    answer = admin.ask("/status", local=True, headers={"Host": "whatever.example"})
    assert answer.status == 200
    assert json.loads(answer.content)["api"] == 1


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "BREW"])
def test_other_methods_are_not_known(admin: Admin, method: str) -> None:
    assert admin.ask("/status", method=method, local=True).status == 405
