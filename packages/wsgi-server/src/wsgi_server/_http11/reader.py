"""Bytes to requests: a strict, linear and bounded reader of HTTP/1.1 messages.

The usual head arrives whole: it is split once, and each line costs one lookup in a cache of
exact lines that were checked before; a whole head that came before costs a single one.
Everything else (fragments, long heads, new lines) takes the slow way, line by line, with
the same outcome at every split of the bytes: the first line that breaks a rule decides.
"""

from __future__ import annotations

from typing import Final

from .bodies import CHUNK_SIZE, DONE, HEAD, SIZED, START, BodyReader
from .framing import complete
from .grammar import ProtocolError
from .lines import (
    FRAMING,
    join_field,
    known_fields,
    known_request_lines,
    parse_field,
    parse_request_line,
)
from .messages import NEED_DATA, Limits, Request, Signal

#: Whole heads that are kept, and how long they may be; more start over.
KNOWN_HEADS: Final = 256
KNOWN_HEAD: Final = 1024


class RequestReader(BodyReader):
    """Feed it bytes, ask it for events.

    `next_event` gives a `Request`, then the body as bytes objects, then `END`; `NEED_DATA`
    whenever it needs more. A request without a body is followed by `END` at once. After a
    `ProtocolError` the reader is dead and raises it again whatever is asked.
    """

    __slots__ = ("_known", "_request")

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self._known = limits.known
        #: The head that is being read line by line.
        self._request: Request | None = None

    def recognize(self, data: bytes) -> Request | None:
        """The request that `data` is, whole and alone, if the same bytes came before.

        It has no body, and no `END` follows it. None: nothing was taken, `feed` the data.
        """
        if self.unread or self._state != START or self._size or len(data) > KNOWN_HEAD:
            return None
        request = self._known.get(data)
        if request is None or request.has_body:
            return None
        request.familiar = True
        self.trailers = None
        return request

    def next_event(self) -> Request | bytes | Signal:
        """The next event. Raises `ProtocolError`."""
        if self._state > HEAD:
            return self.read_body(len(self.unread) + 1)
        return self.read_head() or NEED_DATA

    def read_head(self) -> Request | None:
        """As `next_event` between two requests; None where it needs more.

        Raises `ProtocolError`.
        """
        buffer = self.unread
        try:
            # Not for a head whose beginning was searched before, that would not be linear;
            # nor behind an empty line, whose bytes count as well.
            if buffer and self._state == START and not self._left and not self._size:
                start = self._pos
                end = buffer.find(b"\r\n\r\n", start, start + self.limits.quick + 4)
                if end > start:
                    head = bytes(buffer[start : end + 4])
                    request = self._known.get(head)
                    if request is not None:
                        request.familiar = True
                    else:
                        request = self._quick_head(head)
                    if request is not None:
                        self._use(end + 4 - start)
                        return self._begin(request)
            return self._slow_head()
        except ProtocolError as exc:
            self._die(exc)
            raise

    def _quick_head(self, head: bytes) -> Request | None:
        """A head that is all there; None where it takes a closer look."""
        lines = head[:-4].split(b"\r\n")
        if len(lines) > self.limits.headers or not lines[0]:
            return None
        memorable = lines[0] in known_request_lines
        request = self._request_line(lines[0])
        headers = request.headers
        known = known_fields
        for line in lines[1:]:
            try:
                key, value = known[line]
            except KeyError:
                key, value = parse_field(line, self.limits.underscores)
                memorable = memorable and key in FRAMING
            if key in headers:
                join_field(headers, key, value)
            else:
                headers[key] = value
        complete(request, self.limits)
        if memorable and len(head) <= KNOWN_HEAD:
            # None of its lines holds a secret, and nearly all of them came before.
            if len(self._known) >= KNOWN_HEADS:
                self._known.clear()
            self._known[head] = request
        return request

    def _slow_head(self) -> Request | None:
        """Line by line, as they come; remembers what it has used."""
        if self._error is not None:
            raise self._error
        if not self.unread:
            self._starved()
            return None
        limits = self.limits
        while True:
            first = self._request is None
            line = self._line(
                limits.request_line if first else limits.header_line,
                414 if first else 431,
            )
            if line is None:
                self._starved()
                return None
            if first:
                if not line:
                    if self._size > 2:
                        raise ProtocolError(400, "Empty lines before the request.")
                    continue
                self._state = HEAD
                self._request = self._request_line(line)
            elif not line:
                request = self._request
                assert request is not None  # noqa: S101  what `first` says
                self._request = None
                self._lines = self._size = 0
                complete(request, self.limits)
                return self._begin(request)
            else:
                self._lines += 1
                if self._lines > limits.headers:
                    raise ProtocolError(431, "Too many header fields.")
                request = self._request
                assert request is not None  # noqa: S101
                key, value = known_fields.get(line) or parse_field(
                    line, limits.underscores
                )
                if key in request.headers:
                    join_field(request.headers, key, value)
                else:
                    request.headers[key] = value

    def _line(self, limit: int | None, status: int) -> bytes | None:
        """The next line without its CRLF, or None while it is not complete.

        `_left` remembers how far the search came, so that a line that drips in byte by byte
        is still read in linear time.
        """
        buffer, start = self.unread, self._pos
        most = self.limits.header_bytes - self._size
        if limit is not None:
            most = min(most, limit + 2)
        searched = max(start, start + self._left - 1)
        end = buffer.find(b"\n", searched, start + most)
        if end < 0:
            if len(buffer) - start >= most:
                what = "request line" if status == 414 else "request head"
                raise ProtocolError(status, f"The {what} is too long.")
            self._left = len(buffer) - start
            return None
        if end == start or buffer[end - 1] != 13:
            raise ProtocolError(400, "A line does not end with CR LF.")
        self._left = 0
        line = bytes(buffer[start : end - 1])
        self._size += end + 1 - start
        self._use(end + 1 - start)
        return line

    def _request_line(self, line: bytes) -> Request:
        request = Request()
        (
            request.method,
            request.target,
            request.path,
            request.query,
            request.http11,
            request.scheme,
        ) = known_request_lines.get(line) or parse_request_line(line)
        request.headers = {}
        request.familiar = False
        return request

    def _begin(self, request: Request) -> Request:
        """The body comes next."""
        self.trailers = None
        if request.chunked:
            self._state = CHUNK_SIZE
            self._left = self._total = 0
        elif request.has_body:
            self._state = SIZED
            self._left = request.content_length or 0
        else:
            self._state = DONE
        return request

    def _die(self, error: ProtocolError) -> None:
        self._request = None
        super()._die(error)
