"""Bytes to requests: a strict, linear and bounded reader of HTTP/1.1 messages.

The usual head arrives whole: it is split once, and each line costs one lookup in a cache of
exact lines that were checked before; a whole head that came before costs a single one.
Everything else (fragments, long heads, new lines) takes the slow way, line by line, with
the same outcome at every split of the bytes: the first line that breaks a rule decides.
"""

from __future__ import annotations

import functools
from typing import Final

from .grammar import CHUNK_LINE, LENGTH_DIGITS, ProtocolError
from .lines import (
    DROPPED,
    FRAMING,
    authority,
    join_field,
    known_fields,
    known_request_lines,
    may_be_trailer,
    parse_field,
    parse_request_line,
)
from .messages import END, NEED_DATA, Limits, Request, Signal

#: Whole heads that are kept, and how long they may be; more start over.
KNOWN_HEADS: Final = 256
KNOWN_HEAD: Final = 1024


class RequestReader:
    """Feed it bytes, ask it for events.

    `next_event` gives a `Request`, then the body as bytes objects, then `END`; `NEED_DATA`
    whenever it needs more. A request without a body is followed by `END` at once. After a
    `ProtocolError` the reader is dead and raises it again whatever is asked.
    """

    __slots__ = (
        "_eof",
        "_error",
        "_known",
        "_left",
        "_lines",
        "_pos",
        "_request",
        "_size",
        "_state",
        "_total",
        "closed",
        "limits",
        "trailers",
        "unread",
    )

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._known = limits.known
        #: Harmless fields that came behind a chunked body, by environ name.
        self.trailers: dict[str, str] | None = None
        #: The peer has closed between two requests.
        self.closed = False
        #: Empty when every byte that was fed is used; else it ends with those that are not.
        self.unread: bytes | bytearray = b""
        self._pos = 0
        self._state = _START
        self._eof = False
        self._error: ProtocolError | None = None
        self._request: Request | None = None
        # What the head in progress took so far: lines and bytes.
        self._lines = 0
        self._size = 0
        # Body bytes left of the request or the chunk, and those of all chunks so far.
        self._left = 0
        self._total = 0

    @property
    def buffered(self) -> int:
        """Bytes that were fed and not used yet, those of an unfinished head included."""
        have = len(self.unread) - self._pos
        # Not the empty line that may stand before a request: who sent only that waits.
        return have + self._size if self._state == _HEAD else have

    @property
    def idle(self) -> bool:
        """Between two requests, with nothing waiting."""
        return self._state == _START and not self.buffered

    def recognize(self, data: bytes) -> Request | None:
        """The request that `data` is, whole and alone, if the same bytes came before.

        It has no body, and no `END` follows it. None: nothing was taken, `feed` the data.
        """
        if self.unread or self._state != _START or self._size or len(data) > KNOWN_HEAD:
            return None
        request = self._known.get(data)
        if request is None or request.has_body:
            return None
        request.familiar = True
        self.trailers = None
        return request

    def feed(self, data: bytes) -> None:
        """Adds what arrived; a dead reader forgets it."""
        buffer = self.unread
        if not buffer:
            if self._state != _DEAD:
                self.unread = data
        elif type(buffer) is bytearray:
            if self._pos > 65536:
                del buffer[: self._pos]
                self._pos = 0
            buffer += data
        else:
            joined = bytearray(memoryview(buffer)[self._pos :])
            joined += data
            self.unread = joined
            self._pos = 0

    def feed_eof(self) -> None:
        """The peer sends no more.

        What was fed is still read. Where that ends in the middle of a request, asking for
        more raises `ProtocolError`; between two requests, `closed` is set.
        """
        self._eof = True
        self.closed = self.idle

    def next_event(self) -> Request | bytes | Signal:
        """The next event. Raises `ProtocolError`."""
        if self._state > _HEAD:
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
            if buffer and self._state == _START and not self._left and not self._size:
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

    def read_whole_body(self) -> bytes | None:
        """What is left of a sized body, with its `END`, if all of that has arrived.

        None: nothing was taken.
        """
        start = self._pos
        end = start + self._left
        if self._state != _SIZED or len(self.unread) < end:
            return None
        body = bytes(self.unread[start:end])
        self._use(end - start)
        self._finish()
        return body

    def pass_end(self) -> bool:
        """Takes the `END` of a request if that is what comes next; else false.

        Of a chunked body that is not known before it is read.
        """
        if self._state != _DONE and (self._state != _SIZED or self._left):
            return False
        self._finish()
        return True

    def read_body(self, limit: int) -> bytes | Signal:
        """As `next_event` while a body is read, but at most `limit` bytes of it.

        Raises `ProtocolError`, and `RuntimeError` where there is no request to end.
        """
        state = self._state
        if state == _DEAD:
            assert self._error is not None  # noqa: S101  what died of it
            raise self._error
        try:
            if state == _SIZED:
                if self._left:
                    return self._take(limit)
            elif state == _CHUNK_DATA:
                return self._take(limit)
            elif state != _DONE:
                return self._chunked(limit)
        except ProtocolError as exc:
            self._die(exc)
            raise
        self._finish()
        return END

    def appetite(self, limit: int) -> int:
        """How many bytes to receive next for a body part of up to `limit`.

        Just those of the part where they are many, so that it need not be copied. Between
        chunks somewhat more than a part: a chunk of the same size then fits with its frame.
        """
        if self._state in (_SIZED, _CHUNK_DATA):
            wanted = min(limit, self._left)
            return wanted if wanted >= LARGE else RECEIVED
        return RECEIVED + FRAME

    def pass_body(self, data: bytes, limit: int) -> bool:
        """Whether `data` is a body part of up to `limit` as it is; it then counts as read.

        Otherwise `feed` it.
        """
        count = len(data)
        if self.unread or count > limit or count > self._left:
            return False
        state = self._state
        if state == _CHUNK_DATA:
            if count == self._left:
                self._state = _CHUNK_END
        elif state != _SIZED:
            return False
        self._left -= count
        return True

    # -- heads --------------------------------------------------------------------------

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
        self._complete(request)
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
                self._state = _HEAD
                self._request = self._request_line(line)
            elif not line:
                request = self._request
                assert request is not None  # noqa: S101  what `first` says
                self._request = None
                self._lines = self._size = 0
                self._complete(request)
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
        request.note = None
        return request

    def _complete(self, request: Request) -> None:
        """What the head means for framing, persistence and expectation."""
        headers = request.headers
        headers.pop(DROPPED, None)
        if "HTTP_HOST" not in headers:
            if request.http11:
                raise ProtocolError(400, "The Host field is missing.")
        elif headers["HTTP_HOST"][:1] in _NO_HOST and request.target[0] == "/":
            # RFC 9112 3.2 allows an empty Host only where the target has no authority;
            # for http it always has one, with a host in it (RFC 9110 4.2.1).
            raise ProtocolError(400, "The Host field is empty.")
        if request.scheme is not None:
            # RFC 9112 3.2.2: the target's authority replaces the Host field, which must
            # still be there and well-formed.
            headers["HTTP_HOST"] = authority(request.target)
        request.content_length = None
        request.chunked = False
        request.expect_continue = False
        connection = headers.get("HTTP_CONNECTION")
        if connection is None:
            request.keep_alive = request.http11
        else:
            options = _options(connection)
            request.keep_alive = "close" not in options and (
                request.http11 or "keep-alive" in options
            )
        if not request.path and request.method == "CONNECT":
            # RFC 9110 9.3.6: behind a 2xx the client, or its proxy, takes the connection for
            # a tunnel and sends what is no request of its own.
            request.keep_alive = False
        if "HTTP_TRANSFER_ENCODING" in headers:
            self._transfer_coding(request)
        elif "CONTENT_LENGTH" in headers:
            self._content_length(request)
        request.has_body = request.chunked or bool(request.content_length)
        if "HTTP_EXPECT" in headers and request.http11:
            if headers["HTTP_EXPECT"].lower() != "100-continue":
                raise ProtocolError(417, "The only expectation known is 100-continue.")
            request.expect_continue = request.has_body

    def _begin(self, request: Request) -> Request:
        """The body comes next."""
        self.trailers = None
        if request.chunked:
            self._state = _CHUNK_LINE
            self._left = self._total = 0
        elif request.has_body:
            self._state = _SIZED
            self._left = request.content_length or 0
        else:
            self._state = _DONE
        return request

    def _transfer_coding(self, request: Request) -> None:
        headers = request.headers
        if "CONTENT_LENGTH" in headers:
            raise ProtocolError(400, "Transfer-Encoding and Content-Length together.")
        if not request.http11:
            raise ProtocolError(400, "Transfer-Encoding in HTTP/1.0.")
        coding = headers["HTTP_TRANSFER_ENCODING"].lower()
        if coding != "chunked":
            parts = [part.strip(" \t") for part in coding.split(",")]
            if "chunked" in parts or not coding or "" in parts:
                raise ProtocolError(400, "Chunked must be the only transfer coding.")
            raise ProtocolError(501, "Unknown transfer coding.")
        request.chunked = True

    def _content_length(self, request: Request) -> None:
        text = request.headers["CONTENT_LENGTH"]
        if not (text.isascii() and text.isdigit() and len(text) <= LENGTH_DIGITS):
            raise ProtocolError(400, "Malformed Content-Length.")
        length = int(text)
        limit = self.limits.body
        if limit is not None and length > limit:
            raise ProtocolError(413, f"The request body is limited to {limit} bytes.")
        request.content_length = length

    # -- bodies -------------------------------------------------------------------------

    def _take(self, limit: int) -> bytes | Signal:
        buffer, start = self.unread, self._pos
        have = len(buffer) - start
        if not have:
            return self._starved()
        count = min(limit, self._left, have)
        self._left -= count
        if type(buffer) is bytes:
            # All of it comes without a copy.
            part = buffer[start : start + count]
        else:
            # A slice of a bytearray would be copied once more.
            part = bytes(memoryview(buffer)[start : start + count])
        if count == have:
            self.unread = b""
            self._pos = 0
        else:
            self._pos = start + count
        if not self._left and self._state == _CHUNK_DATA:
            self._state = _CHUNK_END
        return part

    def _chunked(self, limit: int) -> bytes | Signal:
        while True:
            state = self._state
            if state == _CHUNK_END:
                buffer, start = self.unread, self._pos
                if not buffer.startswith(b"\r\n", start):
                    if b"\r\n".startswith(bytes(buffer[start : start + 2])):
                        return self._starved()
                    raise ProtocolError(400, "A chunk is longer than its size.")
                self._use(2)
                self._state = _CHUNK_LINE
            elif state == _CHUNK_LINE:
                line = self._body_line(self.limits.chunk_line, 400)
                if line is None:
                    return self._starved()
                self._begin_chunk(line)
            elif state == _CHUNK_DATA:
                return self._take(limit)
            elif state != _TRAILERS:
                raise RuntimeError("no request is being read")
            elif not self._read_trailers():
                return self._starved()
            else:
                self._finish()
                return END

    def _begin_chunk(self, line: bytes) -> None:
        match = CHUNK_LINE.fullmatch(line)
        if match is None:
            raise ProtocolError(400, "Malformed chunk size.")
        size = int(match[1], 16)
        if not size:
            self._state = _TRAILERS
            self._size = self._lines = 0
            return
        self._total += size
        limit = self.limits.body
        if limit is not None and self._total > limit:
            raise ProtocolError(413, f"The request body is limited to {limit} bytes.")
        self._left = size
        self._state = _CHUNK_DATA

    def _read_trailers(self) -> bool:
        while True:
            line = self._body_line(self.limits.trailer_bytes - self._size, 431)
            if line is None:
                return False
            if not line:
                return True
            self._size += len(line) + 2
            self._lines += 1
            if self._lines > self.limits.headers:
                raise ProtocolError(431, "Too many trailer fields.")
            key, value = parse_field(line, self.limits.underscores)
            if not may_be_trailer(line, key):
                continue
            if self.trailers is None:
                self.trailers = {}
            if key in self.trailers:
                join_field(self.trailers, key, value)
            else:
                self.trailers[key] = value

    def _body_line(self, limit: int, status: int) -> bytes | None:
        """A line between chunks or in the trailers; as `_line`, with a limit of its own."""
        buffer, start = self.unread, self._pos
        searched = max(start, start + self._left - 1)
        end = buffer.find(b"\n", searched, start + limit + 2)
        if end < 0:
            if len(buffer) - start >= limit + 2:
                raise ProtocolError(status, "A line in the chunked body is too long.")
            self._left = len(buffer) - start
            return None
        if end == start or buffer[end - 1] != 13:
            raise ProtocolError(400, "A line in the chunked body ends without CR LF.")
        self._left = 0
        self._use(end + 1 - start)
        return bytes(buffer[start : end - 1])

    # -- the buffer ---------------------------------------------------------------------

    def _use(self, count: int) -> None:
        self._pos += count
        if self._pos == len(self.unread):
            self.unread = b""
            self._pos = 0

    def _starved(self) -> Signal:
        """Nothing more to tell before more bytes come; an error if none can come."""
        if self._eof:
            self.closed = self.idle
            if not self.closed:
                raise ProtocolError(
                    400, "The connection ended in the middle of a request."
                )
        return NEED_DATA

    def _finish(self) -> None:
        self._state = _START
        self._left = self._size = self._lines = 0

    def _die(self, error: ProtocolError) -> None:
        """Nothing behind the error is looked at, so nothing is kept."""
        self._error = error
        self._request = None
        self._state = _DEAD
        self.unread = b""
        self._pos = self._size = 0


@functools.lru_cache(maxsize=64)
def _options(connection: str) -> frozenset[str]:
    """The connection options of a `Connection` field, which is nearly always the same."""
    return frozenset(part.strip(" \t").lower() for part in connection.split(","))


#: Bytes that are received at once where nothing else is known.
RECEIVED: Final = 65536
#: And what may stand around a chunk.
FRAME: Final = 1024
#: A body part that is worth a call of its own to be spared a copy.
LARGE: Final = 16384

#: How a Host begins that names none: it is empty, or only a port.
_NO_HOST: Final = ("", ":")
(
    _START,
    _HEAD,
    _SIZED,
    _DONE,
    _CHUNK_LINE,
    _CHUNK_DATA,
    _CHUNK_END,
    _TRAILERS,
    _DEAD,
) = range(9)

__all__ = ["RequestReader"]
