"""What becomes of an application's response, seen by a client of the standard library."""

from __future__ import annotations

import contextlib
import http.client
import json
from pathlib import Path

import live
import pytest
from apps import exercise


def closed_bodies(site: live.LiveServer) -> list[str]:
    names: list[str] = json.loads(site.get("/closed").body)
    return names


def closed_next(site: live.LiveServer) -> list[str]:
    """What is closed, when something is: a client has the end of a body before that."""
    return site.wait_for("close()", lambda: closed_bodies(site))


def test_a_body_of_unknown_length_is_chunked_and_closed(site: live.LiveServer) -> None:
    closed_bodies(site)
    response = site.get("/stream")
    assert response.headers["Transfer-Encoding"] == "chunked"
    assert response.body == b"onetwothree"
    assert closed_next(site) == ["stream"]


def test_an_http_1_0_client_gets_it_until_the_close(site: live.LiveServer) -> None:
    answer = site.exchange(b"GET /stream HTTP/1.0\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"chunked" not in head
    assert body == b"onetwothree"


def test_a_body_that_is_all_there_gets_its_length(site: live.LiveServer) -> None:
    response = site.get("/whole")
    assert response.headers["Content-Length"] == "6"
    assert response.body == b"onetwo"


@pytest.mark.parametrize(
    ("path", "body"),
    [("/write", b"written twice and returned"), ("/only-write", b"all written")],
)
def test_write_sends_and_the_response_is_terminated(
    site: live.LiveServer, path: str, body: bytes
) -> None:
    with contextlib.closing(site.client()) as client:
        for _ in range(2):
            client.request("GET", path)
            assert client.getresponse().read() == body


@pytest.mark.parametrize(
    "path", ["/stream", "/whole", "/file", "/big?200000", "/write"]
)
def test_head_is_answered_without_a_body(site: live.LiveServer, path: str) -> None:
    with contextlib.closing(site.client()) as client:
        client.request("HEAD", path)
        response = client.getresponse()
        assert (response.status, response.read()) == (200, b"")
        client.request("GET", "/whole")
        assert client.getresponse().read() == b"onetwo"


@pytest.mark.parametrize("status", ["204", "304"])
def test_a_status_without_body_sends_none(site: live.LiveServer, status: str) -> None:
    with contextlib.closing(site.client()) as client:
        client.request("GET", f"/nothing?{status}")
        response = client.getresponse()
        assert (response.status, response.read()) == (int(status), b"")
        assert response.headers["Transfer-Encoding"] is None
        client.request("GET", "/whole")
        assert client.getresponse().read() == b"onetwo"


@pytest.mark.parametrize("offset", [0, 100])
def test_a_wrapped_file_is_sent_from_where_it_stands(
    site: live.LiveServer, offset: int
) -> None:
    content = Path(exercise.__file__).read_bytes()[offset:]
    response = site.get(f"/file?{offset}")
    assert response.headers["Content-Length"] == str(len(content))
    assert response.body == content


def test_a_large_body_reaches_a_client_that_reads_slowly(site: live.LiveServer) -> None:
    closed_bodies(site)
    size = 8 * 1024 * 1024
    with site.connect() as sock:
        sock.sendall(b"GET /big?%d HTTP/1.1\r\nHost: x\r\n\r\n" % size)
        # Another request is answered while this one waits for us.
        assert site.get("/whole").body == b"onetwo"
        seen = b""
        while b"\r\n\r\n" not in seen:
            seen += sock.recv(1024)
        count = len(seen.partition(b"\r\n\r\n")[2])
        while count < size:
            count += len(sock.recv(1 << 20))
    assert count == size
    assert closed_next(site) == ["big"]


def test_large_chunks_reach_a_client_that_reads_slowly(site: live.LiveServer) -> None:
    closed_bodies(site)
    blocks = 128
    with contextlib.closing(site.client()) as client:
        client.request("GET", f"/big?{blocks * 65536}&chunked")
        response = client.getresponse()
        assert response.headers["Transfer-Encoding"] == "chunked"
        # Far more than the kernel holds: the application waits for us here.
        assert site.get("/whole").body == b"onetwo"
        letters = [set(response.read(65536)) for _ in range(blocks)]
        assert response.read() == b""
    assert letters == [{97 + number % 26} for number in range(blocks)]
    assert closed_next(site) == ["big"]


def test_a_client_that_leaves_still_has_the_body_closed(site: live.LiveServer) -> None:
    closed_bodies(site)
    with site.connect() as sock:
        sock.sendall(b"GET /big?80000000 HTTP/1.1\r\nHost: x\r\n\r\n")
        sock.recv(1024)
    assert closed_next(site) == ["big"]


def test_a_failure_is_a_500_without_internals(site: live.LiveServer) -> None:
    before = site.log().count("a secret of the application")
    response = site.get("/boom")
    assert response.status == 500
    assert "secret" not in response.text
    assert "Traceback" not in response.text
    site.wait_for(
        "one record",
        lambda: site.log().count("RuntimeError: a secret of the application") > before,
    )


@pytest.mark.parametrize("path", ["/boom-late", "/boom-late?100"])
def test_a_failure_in_the_body_breaks_the_connection(
    site: live.LiveServer, path: str
) -> None:
    closed_bodies(site)
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        site.get(path)
    assert closed_next(site) == ["boom-late"]
    assert "too late for a 500" in site.log()


def test_exc_info_replaces_what_was_not_sent(site: live.LiveServer) -> None:
    response = site.get("/replaced")
    assert (response.status, response.body) == (503, b"replaced")


def test_exc_info_after_sending_raises_the_original(site: live.LiveServer) -> None:
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        site.get("/too-late")
    assert "ValueError: the original fault" in site.log()


@pytest.mark.parametrize(
    "what",
    ["hop", "crlf", "name", "latin", "bytes", "status", "informational", "length",
     "lengths", "text"],
)  # fmt: skip
def test_what_must_not_be_sent_is_a_500(site: live.LiveServer, what: str) -> None:
    response = site.get(f"/refused?{what}")
    assert response.status == 500
    assert "X-B" not in response.headers


@pytest.mark.parametrize("path", ["/silent", "/twice", "/leave"])
def test_a_broken_application_is_a_500_and_the_worker_lives(
    site: live.LiveServer, path: str
) -> None:
    workers = site.worker_pids()
    assert site.get(path).status == 500
    assert site.worker_pids() == workers
    assert site.get("/whole").status == 200


@pytest.mark.parametrize("how", ["list", "blocks"])
def test_a_body_longer_than_announced_is_cut(site: live.LiveServer, how: str) -> None:
    with contextlib.closing(site.client()) as client:
        for _ in range(2):
            client.request("GET", f"/long?{how}")
            assert client.getresponse().read() == b"12345"
    assert "longer than its Content-Length of 5" in site.log()


def test_a_body_shorter_than_announced_breaks_the_connection(
    site: live.LiveServer,
) -> None:
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        site.get("/short")
    assert "the body ended after 5 of 50 bytes" in site.log()


def test_date_and_server_are_added(site: live.LiveServer) -> None:
    headers = site.get("/whole").headers
    assert headers["Server"] == "wsgi-server"
    assert headers["Date"].endswith(" GMT")


def test_a_middleware_catches_headers_that_cannot_be_sent(
    site: live.LiveServer,
) -> None:
    answer = site.get("/careful")
    assert answer.status == 502
    assert answer.text.startswith("header X-Bad: the value has control characters")
    assert "X-Split" not in answer.headers
