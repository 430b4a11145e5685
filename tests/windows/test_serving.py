"""HTTP, TLS and transfers on Windows: the same core, over sockets as they are there."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import ssl
import threading
from pathlib import Path

import pytest
from http_cases import REFUSED
from windows.servers import Serve, Server


@pytest.fixture(scope="module")
def pair() -> tuple[str, str]:
    """A certificate for localhost, which signs itself, and its key."""
    folder = Path(os.environ["WINDOWS_TEST_PAIR"])
    return str(folder / "cert.pem"), str(folder / "key.pem")


def exchange(server: Server, data: bytes) -> bytes:
    with contextlib.closing(server.connect()) as client:
        client.sendall(data)
        # The server may have closed before everything was sent.
        with contextlib.suppress(ConnectionError):
            return b"".join(iter(lambda: client.recv(65536), b""))
    return b""


def test_what_must_be_refused_is_and_its_control_is_answered(
    serve: Serve, engine: str
) -> None:
    server = serve(engine, "--workers", "1", app="apps.hello:app")
    wrong = []
    for case in REFUSED:
        status = exchange(server, case.data).split(b" ", 2)[1:2]
        if status != [b"%d" % case.status] and not case.in_body:
            wrong.append((case.name, status))
    assert wrong == []


@pytest.mark.parametrize("workers", ["0", "1", "2"])
def test_a_kept_connection_is_answered_again_and_again(
    serve: Serve, engine: str, workers: str
) -> None:
    server = serve(engine, "--workers", workers)
    with contextlib.closing(server.client()) as client:
        for _ in range(50):
            client.request("GET", "/whole")
            assert client.getresponse().read() == b"onetwo"


def test_64_mib_go_up_and_come_down(serve: Serve, engine: str) -> None:
    server = serve(engine, "--workers", "1")
    piece = bytes(range(256)) * 4096
    head = b"POST /echo?1048576 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
    digest = hashlib.sha256()
    received = 0

    def send(client: socket.socket) -> None:
        for _ in range(64):
            client.sendall(piece)

    with contextlib.closing(server.connect()) as client:
        client.sendall(head + b"Content-Length: %d\r\n\r\n" % (64 * len(piece)))
        sender = threading.Thread(target=send, args=(client,))
        sender.start()
        with client.makefile("rb") as answer:
            while answer.readline() != b"\r\n":
                pass
            while size := int(answer.readline(), 16):
                data = answer.read(size)
                received += len(data)
                digest.update(data)
                answer.readline()
        sender.join()
    assert received == 64 << 20
    assert digest.digest() == hashlib.sha256(64 * piece).digest()


def test_more_sockets_than_select_takes_are_served(
    serve: Serve, engine: str, tmp_path: Path
) -> None:
    # So many are not made in a moment, and none of the first has sent anything by then.
    conf = tmp_path / "patient.conf"
    conf.write_text("[wsgi_server]\nheader_timeout = 300\n")
    server = serve(engine, "--workers", "1", "--config-file", str(conf))
    address = ("127.0.0.1", server.port)
    with contextlib.ExitStack() as stack:
        crowd = [
            stack.enter_context(socket.create_connection(address)) for _ in range(600)
        ]
        for client in crowd[::40]:
            client.sendall(b"GET /whole HTTP/1.1\r\nHost: a\r\n\r\n")
            assert client.recv(65536).startswith(b"HTTP/1.1 200 OK")


def test_tls_is_spoken_and_plain_http_refused(
    serve: Serve, engine: str, pair: tuple[str, str]
) -> None:
    cert, key = pair
    own = ("--cert-file", cert, "--key-file", key)
    server = serve(engine, "--workers", "1", *own)
    trusting = ssl.create_default_context(cafile=cert)
    with trusting.wrap_socket(server.connect(), server_hostname="localhost") as client:
        client.sendall(b"GET /whole HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert b"onetwo" in answer
    assert b"200 OK" not in exchange(server, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")


def test_with_ca_file_a_client_without_a_certificate_gets_nothing(
    serve: Serve, engine: str, pair: tuple[str, str]
) -> None:
    cert, key = pair
    mutual = ("--cert-file", cert, "--key-file", key, "--ca-file", cert)
    server = serve(engine, "--workers", "1", *mutual)
    request = b"GET /whole HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    for known in (False, True):
        context = ssl.create_default_context(cafile=cert)
        if known:
            context.load_cert_chain(cert, key)
        answer = b""
        # With TLS 1.3 the refusal comes after the client's own handshake.
        with (
            contextlib.suppress(OSError),
            context.wrap_socket(
                server.connect(), server_hostname="localhost"
            ) as client,
        ):
            client.sendall(request)
            answer = client.makefile("rb").read()
        assert (b"onetwo" in answer) is known
