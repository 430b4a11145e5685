"""PEP 3333 over one connection: the environ, `wsgi.input`, and one response.

An `Exchange` is one request with its response. It decides what the application's output
means and hands bytes to its connection; it never waits and never sees a socket.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from wsgi_server._http11 import (
    HEAD_END,
    LAST_CHUNK,
    Request,
    ResponseError,
    chunk_frame,
    early_hints,
    encode_chunk,
)
from wsgi_server._logs.access import escaped
from wsgi_server.errors import RequestTimeout

from .channel import BodyError, Channel, ClientGone
from .file_wrapper import FileWrapper

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from wsgi_server._http11 import Declaration, Head

LOG = logging.getLogger(__name__)

Headers = list[tuple[str, str]]
ExcInfo = (
    tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]
)

#: Blocks of a list up to this size together are sent in one write.
JOIN_LIMIT: Final = 65536
#: A block of this size or more is sent as it is; a copy costs less than a smaller one.
SCATTER: Final = 8192


class Exchange:
    """One request, its environ, and the response an application makes for it."""

    __slots__ = (
        "_channel",
        "_claims",
        "_declaration",
        "_head",
        "_stream",
        "environ",
        "error",
        "headers",
        "interrupted",
        "request",
        "request_id",
        "seconds",
        "sent",
        "started",
        "status",
        "ttfb",
        "waited",
    )

    #: Seconds for which it waited for a place; noted when it has ended.
    waited: float

    def __init__(
        self,
        channel: Channel,
        request: Request,
        environ: dict[str, Any],
        now: float,
        request_id: str = "",
    ) -> None:
        self._channel = channel
        self._stream = channel.stream
        self._declaration: Declaration | None = None
        self._head: Head | None = None
        self.request = request
        self.environ = environ
        self.status: str | None = None
        #: What went wrong: `client_gone`, `timeout` or the name of an exception.
        self.error = ""
        self.headers: Sequence[tuple[str, str]] = ()
        #: Body bytes that were sent.
        self.sent = 0
        self.started = now
        #: Seconds that it took; 0 while it runs.
        self.seconds = 0.0
        #: Seconds to the first byte of a response that is sent in pieces.
        self.ttfb = 0.0
        #: What the request is called in logs and to its client; empty for nothing.
        self.request_id = request_id
        #: One answer may be given, by whoever claims it first; None: nobody competes.
        self._claims: list[None] | None = None
        #: Set by an engine that raised `RequestTimeout` in it.
        self.interrupted = False

    def run(self, app: WSGIApplication) -> None:
        """Calls the application and sends what it answers.

        Everything that can go wrong ends here: the client gets a whole response, a short
        answer without internals, or a connection that visibly broke.
        """
        try:
            body = app(self.environ, self.start_response)
            if type(body) is list:
                self._send_blocks(body)
                return
            try:
                self._send_body(body)
            finally:
                close = getattr(body, "close", None)
                if close is not None:
                    self._run_close(close)
        except ClientGone as exc:
            LOG.debug("%s: %s", self, exc)
            self.error = self.error or "client_gone"
            self._channel.abort()
        except BodyError as exc:
            self._answer_instead(exc.status, exc.detail)
        except RequestTimeout:
            self.error = "timeout"
            self._answer_instead(503, "The request took too long.")
        # The boundary to the application. BaseException, because eventlet.Timeout and
        # SystemExit raised in a handler must not end the worker either.
        except BaseException as exc:
            LOG.exception("%s failed", self)
            self.error = type(exc).__name__[:64]
            self._answer_instead(500, "The server could not complete the request.")
            if isinstance(exc, self._channel.killed_by):
                raise

    def start_response(
        self, status: str, headers: Headers, exc_info: ExcInfo | None = None, /
    ) -> Callable[[bytes], None]:
        """PEP 3333's callable; returns `write`.

        Raises `ResponseError` for what cannot be sent, and then nothing has happened.
        """
        if exc_info is not None and exc_info[1] is not None:
            try:
                if self._head is not None:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self.status is not None:
            raise AssertionError("start_response was called twice without exc_info")
        try:
            # Not the list: an application may change that later.
            given = status, tuple(headers)
            self._declaration = self._channel.declarations[given]
        except TypeError as exc:
            raise ResponseError(
                f"not a status and (name, value) tuples: {exc}"
            ) from exc
        self.status, self.headers = given
        return self.write

    def early_hints(self, headers: Headers, /) -> None:
        """`wsgi.early_hints`: a 103 response with the Link fields of `headers`.

        Does nothing for HTTP/1.0 clients, without links, and once the response has begun.
        Raises `ResponseError` for values that cannot be sent (RFC 8297).
        """
        hints = early_hints(headers)
        if hints and self.request.http11 and not self.has_begun:
            self._stream.send(hints)

    def write(self, data: bytes, /) -> None:
        """Sends a block of the body at once (PEP 3333's imperative interface)."""
        _check_block(data)
        head, prefix = self._head, b""
        if head is None:
            head, prefix = self._begin(None)
            self.ttfb = monotonic() - self.started
        if head.has_body and data:
            data = self._fitting(data, head)
            count = len(data)
            self.sent += count
            if not head.chunked:
                self._stream.send(prefix + data)
            elif count < SCATTER:
                self._stream.send(prefix + encode_chunk(data))
            else:
                before, after = chunk_frame(count)
                self._stream.send_between(prefix + before, data, after)
        elif prefix:
            self._stream.send(prefix)

    @property
    def has_begun(self) -> bool:
        """Whether a final response has: no interim one may follow it (RFC 9110 15.2)."""
        return self._head is not None or self._claims == []

    def compete(self) -> None:
        """From now on the response must be claimed: a deadline may answer instead."""
        self._claims = [None]

    def claim(self) -> bool:
        """Whether the caller may answer; true once."""
        if self._claims is None:
            return self._head is None
        try:
            # A list's pop is atomic, with and without the GIL.
            self._claims.pop()
        except IndexError:
            return False
        return True

    def __str__(self) -> str:
        peer = escaped(str(self.environ.get("REMOTE_ADDR") or "unix"))
        known = f" ({self.request_id})" if self.request_id else ""
        return (
            f"{self.request.method} {escaped(self.request.target)} from {peer}{known}"
        )

    def about(self) -> tuple[float, str, str, str]:
        """Since when it runs (monotonic seconds), its method, path and id, for people."""
        return self.started, self.request.method, self.request.path, self.request_id

    def _run_close(self, close: Callable[[], object]) -> None:
        """Whatever comes of it: the response is whole by now, or its failure is known."""
        try:
            close()
        # As in `run`.
        except BaseException as exc:
            LOG.exception("%s: close() failed", self)
            if isinstance(exc, self._channel.killed_by):
                raise

    def _send_body(self, body: Iterable[bytes]) -> None:
        if type(body) is tuple:
            self._send_blocks(body)
        elif type(body) is not FileWrapper or not self._send_file(body):
            for data in body:
                if data:
                    self.write(data)
                    if not self._head.has_body:  # type: ignore[union-attr]
                        break
                else:
                    _check_block(data)
            self._finish()

    def _send_blocks(self, blocks: list[bytes] | tuple[bytes, ...]) -> None:
        """A body that is all there: its length is known, small ones go in one write."""
        if self._head is not None:
            for data in blocks:
                self.write(data)
            self._finish()
            return
        total = 0
        for data in blocks:
            if type(data) is not bytes:
                _check_block(data)
            total += len(data)
        head, prefix = self._begin(total)
        if not head.has_body:
            self._stream.send(prefix)
        elif head.content_length != total:
            self._stream.send(prefix)
            for data in blocks:
                self.write(data)
            self._finish()
        elif len(blocks) == 1:
            self.sent = total
            self._stream.send(prefix + blocks[0], last=True)
        elif total <= JOIN_LIMIT:
            self.sent = total
            self._stream.send(b"".join((prefix, *blocks)), last=True)
        else:
            self._stream.send(prefix)
            self.ttfb = monotonic() - self.started
            for data in blocks:
                self.sent += len(data)
                self._stream.send(data)

    def _send_file(self, wrapper: FileWrapper) -> bool:
        """Lets the kernel send a regular file; false where that is not possible."""
        span = wrapper.span() if self._stream.can_send_file else None
        if span is None:
            return False
        fd, offset, count = span
        head, prefix = self._head, b""
        if head is None:
            head, prefix = self._begin(count)
        if head.chunked:
            return False
        if prefix:
            self._stream.send(prefix)
            self.ttfb = monotonic() - self.started
        if head.has_body:
            if head.content_length is not None:
                count = min(count, head.content_length - self.sent)
            self.sent += self._stream.send_file(fd, offset, count)
        self._finish()
        return True

    def _begin(self, body_length: int | None) -> tuple[Head, bytes]:
        """The head of the response, and the bytes of it."""
        if self._declaration is None:
            raise AssertionError("the application returned without start_response")
        head = self._channel.head(self.request, self._declaration, body_length)
        if self._claims is not None and not self.claim():
            self._note_timeout()
            raise ClientGone("the request took too long and was answered already")
        self._head = head
        if not head.open:
            return head, head.data
        return head, b"".join((head.data, self.request_id.encode(), HEAD_END))

    def _finish(self) -> None:
        head = self._head
        if head is None:
            head, prefix = self._begin(0)
            self._stream.send(prefix)
        if not head.has_body:
            return
        if head.chunked:
            self._stream.send(LAST_CHUNK)
        elif head.content_length is not None and self.sent < head.content_length:
            LOG.error(
                "%s: the body ended after %d of %d bytes; connection closed",
                self,
                self.sent,
                head.content_length,
            )
            self._channel.abort()

    def _fitting(self, data: bytes, head: Head) -> bytes:
        """`data` without what would exceed the announced length (RFC 9112 6.3)."""
        if head.content_length is None or self.sent + len(data) <= head.content_length:
            return data
        LOG.error(
            "%s: the body is longer than its Content-Length of %d; cut",
            self,
            head.content_length,
        )
        return data[: head.content_length - self.sent]

    def _answer_instead(self, status: int, detail: str) -> None:
        if self._head is None and self.claim():
            self._claims = []
            self.status = str(status)
            self.headers = ()
            self._channel.refuse(status, detail)
        else:
            if self._head is None:
                self._note_timeout()
            self._channel.abort()

    def _note_timeout(self) -> None:
        """The deadline answered: what the application says is not what was sent."""
        self.status = "503"
        self.headers = ()
        self.error = "timeout"


def _check_block(data: object) -> None:
    if not isinstance(data, bytes):
        raise TypeError(
            f"the application gave {type(data).__name__}, a WSGI body is made of bytes"
        )
