"""One request and its response, without a socket: what reaches the connection, and how."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from wsgi_server._http11 import Head, Request, ResponseHeads
from wsgi_server._wsgi import Exchange, FileWrapper

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]
CONTENT = b"what the application means " * 1000


class Channel:
    """A connection that takes everything and notes what it was told."""

    can_send_file = True

    def __init__(self) -> None:
        self.sent = b""
        self.files = 0
        self.refused: int | None = None
        self.aborted = False
        self._heads = ResponseHeads()

    def send(self, data: bytes, *, last: bool = False) -> None:
        self.sent += data

    def send_between(self, before: bytes, data: bytes, after: bytes) -> None:
        self.sent += before + data + after

    def send_file(self, fd: int, offset: int, count: int) -> int:
        self.files += 1
        self.sent += Path(f"/proc/self/fd/{fd}").read_bytes()[offset:][:count]
        return count

    def read_body(self, limit: int) -> bytes:
        return b""

    def read_body_into(self, buffer: memoryview) -> int:
        return 0

    def head(self, exchange: Exchange, body_length: int | None) -> Head:
        return self._heads.head(
            exchange.status or "",
            exchange.headers or (),
            http11=False,
            head_request=False,
            keep_alive=False,
            body_length=body_length,
        )

    def refuse(self, status: int, detail: str) -> None:
        self.refused = status

    def abort(self) -> None:
        self.aborted = True

    @property
    def body(self) -> bytes:
        return self.sent.partition(b"\r\n\r\n")[2]


def make_exchange(channel: Channel) -> Exchange:
    request = Request()
    request.method, request.target, request.http11 = "GET", "/", False
    request.headers = {}
    return Exchange(channel, request, {"REMOTE_ADDR": "1.2.3.4"}, 0.0)


def answered(app: Application) -> Channel:
    channel = Channel()
    make_exchange(channel).run(app)
    return channel


def wrapping(opened: Any) -> Application:
    def app(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        start("200 OK", [])
        return FileWrapper(opened)

    return app


@pytest.mark.parametrize("competing", [False, True])
def test_a_head_that_cannot_be_sent_is_a_500_with_a_deadline_too(
    competing: bool,
) -> None:
    def app(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        start("200 OK", [("X-A", "a\r\nb")])
        return [b"x"]

    channel = Channel()
    exchange = make_exchange(channel)
    if competing:
        exchange.compete()
    exchange.run(app)
    assert (channel.refused, channel.aborted) == (500, False)
    assert exchange.status == "500"


@pytest.mark.parametrize("fails", [False, True])
def test_a_response_that_comes_after_the_deadline_counts_as_503(fails: bool) -> None:
    channel = Channel()
    exchange = make_exchange(channel)
    exchange.compete()

    def app(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        assert exchange.claim()
        start("200 OK", [("X-A", "a")])
        if fails:
            raise ValueError
        return [b"too late"]

    exchange.run(app)
    assert channel.sent == b""
    assert channel.aborted
    assert (exchange.status, exchange.headers) == ("503", [])
