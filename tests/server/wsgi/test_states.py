"""A connection goes the ways of its table, all of them and no others."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
from collections.abc import Callable
from pathlib import Path

import live
import pytest
import tools
from wsgi_server._connection.state import TRANSITIONS, State, may_follow

pytestmark = pytest.mark.forks

Start = Callable[..., live.LiveServer]

GET = b"GET /whole HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /whole HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
#: More than the kernel takes at once: the loop sends the end of it.
BLOCK = b"/block?20000000"
BIG = b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % BLOCK


def post(path: bytes, length: int, body: bytes = b"", *fields: bytes) -> bytes:
    more = b"".join(field + b"\r\n" for field in fields)
    head = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n" % (path, length)
    return head + more + b"\r\n" + body


def start(
    live_server: Start, tmp_path: Path, name: str, *args: str, **options: object
) -> live.LiveServer:
    conf = tmp_path / f"{name}.conf"
    lines = [f"{key} = {value}" for key, value in options.items()]
    conf.write_text("[DEFAULT]\n" + "\n".join(lines) + "\n")
    return live_server(
        "apps.traced_states:app",
        *("--config-file", str(conf), *args),
        env={"WAYS": str(tmp_path / "ways")},
    )


def until_closed(sock: socket.socket) -> bytes:
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while data := sock.recv(65536):
            found += data
    return found


def until_closed_or(sock: socket.socket, done: Callable[[], bool]) -> None:
    while not done() and sock.recv(65536):
        pass


def talk_big(server: live.LiveServer, request: bytes, more: bytes = b"") -> None:
    """Lets the answer come before it sends more, and reads to the end."""
    with server.connect() as sock:
        sock.sendall(request)
        sock.recv(1, socket.MSG_PEEK)
        if more:
            sock.sendall(more)
        assert until_closed(sock).endswith(b"onetwo" if more else b"x")


def reset(sock: socket.socket) -> None:
    """Has the client go away without a word, whatever the server still says."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def one_answer(sock: socket.socket) -> None:
    seen = b""
    while not seen.endswith(b"onetwo"):
        data = sock.recv(65536)
        assert data, seen
        seen += data


def test_every_way_but_to_the_end_is_in_the_table_once() -> None:
    for state, following in TRANSITIONS.items():
        assert state not in following
        assert State.CLOSED not in following
        assert may_follow(state, State.CLOSED) is (state is not State.CLOSED)
    assert set(TRANSITIONS) == set(State)
    assert not may_follow(State.CLOSED, State.HEAD)
    assert not may_follow(State.LINGERING, State.IDLE)


def test_live_connections_go_all_ways_of_the_table_and_no_others(
    live_server: Start, tmp_path: Path
) -> None:
    ways = tmp_path / "ways"

    def seen() -> set[tuple[State, State]]:
        lines = ways.read_text().splitlines()
        return {(State[a], State[b]) for a, b in map(str.split, lines)}

    server = start(live_server, tmp_path, "plain", body_timeout=0.3)

    def talk(*parts: bytes) -> None:
        """Sends parts, each when the last was answered, and reads to the end."""
        with server.connect() as sock:
            for part in parts[:-1]:
                sock.sendall(part)
                one_answer(sock)
            sock.sendall(parts[-1])
            until_closed(sock)

    def way(before: State, after: State) -> None:
        server.wait_for(f"{before} to {after}", lambda: (before, after) in seen())

    bad = b"nonsense\r\n\r\n"
    talk(bad)
    talk(GET, bad)
    talk(post(b"/echo", 4, b"ha"))
    talk(GET, post(b"/echo", 4, b"ha"))
    talk(b"GET /boom HTTP/1.0\r\n\r\n")
    with server.connect() as sock:
        sock.sendall(GET)
        one_answer(sock)
        sock.sendall(GET[:9])
        way(State.IDLE, State.HEAD)
        sock.sendall(GET[9:])
        one_answer(sock)
        sock.sendall(post(b"/whole", 2, b"h"))
        way(State.IDLE, State.BODY)
        sock.sendall(b"a")
        one_answer(sock)
        # Nobody reads this body, and it is short enough to be waited for.
        sock.sendall(post(b"/whole", 40_000))
        one_answer(sock)
        way(State.RUNNING, State.DISCARDING)
        sock.sendall(b"x" * 40_000)
        way(State.DISCARDING, State.IDLE)
        sock.sendall(post(b"/whole", 40_000))
        one_answer(sock)
        way(State.DISCARDING, State.LINGERING)
    # How much the kernel takes at once depends on who is faster: until it has happened.
    while (State.RUNNING, State.FLUSHING) not in seen():
        with server.connect() as sock:
            sock.sendall(b"GET %b HTTP/1.0\r\n\r\n" % BLOCK)
            until_closed_or(sock, lambda: (State.RUNNING, State.FLUSHING) in seen())
            reset(sock)
    while (State.FLUSHING, State.IDLE) not in seen():
        talk_big(server, BIG, LAST)
    while (State.FLUSHING, State.DISCARDING) not in seen():
        talk_big(server, post(BLOCK, 40_000), b"x" * 40_000 + LAST)
    while (State.FLUSHING, State.LINGERING) not in seen():
        talk_big(server, post(BLOCK, 900_000, b"", b"Connection: close"))

    narrow = start(
        live_server, tmp_path, "narrow", "--threads", "1", queue_size=1, queue_timeout=1
    )
    gate, started = tmp_path / "gate", tmp_path / "started"
    with narrow.connect() as holder, narrow.connect() as waiting:
        holder.sendall(
            f"GET /wait?started={started}&until={gate} HTTP/1.0\r\n\r\n".encode()
        )
        narrow.wait_for("the only place to be taken", started.exists)
        waiting.sendall(GET)
        assert until_closed(waiting).startswith(b"HTTP/1.1 503 ")
        gate.touch()
        until_closed(holder)

    proxied = start(live_server, tmp_path, "proxied", proxy_protocol="127.0.0.1")
    header = b"PROXY TCP4 192.0.2.1 192.0.2.2 1234 80\r\n"
    with proxied.connect() as sock:
        sock.sendall(header + GET)
        one_answer(sock)
    cert, key = tools.self_signed(tmp_path)
    pair = ("--cert-file", str(cert), "--key-file", str(key))
    secure = start(live_server, tmp_path, "secure", *pair, proxy_protocol="127.0.0.1")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with secure.connect() as raw:
        raw.sendall(header)
        with context.wrap_socket(raw) as sock:
            sock.sendall(GET)
            one_answer(sock)

    with server.connect():
        server.stop()
    expected = {(a, b) for a, following in TRANSITIONS.items() for b in following}
    assert expected <= seen()
    assert {way for way in seen() if not may_follow(*way)} == set()
