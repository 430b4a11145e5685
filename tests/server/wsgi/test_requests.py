"""What an application sees of a request."""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import live
import pytest


def environ_of(site: live.LiveServer, head: bytes) -> dict[str, Any]:
    answer = site.exchange(head)
    found: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return found


def test_the_environ_is_as_pep_3333_asks(site: live.LiveServer) -> None:
    environ = environ_of(
        site,
        b"PUT /a%20b/%c3%a9?x=1&y=%20 HTTP/1.0\r\nHost: example.org:1\r\n"
        b"Content-Type: text/x\r\nContent-Length: 0\r\nX-A: 1\r\nX-A: 2\r\n\r\n",
    )
    expected = {
        "REQUEST_METHOD": "PUT",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a b/\u00c3\u00a9",
        "QUERY_STRING": "x=1&y=%20",
        "RAW_URI": "/a%20b/%c3%a9?x=1&y=%20",
        "REQUEST_URI": "/a%20b/%c3%a9?x=1&y=%20",
        "CONTENT_TYPE": "text/x",
        "CONTENT_LENGTH": "0",
        "HTTP_HOST": "example.org:1",
        "HTTP_X_A": "1,2",
        "REMOTE_ADDR": "127.0.0.1",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": str(site.port),
        "SERVER_PROTOCOL": "HTTP/1.0",
        "wsgi.version": [1, 0],
        "wsgi.url_scheme": "http",
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
    }
    assert {name: environ.get(name) for name in expected} == expected
    assert environ["REMOTE_PORT"].isdigit()


def test_an_application_that_runs_once_at_a_time_in_a_worker_is_told(
    live_server: Callable[..., live.LiveServer],
) -> None:
    server = live_server("apps.exercise:app", "--threads", "1", "--workers", "2")
    environ = environ_of(server, b"GET /environ HTTP/1.0\r\n\r\n")
    assert environ["wsgi.multithread"] is False
    assert environ["wsgi.multiprocess"] is True


def test_forwarding_fields_of_strangers_are_removed(site: live.LiveServer) -> None:
    environ = environ_of(
        site,
        b"GET / HTTP/1.0\r\nForwarded: for=1.2.3.4\r\nX-Forwarded-For: 1.2.3.4\r\n"
        b"X-Forwarded-Proto: https\r\nX-Other: kept\r\n\r\n",
    )
    assert not [name for name in environ if "FORWARDED" in name]
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert environ["wsgi.url_scheme"] == "http"
    assert environ["HTTP_X_OTHER"] == "kept"


LINES = b"first\nsecond line\n\nlast without end"


@pytest.mark.parametrize(
    ("how", "lengths"),
    [
        ("read", [len(LINES)]),
        ("10", [10, 10, 10, 5]),
        ("1000", [len(LINES)]),
        ("lines", [6, 12, 1, 16]),
        ("readlines", [6, 12, 1, 16]),
        ("hint", [6]),
        ("readline", [6, 3, 9, 17]),
    ],
)
@pytest.mark.parametrize("chunked", [False, True])
def test_input_reads_like_a_file(
    site: live.LiveServer, how: str, lengths: list[int], chunked: bool
) -> None:
    body = iter([LINES[:9], LINES[9:]]) if chunked else LINES
    response = site.request("POST", f"/measure?{how}", body)
    assert json.loads(response.body) == lengths


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_upload_streams_through(site: live.LiveServer, chunked: bool) -> None:
    block = bytes(range(256)) * 256
    body = (block for _ in range(80)) if chunked else block * 80
    response = site.request("POST", "/echo", body)
    assert response.body == block * 80


@pytest.mark.parametrize("size", [8192, 65_536, 100_000])
def test_chunks_of_any_size_come_together(site: live.LiveServer, size: int) -> None:
    """Equal ones in a row, which are framed alike, and others among them."""
    count = itertools.count()
    chunks = [
        bytes(next(count) % 251 for _ in range(length))
        for length in (
            *[40_000] * 5,
            40_001,
            40_000,
            *[9] * 5,
            *[65_536] * 4,
            1,
            65_536,
        )
    ]
    response = site.request("POST", f"/echo?{size}", iter(chunks))
    assert response.body == b"".join(chunks)


def test_the_body_arrives_while_the_application_reads(site: live.LiveServer) -> None:
    """No more of an upload is taken in than the application asked for."""
    with site.connect() as sock:
        sock.sendall(
            b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"2000\r\n" + b"a" * 0x2000 + b"\r\n"
        )
        seen = b""
        while b"a" * 100 not in seen:
            seen += sock.recv(65536)
        sock.sendall(b"0\r\n\r\n")
        while not seen.endswith(b"0\r\n\r\n"):
            seen += sock.recv(65536)
    assert seen.startswith(b"HTTP/1.1 200 OK")


def test_continue_is_said_only_when_the_body_is_read(site: live.LiveServer) -> None:
    head = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    with site.connect() as sock:
        sock.sendall(head % b"/echo")
        assert sock.recv(1024) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"hello")
        answer = b""
        while not answer.endswith(b"0\r\n\r\n"):
            answer += sock.recv(1024)
    assert b"hello" in answer
    answer = site.exchange(head % b"/ignore")
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b"Connection: close" in answer


EXPECTING = (
    b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n"
    b"X-Length: %d\r\n\r\n"
)


@pytest.mark.parametrize(
    ("begins", "length"),
    [(b"yield", 0), (b"yield", 11), (b"write", 0), (b"write", 11), (b"nothing", 5)],
)
def test_no_interim_response_follows_the_final_head(
    site: live.LiveServer, begins: bytes, length: int
) -> None:
    """A client that does not wait for 100 may send the body, and it is read."""
    with site.connect() as sock:
        sock.sendall(EXPECTING % (b"/hasty?" + begins, length))
        begun = b"\r\n\r\n" if begins == b"nothing" else b"begun "
        answer = b""
        while begun not in answer:
            answer += sock.recv(65536)
        sock.sendall(b"hello")
        answer += b"".join(iter(lambda: sock.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    # What stood between the two answers is nobody's: nothing more may come.
    assert b"Connection: close" in head
    assert b"HTTP/1.1" not in body
    assert b"hello" in body


def test_a_body_that_a_final_answer_kept_away_is_missed(site: live.LiveServer) -> None:
    with site.connect() as sock:
        sock.sendall(EXPECTING % (b"/hasty", 0))
        sock.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert answer.endswith(b"6\r\nbegun \r\na\r\nClientGone\r\n0\r\n\r\n")


@pytest.mark.forks
def test_such_a_body_is_waited_for_no_longer_than_any_other(
    live_server: Callable[..., live.LiveServer], tmp_path: Path
) -> None:
    conf = tmp_path / "server.conf"
    conf.write_text("[DEFAULT]\nbody_timeout = 0.5\n")
    server = live_server("apps.exercise:app", "--config-file", str(conf))
    with server.connect() as sock:
        sock.sendall(EXPECTING % (b"/hasty", 0))
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert answer.endswith(b"6\r\nbegun \r\n9\r\nBodyError\r\n0\r\n\r\n")


def test_no_interim_response_follows_the_whole_answer(site: live.LiveServer) -> None:
    site.get("/closed")
    with site.connect() as sock:
        sock.sendall(EXPECTING % (b"/afterthought", 0))
        answer = b""
        while not answer.endswith(b"done"):
            answer += sock.recv(65536)
        sock.sendall(b"hello")
        answer += b"".join(iter(lambda: sock.recv(65536), b""))
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.endswith(b"\r\n\r\ndone")
    assert json.loads(site.get("/closed").body) == ["hello"]


def test_pipelined_requests_are_answered_in_order(site: live.LiveServer) -> None:
    requests = b"".join(
        b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n%04d" % number
        for number in range(300)
    )
    last = b"GET /whole HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = site.exchange(requests + last)
    bodies = [part[4:8] for part in answer.split(b"\r\n\r\n") if part[:3] == b"4\r\n"]
    found = [body.strip() for body in answer.split(b"\r\n") if body.isdigit()]
    numbers = [int(text) for text in found if len(text) == 4]
    assert numbers == list(range(300)), bodies[:3]
    assert answer.endswith(b"onetwo")


@pytest.mark.parametrize("ready", [1, 2])
def test_what_comes_behind_pipelined_requests_is_answered(
    site: live.LiveServer, ready: int
) -> None:
    """The kernel tells of it once: while the first request runs, or with it."""
    get = b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /whole HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with site.connect() as sock:
        sock.sendall(get % b"/sleepy?0.5" + get % b"/whole" * ready)
        # Answered at once, so the first one runs by now, and has not been asked since.
        site.get("/whole")
        sock.sendall(last)
        site.get("/whole")
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 1 + ready + 1


def test_what_comes_behind_a_request_whose_client_reads_slowly_is_answered(
    site: live.LiveServer,
) -> None:
    length = 64 << 20
    last = b"GET /whole HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with site.connect() as sock:
        sock.sendall(b"GET /big?%d HTTP/1.1\r\nHost: x\r\n\r\n" % length)
        answer = sock.recv(1024)
        # The application has sent what the sockets hold, and waits for us.
        for _ in range(3):
            site.get("/whole")
        sock.sendall(last)
        site.get("/whole")
        answer += b"".join(iter(lambda: sock.recv(1 << 20), b""))
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert len(answer) > length
    assert answer.endswith(b"onetwo")


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("length", [65_536, 200_000, 1_000_000])
def test_a_request_behind_a_large_body_is_answered(
    site: live.LiveServer, length: int, chunked: bool
) -> None:
    """It may wait in the kernel when the body has been read, and nothing else comes."""
    body = b"x" * length
    fields = b"Content-Length: %d" % length
    if chunked:
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (length, body)
        fields = b"Transfer-Encoding: chunked"
    last = b"GET /whole HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    head = b"POST /measure?65536 HTTP/1.1\r\nHost: x\r\n%b\r\n\r\n" % fields
    for size in (len(body), 50_000):
        with site.connect() as sock:
            # The application is reading before the rest comes.
            sock.sendall(head)
            sock.sendall(body[:size])
            sock.sendall(body[size:] + last)
            answer = b"".join(iter(lambda: sock.recv(65536), b""))
        assert answer.count(b"HTTP/1.1 200 OK\r\n") == 2
        lengths = json.loads(answer.split(b"\r\n\r\n")[1].partition(b"HTTP/")[0])
        assert sum(lengths) == length
        assert answer.endswith(b"onetwo")


@pytest.mark.parametrize("length", [10, 60_000])
def test_an_ignored_small_body_does_not_cost_the_connection(
    site: live.LiveServer, length: int
) -> None:
    with contextlib.closing(site.client()) as client:
        client.connect()
        sock = client.sock
        for _ in range(3):
            client.request("POST", "/ignore", b"x" * length)
            assert client.getresponse().read() == b"ignored"
        assert client.sock is sock


def test_an_ignored_large_body_ends_it_after_the_answer(site: live.LiveServer) -> None:
    with site.connect() as sock:
        sock.sendall(
            b"POST /ignore HTTP/1.1\r\nHost: x\r\nContent-Length: 50000000\r\n\r\n"
        )
        answer = sock.recv(65536)
        assert answer.endswith(b"ignored")
        assert b"Connection: close" in answer
        # The server lingers: it does not reset us while we are still sending.
        sock.sendall(b"x" * 100_000)
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1024) == b""


def test_a_client_that_gives_up_an_upload_is_no_error(site: live.LiveServer) -> None:
    errors = site.log().count("ERROR")
    with site.connect() as sock:
        sock.sendall(
            b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\nxx"
        )
    assert site.get("/whole").status == 200
    assert site.log().count("ERROR") == errors


def test_a_malformed_chunk_is_answered_with_400(site: live.LiveServer) -> None:
    answer = site.exchange(
        b"POST /measure?read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\nzz\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 400 ")


def test_keep_alive_follows_the_version_and_the_header(site: live.LiveServer) -> None:
    answer = site.exchange(
        b"GET /whole HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
        b"GET /whole HTTP/1.1\r\nHost: x\r\n\r\n"
        b"GET /whole HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        b"GET /whole HTTP/1.1\r\nHost: x\r\n\r\n"
    )
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    assert answer.count(b"Connection: keep-alive") == 1
    assert answer.count(b"Connection: close") == 1


def test_wsgiref_validates_both_sides(tmp_path: Any, live_server: Any) -> None:
    server = live_server("apps.exercise:validated")
    assert server.request("POST", "/echo", b"hello").body == b"hello"
    assert server.get("/stream").body == b"onetwothree"
    assert server.get("/write").body == b"written twice and returned"
    assert server.get("/environ").status == 200
    assert "AssertionError" not in server.log()
    assert "Warning" not in server.log()


def test_early_hints_go_before_the_response(site: live.LiveServer) -> None:
    request = b"GET /hints HTTP/1.%d\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = site.exchange(request % 1)
    assert answer.startswith(
        b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\n"
    )
    assert site.exchange(request % 0).startswith(b"HTTP/1.1 200 OK\r\n")


def test_an_application_can_see_that_its_client_has_gone(site: live.LiveServer) -> None:
    assert site.get("/patient?0").body == b"still there"
    request = b"GET /patient?15 HTTP/1.1\r\nHost: x\r\n\r\n"
    with site.connect() as sock:
        sock.sendall(request)
    site.wait_for("the notice", lambda: b"gone" in site.get("/closed").body)
    with site.connect() as sock:
        # What nobody has read yet does not hide the end behind it.
        sock.sendall(request)
        assert site.get("/whole").status == 200  # the application runs by now
        sock.sendall(request[:20])
        sock.shutdown(socket.SHUT_WR)
        site.wait_for("the notice", lambda: b"gone" in site.get("/closed").body)


def test_a_malformed_body_stays_malformed_for_who_reads_again(
    site: live.LiveServer,
) -> None:
    """Nobody waits for a client whose bytes mean nothing any more."""
    head = b"POST /insistent HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with site.connect(timeout=5) as sock:
        sock.sendall(head + b"5\r\nhello\r\nnone\r\n")
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"Malformed chunk size.") == 3
    with site.connect() as sock:
        sock.sendall(head + b"5\r\nhello\r\n0\r\n\r\n")
        sock.shutdown(socket.SHUT_WR)
        whole = b"".join(iter(lambda: sock.recv(65536), b""))
    assert whole.endswith(b"5\n0\n0")
