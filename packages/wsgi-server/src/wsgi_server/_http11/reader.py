"""Bytes to requests: a strict, linear and bounded reader of HTTP/1.1 messages.

The usual head arrives whole and is read as one text. Everything else (fragments, long heads,
what is not plainly right) takes the slow way, line by line, with the same outcome at every
split of the bytes: the first line that breaks a rule decides.
"""

from __future__ import annotations

from .bodies import FRAMINGS, ChunkedBody, SizedBody
from .buffer import ReceiveBuffer
from .framing import complete
from .grammar import ProtocolError
from .heads import KNOWN_HEAD, RequestHeads
from .lines import add_field, parse_field, parse_request_line
from .messages import Request
from .names import is_forwarding


class RequestReader:
    """Reads what one client sends: a head, then its body if it has one, and again.

    Bytes go in by `feed`, or with the question for a head. `read_head` and `read_body` say
    None where they need more of them. After a `ProtocolError` the reader is dead and raises
    it again whatever is asked.
    """

    __slots__ = (
        "_body",
        "_error",
        "_heads",
        "_lines",
        "_request",
        "_size",
        "buffer",
    )

    def __init__(self, heads: RequestHeads) -> None:
        self._heads = heads
        self.buffer = ReceiveBuffer()
        # The body that is being read; the head that is, if that happens line by line, with
        # what it took so far: bytes and lines.
        self._body: SizedBody | ChunkedBody | None = None
        self._request: Request | None = None
        self._size = 0
        self._lines = 0
        self._error: ProtocolError | None = None

    @property
    def buffered(self) -> int:
        """Bytes that were fed and not used yet, those of an unfinished head included."""
        # Not the empty line that may stand before a request: who sent only that waits.
        return len(self.buffer) + (self._size if self._request is not None else 0)

    @property
    def idle(self) -> bool:
        """Whether it is between two requests, with nothing waiting."""
        return self._body is None and self._error is None and not self.buffered

    @property
    def in_body(self) -> bool:
        """Whether the request that was read last has a body that has not ended."""
        return self._body is not None

    def feed(self, data: bytes) -> None:
        """Adds what arrived; a dead reader forgets it."""
        if self._error is None:
            self.buffer.feed(data)

    def read_head(self, data: bytes = b"") -> Request | None:
        """The next request, None where more bytes are needed; `data` is what arrived.

        If it has a body, that must be read to its end first. Raises `ProtocolError`.
        """
        buffer, heads = self.buffer, self._heads
        if (
            self._body is not None
            or buffer.unread
            or self._size
            or self._error is not None
        ):
            self.feed(data)
            return self._read_on()
        request = heads.known.get(data) if len(data) <= KNOWN_HEAD else None
        if request is None:
            end = data.find(b"\r\n\r\n", 0, heads.quick) + 4
            if end >= 4:
                # One that is alone need not be copied.
                head = data if end == len(data) else data[:end]
                try:
                    request = heads.known.get(head) or heads.parse(head)
                except ProtocolError as exc:
                    self._die(exc)
                    raise
            if request is None:
                buffer.unread = data
                return self._read_on()
            if end < len(data):
                buffer.unread = data
                buffer.pos = end
        if request.has_body:
            self._body = FRAMINGS[request.chunked](request, buffer, heads)
        return request

    def _read_on(self) -> Request | None:
        """As `read_head`, from the buffer."""
        buffer, heads = self.buffer, self._heads
        try:
            request = None
            # Behind an empty line its bytes count as well.
            if not self._size and self._body is None:
                head = buffer.whole_head(heads.quick)
            else:
                head = None
            if head is not None:
                request = heads.known.get(head) or heads.parse(head)
            if request is not None and head is not None:
                buffer.skip(len(head))
            else:
                request = self._read_lines()
        except ProtocolError as exc:
            self._die(exc)
            raise
        if request is not None and request.has_body:
            self._body = FRAMINGS[request.chunked](request, buffer, heads)
        return request

    def read_body(self, limit: int) -> bytes | None:
        """Up to `limit` bytes of the body, at least 1; None where more bytes are needed.

        Empty at its end, if it did not end with the part before: `in_body` tells. Raises `ProtocolError`, and `RuntimeError` where there is no body to read.
        """
        body = self._body
        if body is None:
            raise self._nothing_open()
        try:
            part = body.read(limit)
        except ProtocolError as exc:
            self._die(exc)
            raise
        if body.ended:
            self._body = None
        return part

    def trailers(self) -> dict[str, str]:
        """Where the fields behind the open body are once it ends, by environ name."""
        body = self._open_body()
        return body.trailers if isinstance(body, ChunkedBody) else {}

    def read_whole_body(self) -> bytes | None:
        """What is left of a sized body, if all of that has arrived; else nothing is taken.

        Raises as `read_body`.
        """
        body = self._body
        if body is None:
            raise self._nothing_open()
        whole = body.read_whole()
        if body.ended:
            self._body = None
        return whole

    def appetite(self) -> int:
        """How many bytes to receive and feed next while a body is read."""
        return self._open_body().appetite

    def direct(self, limit: int) -> int:
        """How many of the next bytes are body, up to `limit`, and may pass by the buffer.

        0: what comes next must be fed.
        """
        body = self._body
        return 0 if body is None or self.buffer.unread else min(limit, body.left)

    def behind(self, count: int) -> int:
        """How many bytes to receive behind the `count` that `direct` allowed.

        Where a chunk ends there, just those that announce another one of its size; else 0.
        """
        return self._open_body().behind(count)

    def pass_body(self, count: int, tail: bytes = b"") -> None:
        """Takes note of body bytes that passed by, no more than `direct` allowed.

        `tail` came behind them, no more than `behind` asked for.
        """
        body = self._open_body()
        body.passed(count, tail)
        if body.ended:
            self._body = None

    def _open_body(self) -> SizedBody | ChunkedBody:
        if self._body is None:
            raise self._nothing_open()
        return self._body

    def _nothing_open(self) -> Exception:
        return self._error or RuntimeError("no request body is being read")

    def _read_lines(self) -> Request | None:
        """A head line by line, as they come; remembers what it has used."""
        if self._error is not None:
            raise self._error
        if self._body is not None:
            raise RuntimeError("the body of the last request has not been read")
        buffer, limits = self.buffer, self._heads.limits
        while buffer.unread:
            request = self._request
            most = limits.header_bytes - self._size
            if request is None:
                most = min(most, limits.request_line + 2)
                line = buffer.line(most, 414, "request line")
            else:
                if limits.header_line is not None:
                    most = min(most, limits.header_line + 2)
                line = buffer.line(most, 431, "request head")
            if line is None:
                return None
            self._size += len(line) + 2
            if request is None:
                if line:
                    self._request = new_request(line)
                elif self._size > 2:
                    raise ProtocolError(400, "Empty lines before the request.")
            elif line:
                self._lines += 1
                if self._lines > limits.headers:
                    raise ProtocolError(431, "Too many header fields.")
                key, value = parse_field(line, self._heads.names)
                add_field(request.headers, key, value)
            else:
                self._request = None
                self._size = self._lines = 0
                request.forwarding = set(filter(is_forwarding, request.headers))
                complete(request, limits)
                return request
        return None

    def _die(self, error: ProtocolError) -> None:
        """Nothing behind the error is looked at, so nothing is kept."""
        self._error = error
        self._request = self._body = None
        self._size = 0
        self.buffer.clear()


def new_request(line: bytes) -> Request:
    """A request as far as its first line tells. Raises `ProtocolError`."""
    request = Request()
    (
        request.method,
        request.target,
        request.path,
        request.query,
        request.http11,
        request.scheme,
    ) = parse_request_line(line)
    request.headers = {}
    request.familiar = False
    return request
