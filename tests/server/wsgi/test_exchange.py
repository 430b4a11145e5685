"""One request and its response, without a socket: what reaches the connection, and how."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from wsgi_server._http11 import (
    Declaration,
    Head,
    Request,
    ResponseError,
    ResponseHeads,
)
from wsgi_server._wsgi.exchange import Exchange
from wsgi_server._wsgi.file_wrapper import FileWrapper

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]
CONTENT = b"what the application means " * 1000


class Channel:
    """A connection that takes everything and notes what it was told."""

    can_send_file = True
    killed_by: tuple[type[BaseException], ...] = ()

    def __init__(self) -> None:
        self.stream = self
        self.sent = b""
        self.files = 0
        self.refused: int | None = None
        self.aborted = False
        self._heads = ResponseHeads()
        self.declarations = self._heads.declarations

    def send(self, data: bytes, *, last: bool = False) -> None:
        self.sent += data

    def send_between(self, before: bytes, data: bytes, after: bytes) -> None:
        self.sent += before + data + after

    def send_file(self, fd: int, offset: int, count: int) -> int:
        self.files += 1
        self.sent += Path(f"/proc/self/fd/{fd}").read_bytes()[offset:][:count]
        return count

    def head(
        self, request: Request, declaration: Declaration, body_length: int | None
    ) -> Head:
        return self._heads.head(request, declaration, body_length, False)

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


class Killed(BaseException):
    """What an engine ends a runner with."""


class Kill:
    """A body that is killed, or in whose `close` whoever runs it is."""

    def __init__(self, where: str) -> None:
        self.where = where

    def __iter__(self) -> Iterator[bytes]:
        if self.where == "body":
            raise Killed
        yield b"x"

    def close(self) -> None:
        if self.where == "close":
            raise Killed


#: What `start_response` must refuse (PEP 3333), each with what may be sent instead.
BAD: list[tuple[Any, Any, Any, Any]] = [
    ("200", [], "200 OK", []),
    ("100 Continue", [], "200 OK", []),
    ("200 OK\r\nX: y", [], "200 OK", []),
    (b"200 OK", [], "200 OK", []),
    (200, [], "200 OK", []),
    (["200 OK"], [], "200 OK", []),
    ("200 OK", [("X A", "a")], "200 OK", [("X-A", "a")]),
    ("200 OK", [("X", "a\r\nY: b")], "200 OK", [("X", "aY: b")]),
    ("200 OK", [("X", "\u20ac")], "200 OK", [("X", "\xa4")]),
    ("200 OK", [("X", b"a")], "200 OK", [("X", "a")]),
    ("200 OK", [(b"X", "a")], "200 OK", [("X", "a")]),
    ("200 OK", [("X", 1)], "200 OK", [("X", "1")]),
    ("200 OK", [("X", ["a"])], "200 OK", [("X", "a")]),
    ("200 OK", [["X", "a"]], "200 OK", [("X", "a")]),
    ("200 OK", ["Xa"], "200 OK", [("X", "a")]),
    ("200 OK", {"X": "a"}, "200 OK", {"X": "a"}.items()),
    ("200 OK", None, "200 OK", ()),
    ("200 OK", [("Connection", "close")], "200 OK", [("X-Connection", "close")]),
    ("200 OK", [("Content-Length", "1")] * 2, "200 OK", [("Content-Length", "1")]),
    ("200 OK", [("Content-Length", "x")], "200 OK", [("Content-Length", "1")]),
]


@pytest.mark.parametrize(("status", "headers", "good", "others"), BAD)
def test_what_cannot_be_sent_is_refused_where_it_can_be_caught(
    status: Any, headers: Any, good: Any, others: Any
) -> None:
    def app(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        # Not even for a moment does it count: what comes next is the first call.
        with pytest.raises(ResponseError):
            start(status, headers)
        start(good, others)
        # Nor does it take the place of what was said before.
        try:
            environ["nothing"]
        except KeyError:
            with pytest.raises(ResponseError):
                start(status, headers, sys.exc_info())
        return [b"x"]

    channel = answered(app)
    assert (channel.refused, channel.aborted) == (None, False)
    assert channel.sent.startswith(f"HTTP/1.1 {good}\r\n".encode())


def test_behind_a_head_the_error_of_the_application_comes_first() -> None:
    def app(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        start("200 OK", [("Content-Length", "1")])(b"x")
        try:
            environ["nothing"]
        except KeyError:
            with pytest.raises(KeyError):
                start("200 OK", [("X", "\n")], sys.exc_info())
        return []

    assert answered(app).body == b"x"


def test_what_is_changed_behind_start_response_is_not_sent() -> None:
    headers = [("X", "a")]

    def app(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        start("200 OK", headers)
        headers.append(("Y", "a\r\nb"))
        return [b"x"]

    assert b"Y" not in answered(app).sent.partition(b"Date")[0]


@pytest.mark.parametrize(
    "bad", [("Link", "a\nb"), ("X", "\n"), ("X", b"a"), ["X", "a"]]
)
def test_a_hint_that_cannot_be_sent_is_refused(bad: Any) -> None:
    channel = Channel()
    exchange = make_exchange(channel)
    exchange.request.http11 = True
    with pytest.raises(ResponseError):
        exchange.early_hints([("Link", "</a>"), bad])
    assert channel.sent == b""
    exchange.early_hints([("Link", "</a>"), ("X", "a")])
    assert channel.sent


@pytest.mark.parametrize("claimed", [False, True])
def test_no_hint_follows_an_answer_of_the_deadline(claimed: bool) -> None:
    channel = Channel()
    exchange = make_exchange(channel)
    exchange.request.http11 = True
    exchange.compete()
    if claimed:
        assert exchange.claim()
    assert exchange.has_begun == claimed
    exchange.early_hints([("Link", "</a>")])
    assert bool(channel.sent) != claimed


def test_no_hint_follows_the_error_that_answers_for_an_application() -> None:
    def app(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        raise RuntimeError

    channel = Channel()
    exchange = make_exchange(channel)
    exchange.request.http11 = True
    exchange.run(app)
    exchange.early_hints([("Link", "</a>")])
    assert (channel.refused, channel.sent) == (500, b"")


@pytest.mark.parametrize("where", ["application", "body", "close"])
@pytest.mark.parametrize("kills", [False, True])
def test_what_kills_the_runner_gets_there_and_nothing_else_does(
    where: str, kills: bool
) -> None:
    def app(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        if where == "application":
            raise Killed
        start("200 OK", [])
        return Kill(where)

    channel = Channel()
    if kills:
        channel.killed_by = (Killed,)
    with pytest.raises(Killed) if kills else contextlib.nullcontext():
        make_exchange(channel).run(app)
    assert channel.refused == (None if where == "close" else 500)


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
    assert (exchange.status, exchange.headers) == ("503", ())


@pytest.mark.parametrize("module", [gzip, bz2, lzma])
def test_a_wrapped_file_that_decompresses_sends_what_it_reads(
    tmp_path: Path, module: Any
) -> None:
    path = tmp_path / "packed"
    with module.open(path, "wb") as packed:
        packed.write(CONTENT)
    channel = answered(wrapping(module.open(path)))
    assert channel.body == CONTENT
    assert channel.files == 0


def test_a_wrapped_file_of_no_size_is_read() -> None:
    """The kernel's own files have none, and much to say."""
    with Path("/proc/self/status").open("rb") as opened:
        channel = answered(wrapping(opened))
    assert b"Pid:" in channel.body


@pytest.mark.parametrize("buffering", [-1, 0])
def test_a_plain_file_is_still_left_to_the_kernel(
    tmp_path: Path, buffering: int
) -> None:
    path = tmp_path / "plain"
    path.write_bytes(CONTENT)
    opened = path.open("rb", buffering)
    opened.seek(7)
    channel = answered(wrapping(opened))
    assert channel.body == CONTENT[7:]
    assert channel.files == 1


def test_headers_that_can_be_read_only_once_are_sent() -> None:
    def app(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        start("200 OK", (item for item in [("X-A", "a"), ("Set-Cookie", "b")]))
        return [b"x"]

    channel = answered(app)
    assert b"\r\nX-A: a\r\nSet-Cookie: b\r\n" in channel.sent


class Failing:
    """A body whose `close` fails."""

    def __iter__(self) -> Iterator[bytes]:
        yield CONTENT

    def close(self) -> None:
        raise RuntimeError("close failed")


def test_a_whole_response_stays_whole_when_close_fails(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def app(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        start("200 OK", [])
        return Failing()

    channel = answered(app)
    assert channel.body == CONTENT
    assert not channel.aborted
    assert "close failed" in caplog.text


def test_a_response_that_broke_is_aborted_when_close_fails_too() -> None:
    class Broken(Failing):
        def __iter__(self) -> Iterator[bytes]:
            yield b"begun"
            raise ValueError("in the middle")

    def app(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        start("200 OK", [])
        return Broken()

    channel = answered(app)
    assert channel.body == b"begun"
    assert channel.aborted
