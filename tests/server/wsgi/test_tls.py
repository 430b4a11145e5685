"""The same promises through TLS, where the kernel cannot send files and records end anywhere."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import live
import pytest
import tools
from apps import exercise

CONTEXT = ssl.create_default_context()
CONTEXT.check_hostname = False
CONTEXT.verify_mode = ssl.CERT_NONE


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The options of a certificate that nobody has signed but itself."""
    cert, key = tools.self_signed(tmp_path_factory.mktemp("pair"))
    return ["--cert-file", str(cert), "--key-file", str(key)]


@pytest.fixture(scope="module", params=live.FORMS)
def site(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    certificate: list[str],
) -> Iterator[live.LiveServer]:
    """`apps.exercise:app` on one worker, with TLS."""
    server = live.start(
        tmp_path_factory.mktemp(request.param),
        live.application_of(request.param, "apps.exercise:app"),
        *("--bind-host", "127.0.0.1", "--bind-port", "0"),
        *("--engine", live.engine_of(request.param), "--workers", "1"),
        *certificate,
    )
    with live.stopping([server]):
        yield server


@contextlib.contextmanager
def client(site: live.LiveServer) -> Iterator[http.client.HTTPSConnection]:
    """A keep-alive client."""
    made = http.client.HTTPSConnection(
        *site.address, timeout=live.PATIENCE, context=CONTEXT
    )
    with contextlib.closing(made):
        yield made


def get(site: live.LiveServer, path: str) -> bytes:
    with client(site) as one:
        one.request("GET", path)
        return one.getresponse().read()


def read_to_end(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(65536), b""))


def test_a_wrapped_file_is_sent_whole(site: live.LiveServer) -> None:
    content = Path(exercise.__file__).read_bytes()
    assert get(site, "/file?100") == content[100:]


@pytest.mark.parametrize("how", ["", "&chunked"])
def test_a_large_body_is_sent_whole(site: live.LiveServer, how: str) -> None:
    body = get(site, f"/big?4000000{how}")
    assert len(body) == 4_000_000
    assert body[:65537] == b"a" * 65536 + b"b"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_upload_streams_through(site: live.LiveServer, chunked: bool) -> None:
    block = bytes(range(256)) * 256
    with client(site) as one:
        for _ in range(2):
            body = (block for _ in range(40)) if chunked else block * 40
            one.request("POST", "/echo", body)
            assert one.getresponse().read() == block * 40


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_that_is_answered_early_is_not_reset(
    site: live.LiveServer, version: ssl.TLSVersion
) -> None:
    """It goes on sending, while the session holds records that nobody will read."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    head = b"POST /ignore HTTP/1.1\r\nHost: x\r\nContent-Length: 50000000\r\n\r\n"
    with context.wrap_socket(site.connect(), suppress_ragged_eofs=False) as sock:
        # Together, or the session may be given one record and no more.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        sock.sendall(head + b"x" * 50_000)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
        answer = read_to_end(sock)
        assert answer.endswith(b"ignored")
        # Time to close in, and then the first of the two would make it a reset.
        assert get(site, "/whole") == b"onetwo"
        with socket.socket(fileno=sock.detach()) as raw:
            raw.sendall(b"x" * 100_000)
            raw.sendall(b"x" * 100_000)
            raw.shutdown(socket.SHUT_WR)
            assert read_to_end(raw) == b""


@pytest.mark.parametrize("length", [100, 65_536, 200_000])
def test_a_request_in_the_same_record_is_answered(
    site: live.LiveServer, length: int
) -> None:
    """The session may hold it when the socket has nothing more to say."""
    head = b"POST /measure?65536 HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
    last = b"GET /whole HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with CONTEXT.wrap_socket(site.connect()) as sock:
        sock.sendall(head % length)
        sock.sendall(b"x" * length + last)
        answer = read_to_end(sock)
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert answer.endswith(b"onetwo")


@pytest.mark.parametrize("path", ["/boom-late", "/boom-late?100", "/short"])
def test_a_body_that_breaks_off_is_not_taken_for_whole(
    site: live.LiveServer, path: str
) -> None:
    with CONTEXT.wrap_socket(site.connect(), suppress_ragged_eofs=False) as sock:
        sock.sendall(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode())
        # Ended without close_notify, which is what a cut looks like (RFC 8446 6.1).
        with pytest.raises((ssl.SSLEOFError, ConnectionResetError)):
            read_to_end(sock)


def test_a_whole_response_ends_with_close_notify(site: live.LiveServer) -> None:
    """The control: `recv` tells a cut from an end."""
    with CONTEXT.wrap_socket(site.connect(), suppress_ragged_eofs=False) as sock:
        sock.sendall(b"GET /stream HTTP/1.0\r\n\r\n")
        answer = read_to_end(sock)
    assert answer.endswith(b"onetwothree")


@pytest.mark.parametrize("polite", [False, True])
def test_an_application_can_see_that_its_client_has_gone(
    site: live.LiveServer, polite: bool
) -> None:
    """Also behind the close_notify that most clients send first."""
    with CONTEXT.wrap_socket(site.connect()) as sock:
        # With an answer first, for what is unread at the end makes it a reset.
        sock.sendall(b"GET /whole HTTP/1.1\r\nHost: x\r\n\r\n")
        assert sock.recv(65536).endswith(b"onetwo")
        sock.sendall(b"GET /patient?15 HTTP/1.1\r\nHost: x\r\n\r\n")
        if polite:
            sock.setblocking(False)
            # It does not wait for the answer to its close_notify.
            with contextlib.suppress(ssl.SSLWantReadError):
                sock.unwrap()
    site.wait_for("the notice", lambda: "gone" in json.loads(get(site, "/closed")))


def test_a_request_without_tls_is_no_request(site: live.LiveServer) -> None:
    with site.connect() as sock:
        sock.sendall(b"GET /whole HTTP/1.1\r\nHost: x\r\n\r\n")
        sock.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            assert b"onetwo" not in read_to_end(sock)
    assert get(site, "/whole") == b"onetwo"
