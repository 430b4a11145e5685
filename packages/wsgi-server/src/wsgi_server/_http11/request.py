"""Bytes to requests: a strict, linear and bounded reader of HTTP/1.1 messages.

The usual head arrives whole: it is split once, and each line costs one lookup in a cache of
exact lines that were checked before. Everything else (fragments, long heads, new lines)
takes the slow way, line by line, with the same outcome at every split of the bytes: the
first line that breaks a rule decides.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote_to_bytes

from .grammar import (
    ABSOLUTE,
    BAD_ESCAPE,
    CHUNK_LINE,
    CONTENT_LENGTH,
    FIELD,
    HOST,
    REQUEST_LINE,
    SECRET,
    ProtocolError,
)


class Signal(enum.Enum):
    """Events without content."""

    NEED_DATA = "more bytes are needed before the next event"
    END = "the request is complete"


NEED_DATA: Final = Signal.NEED_DATA
END: Final = Signal.END

#: Lines and request lines that are kept, each kind; more start over.
CACHE_SIZE: Final = 2048
CACHED_LINE: Final = 256

#: Fields by environ name that say how long the body is, where the request goes and what the
#: body means: two of them could be read differently by two readers.
_SINGLE: Final = frozenset(
    {"CONTENT_LENGTH", "CONTENT_TYPE", "HTTP_HOST", "HTTP_TRANSFER_ENCODING"}
)
#: Read anew every time, because the answer depends on the rest of the head.
_UNCACHED: Final = frozenset(
    {"CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING", "HTTP_EXPECT"}
)
#: What a trailer may not bring (RFC 9110 6.5.1): framing, routing, authentication (with
#: `SECRET`), request modifiers, response control, and the content's own description.
_NOT_IN_TRAILERS: Final = frozenset(
    {
        "CONTENT_LENGTH",
        "CONTENT_TYPE",
        "HTTP_CACHE_CONTROL",
        "HTTP_CONNECTION",
        "HTTP_CONTENT_ENCODING",
        "HTTP_CONTENT_RANGE",
        "HTTP_EXPECT",
        "HTTP_FORWARDED",
        "HTTP_HOST",
        "HTTP_IF_MATCH",
        "HTTP_IF_MODIFIED_SINCE",
        "HTTP_IF_NONE_MATCH",
        "HTTP_IF_RANGE",
        "HTTP_IF_UNMODIFIED_SINCE",
        "HTTP_KEEP_ALIVE",
        "HTTP_MAX_FORWARDS",
        "HTTP_PRAGMA",
        "HTTP_PROXY_CONNECTION",
        "HTTP_RANGE",
        "HTTP_TE",
        "HTTP_TRAILER",
        "HTTP_TRANSFER_ENCODING",
        "HTTP_UPGRADE",
        "HTTP_VIA",
        "HTTP_X_REAL_IP",
    }
)
_NOT_IN_TRAILERS_PREFIX: Final = "HTTP_X_FORWARDED_"

_lines: dict[bytes, tuple[str, str]] = {}
_request_lines: dict[bytes, tuple[str, str, str, str, bool]] = {}


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may take; sizes in bytes, None for no limit of its own."""

    request_line: int = 8190
    header_line: int | None = 16384
    headers: int = 100
    header_bytes: int = 65536
    #: A chunk's size line with its extensions.
    chunk_line: int = 1024
    trailer_bytes: int = 8192
    body: int | None = None
    #: Names with "_" collide with those with "-" in an environ.
    underscores: str = "drop"
    #: Heads up to this size cannot break a limit on lines or bytes.
    quick: int = field(init=False)

    def __post_init__(self) -> None:
        if self.underscores not in ("drop", "refuse"):
            raise ValueError(f"underscores: {self.underscores!r} is not drop or refuse")
        line = self.header_bytes if self.header_line is None else self.header_line
        quick = min(self.request_line, self.header_bytes - 4, line)
        object.__setattr__(self, "quick", quick)


class Request:
    """A request head."""

    __slots__ = (
        "chunked",
        "content_length",
        "expect_continue",
        "has_body",
        "headers",
        "http11",
        "keep_alive",
        "method",
        "path",
        "query",
        "scheme",
        "target",
    )

    method: str
    #: As it was sent, latin-1 text.
    target: str
    #: Percent-decoded latin-1 text (PEP 3333); empty for asterisk- and authority-form.
    path: str
    query: str
    http11: bool
    #: By environ name (HTTP_HOST, CONTENT_TYPE), latin-1 text.
    headers: dict[str, str]
    content_length: int | None
    chunked: bool
    has_body: bool
    keep_alive: bool
    expect_continue: bool
    #: From absolute-form, else None.
    scheme: str | None


class RequestReader:
    """Feed it bytes, ask it for events.

    `next_event` gives a `Request`, then the body as bytes objects, then `END`; `NEED_DATA`
    whenever it needs more. A request without a body is followed by `END` at once. After a
    `ProtocolError` the reader is dead and raises it again whatever is asked.
    """

    __slots__ = (
        "_buffer",
        "_eof",
        "_error",
        "_headers",
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
    )

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        #: Harmless fields that came behind a chunked body, by environ name.
        self.trailers: dict[str, str] | None = None
        #: The peer has closed between two requests.
        self.closed = False
        self._buffer: bytes | bytearray = b""
        self._pos = 0
        self._state = _START
        self._eof = False
        self._error: ProtocolError | None = None
        self._request: Request | None = None
        self._headers: dict[str, str] | None = None
        # What the head in progress took so far: lines and bytes.
        self._lines = 0
        self._size = 0
        # Body bytes left of the request or the chunk, and those of all chunks so far.
        self._left = 0
        self._total = 0

    @property
    def buffered(self) -> int:
        """Bytes that were fed and not used yet, those of an unfinished head included."""
        have = len(self._buffer) - self._pos
        # Not the empty line that may stand before a request: who sent only that waits.
        return have + self._size if self._state == _HEAD else have

    @property
    def idle(self) -> bool:
        """Between two requests, with nothing waiting."""
        return self._state == _START and not self.buffered and self._error is None

    def feed(self, data: bytes) -> None:
        """Adds what arrived; a dead reader forgets it."""
        if self._error is not None:
            return
        buffer = self._buffer
        if not buffer:
            self._buffer = data
        elif type(buffer) is bytearray:
            if self._pos > 65536:
                del buffer[: self._pos]
                self._pos = 0
            buffer += data
        else:
            joined = bytearray(memoryview(buffer)[self._pos :])
            joined += data
            self._buffer = joined
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
            return self.read_body(len(self._buffer) + 1)
        if self._error is not None:
            raise self._error
        buffer = self._buffer
        if not buffer:
            return self._starved()
        # Not for a head whose beginning was searched before, that would not be linear; nor
        # behind an empty line, whose bytes count as well.
        if self._state == _START and not self._left and not self._size:
            start = self._pos
            end = buffer.find(b"\r\n\r\n", start, start + self.limits.quick + 4)
            if end > start:
                lines = bytes(buffer[start:end]).split(b"\r\n")
                if len(lines) <= self.limits.headers and lines[0]:
                    self._use(end + 4 - start)
                    return self._quick_head(lines)
        return self._slow_head()

    def read_body(self, limit: int) -> bytes | Signal:
        """As `next_event` while a body is read, but at most `limit` bytes of it."""
        state = self._state
        if self._error is not None:
            raise self._error
        if state == _SIZED:
            if not self._left:
                self._finish()
                return END
            return self._take(limit)
        if state == _CHUNK_DATA:
            return self._take(limit)
        if state == _DONE:
            self._finish()
            return END
        return self._chunked(limit)

    # -- heads --------------------------------------------------------------------------

    def _quick_head(self, lines: list[bytes]) -> Request:
        request = self._request_line(lines[0])
        headers = request.headers
        cache = _lines
        for line in lines[1:]:
            try:
                key, value = cache[line]
            except KeyError:
                key, value = self._field(line)
            if key in headers:
                self._repeat(headers, key, value)
            else:
                headers[key] = value
        return self._complete(request)

    def _slow_head(self) -> Request | Signal:
        """Line by line, as they come; remembers what it has used."""
        limits = self.limits
        while True:
            first = self._request is None
            line = self._line(
                limits.request_line if first else limits.header_line,
                414 if first else 431,
            )
            if line is None:
                return self._starved()
            if first:
                if not line:
                    if self._size > 2:
                        raise self._fail(400, "Empty lines before the request.")
                    continue
                self._state = _HEAD
                self._request = self._request_line(line)
            elif not line:
                request = self._request
                assert request is not None  # noqa: S101  what `first` says
                self._request = None
                self._lines = self._size = 0
                return self._complete(request)
            else:
                self._lines += 1
                if self._lines > limits.headers:
                    raise self._fail(431, "Too many header fields.")
                request = self._request
                assert request is not None  # noqa: S101
                key, value = _lines.get(line) or self._field(line)
                if key in request.headers:
                    self._repeat(request.headers, key, value)
                else:
                    request.headers[key] = value

    def _line(self, limit: int | None, status: int) -> bytes | None:
        """The next line without its CRLF, or None while it is not complete.

        `_left` remembers how far the search came, so that a line that drips in byte by byte
        is still read in linear time.
        """
        buffer, start = self._buffer, self._pos
        most = self.limits.header_bytes - self._size
        if limit is not None:
            most = min(most, limit + 2)
        searched = max(start, start + self._left - 1)
        end = buffer.find(b"\n", searched, start + most)
        if end < 0:
            if len(buffer) - start >= most:
                what = "request line" if status == 414 else "request head"
                raise self._fail(status, f"The {what} is too long.")
            self._left = len(buffer) - start
            return None
        if end == start or buffer[end - 1] != 13:
            raise self._fail(400, "A line does not end with CR LF.")
        self._left = 0
        line = bytes(buffer[start : end - 1])
        self._size += end + 1 - start
        self._use(end + 1 - start)
        return line

    def _request_line(self, line: bytes) -> Request:
        request = Request()
        found = _request_lines.get(line)
        if found is None:
            found = self._parse_request_line(line, request)
        else:
            request.scheme = None
            request.headers = {}
        (
            request.method,
            request.target,
            request.path,
            request.query,
            request.http11,
        ) = found
        return request

    def _parse_request_line(
        self, line: bytes, request: Request
    ) -> tuple[str, str, str, str, bool]:
        match = REQUEST_LINE.fullmatch(line)
        if match is None:
            raise self._fail(400, "Malformed request line.")
        method, target, minor = (part.decode("ascii") for part in match.groups())
        request.scheme = None
        request.headers = {}
        path, _, query = target.partition("?")
        if target[0] != "/":
            if method == "CONNECT":
                self._check_authority_form(target)
                path = query = ""
            elif target == "*":
                if method != "OPTIONS":
                    raise self._fail(400, "Only OPTIONS may ask for *.")
                path = query = ""
            else:
                path, query = self._absolute_form(target, request)
        elif method == "CONNECT":
            raise self._fail(400, "CONNECT needs host:port.")
        if "%" in path:
            if BAD_ESCAPE.search(path) is not None:
                raise self._fail(400, "Malformed percent-encoding in the path.")
            path = unquote_to_bytes(path).decode("latin-1")
        found = (method, target, path, query, minor == "1")
        if target[0] == "/" and "?" not in target and len(line) <= CACHED_LINE:
            if len(_request_lines) >= CACHE_SIZE:
                _request_lines.clear()
            _request_lines[line] = found
        return found

    def _check_authority_form(self, target: str) -> None:
        host, colon, port = target.rpartition(":")
        if not host or not colon or not port or HOST.fullmatch(target) is None:
            raise self._fail(400, "CONNECT needs host:port.")

    def _absolute_form(self, target: str, request: Request) -> tuple[str, str]:
        match = ABSOLUTE.fullmatch(target)
        if match is None:
            raise self._fail(400, "The request target has no form that HTTP knows.")
        scheme, authority, path, query = match.groups()
        if not authority or HOST.fullmatch(authority) is None or authority[0] == ":":
            raise self._fail(400, "Malformed authority in the request target.")
        request.scheme = scheme.lower()
        # RFC 9112 3.2.2: the target's authority replaces the Host field, which must still
        # be there and well-formed; `_complete` puts it in.
        request.headers = {" authority": authority}
        return path or "/", query or ""

    def _field(self, line: bytes) -> tuple[str, str]:
        match = FIELD.fullmatch(line)
        if match is None:
            raise self._fail(400, "Malformed header field.")
        name, raw = match.groups()
        if b"_" in name:
            if self.limits.underscores == "refuse":
                raise self._fail(400, "Header names with _ are not accepted.")
            return _DROPPED, ""
        key = name.decode("ascii").upper().replace("-", "_")
        if key not in ("CONTENT_LENGTH", "CONTENT_TYPE"):
            key = f"HTTP_{key}"
        value = (raw or b"").decode("latin-1")
        if key == "HTTP_HOST" and HOST.fullmatch(value) is None:
            raise self._fail(400, "Malformed Host field.")
        if key == "HTTP_TRANSFER_ENCODING" and line.partition(b":")[2] not in (
            raw,
            b" " + (raw or b""),
        ):
            raise self._fail(400, "Odd white space around the transfer coding.")
        if (
            len(line) <= CACHED_LINE
            and key not in _UNCACHED
            and SECRET.search(name) is None
        ):
            if len(_lines) >= CACHE_SIZE:
                _lines.clear()
            _lines[line] = key, value
        return key, value

    def _repeat(self, headers: dict[str, str], key: str, value: str) -> None:
        """RFC 9110 5.3: lists may come in several lines; what frames or routes may not."""
        if key in _SINGLE:
            name = key.removeprefix("HTTP_").replace("_", "-").title()
            raise self._fail(400, f"{name} is given more than once.")
        separator = "; " if key == "HTTP_COOKIE" else ","
        headers[key] = f"{headers[key]}{separator}{value}"

    def _complete(self, request: Request) -> Request:
        """What the head means for framing, persistence and expectation."""
        headers = request.headers
        headers.pop(_DROPPED, None)
        self.trailers = None
        if "HTTP_HOST" not in headers:
            if request.http11:
                raise self._fail(400, "The Host field is missing.")
        elif headers["HTTP_HOST"][:1] in _NO_HOST and request.target[0] == "/":
            # RFC 9112 3.2 allows an empty Host only where the target has no authority;
            # for http it always has one, with a host in it (RFC 9110 4.2.1).
            raise self._fail(400, "The Host field is empty.")
        if request.scheme is not None:
            headers["HTTP_HOST"] = headers.pop(" authority")
        request.content_length = None
        request.chunked = False
        request.expect_continue = False
        connection = headers.get("HTTP_CONNECTION")
        if connection is None:
            request.keep_alive = request.http11
        else:
            options = [part.strip(" \t").lower() for part in connection.split(",")]
            request.keep_alive = "close" not in options and (
                request.http11 or "keep-alive" in options
            )
        if not request.path and request.method == "CONNECT":
            # RFC 9110 9.3.6: behind a 2xx the client, or its proxy, takes the connection for
            # a tunnel and sends what is no request of its own.
            request.keep_alive = False
        if "HTTP_TRANSFER_ENCODING" in headers:
            self._transfer_coding(request)
            self._state = _CHUNK_LINE
        elif "CONTENT_LENGTH" in headers:
            self._content_length(request)
            self._state = _SIZED
        else:
            self._state = _DONE
        request.has_body = self._state == _CHUNK_LINE or self._left > 0
        if "HTTP_EXPECT" in headers and request.http11:
            if headers["HTTP_EXPECT"].lower() != "100-continue":
                raise self._fail(417, "The only expectation known is 100-continue.")
            request.expect_continue = request.has_body
        return request

    def _transfer_coding(self, request: Request) -> None:
        headers = request.headers
        if "CONTENT_LENGTH" in headers:
            raise self._fail(400, "Transfer-Encoding and Content-Length together.")
        if not request.http11:
            raise self._fail(400, "Transfer-Encoding in HTTP/1.0.")
        coding = headers["HTTP_TRANSFER_ENCODING"].lower()
        if coding != "chunked":
            parts = [part.strip(" \t") for part in coding.split(",")]
            if "chunked" in parts or not coding or "" in parts:
                raise self._fail(400, "Chunked must be the only transfer coding.")
            raise self._fail(501, "Unknown transfer coding.")
        self._left = self._total = 0
        request.chunked = True

    def _content_length(self, request: Request) -> None:
        text = request.headers["CONTENT_LENGTH"]
        if CONTENT_LENGTH.fullmatch(text.encode("latin-1")) is None:
            raise self._fail(400, "Malformed Content-Length.")
        length = int(text)
        limit = self.limits.body
        if limit is not None and length > limit:
            raise self._fail(413, f"The request body is limited to {limit} bytes.")
        request.content_length = self._left = length

    # -- bodies -------------------------------------------------------------------------

    def _take(self, limit: int) -> bytes | Signal:
        buffer, start = self._buffer, self._pos
        have = len(buffer) - start
        if not have:
            return self._starved()
        count = min(limit, self._left, have)
        self._left -= count
        if count == have and not start and type(buffer) is bytes:
            self._buffer = b""
            part = buffer
        else:
            part = bytes(buffer[start : start + count])
            self._use(count)
        if not self._left and self._state == _CHUNK_DATA:
            self._state = _CHUNK_END
        return part

    def _chunked(self, limit: int) -> bytes | Signal:
        while True:
            state = self._state
            if state == _CHUNK_END:
                buffer, start = self._buffer, self._pos
                found = bytes(buffer[start : start + 2])
                if found != b"\r\n":
                    if b"\r\n".startswith(found):
                        return self._starved()
                    raise self._fail(400, "A chunk is longer than its size.")
                self._use(2)
                self._state = _CHUNK_LINE
            elif state == _CHUNK_LINE:
                line = self._body_line(self.limits.chunk_line, 400)
                if line is None:
                    return self._starved()
                self._begin_chunk(line)
            elif state == _CHUNK_DATA:
                return self._take(limit)
            elif not self._read_trailers():
                return self._starved()
            else:
                self._finish()
                return END

    def _begin_chunk(self, line: bytes) -> None:
        match = CHUNK_LINE.fullmatch(line)
        if match is None:
            raise self._fail(400, "Malformed chunk size.")
        size = int(match[1], 16)
        if not size:
            self._state = _TRAILERS
            self._size = self._lines = 0
            return
        self._total += size
        limit = self.limits.body
        if limit is not None and self._total > limit:
            raise self._fail(413, f"The request body is limited to {limit} bytes.")
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
                raise self._fail(431, "Too many trailer fields.")
            key, value = self._field(line)
            if (
                key is _DROPPED
                or key in _NOT_IN_TRAILERS
                or key.startswith(_NOT_IN_TRAILERS_PREFIX)
                or SECRET.search(line.partition(b":")[0])
            ):
                continue
            if self.trailers is None:
                self.trailers = {}
            if key in self.trailers:
                self._repeat(self.trailers, key, value)
            else:
                self.trailers[key] = value

    def _body_line(self, limit: int, status: int) -> bytes | None:
        """A line between chunks or in the trailers; as `_line`, with a limit of its own."""
        buffer, start = self._buffer, self._pos
        searched = max(start, start + self._left - 1)
        end = buffer.find(b"\n", searched, start + limit + 2)
        if end < 0:
            if len(buffer) - start >= limit + 2:
                raise self._fail(status, "A line in the chunked body is too long.")
            self._left = len(buffer) - start
            return None
        if end == start or buffer[end - 1] != 13:
            raise self._fail(400, "A line in the chunked body ends without CR LF.")
        self._left = 0
        self._use(end + 1 - start)
        return bytes(buffer[start : end - 1])

    # -- the buffer ---------------------------------------------------------------------

    def _use(self, count: int) -> None:
        self._pos += count
        if self._pos == len(self._buffer):
            self._buffer = b""
            self._pos = 0

    def _starved(self) -> Signal:
        """Nothing more to tell before more bytes come; an error if none can come."""
        if self._eof:
            self.closed = self.idle
            if not self.closed:
                raise self._fail(
                    400, "The connection ended in the middle of a request."
                )
        return NEED_DATA

    def _finish(self) -> None:
        self._state = _START
        self._left = self._size = self._lines = 0

    def _fail(self, status: int, detail: str) -> ProtocolError:
        self._error = error = ProtocolError(status, detail)
        self._state = _START
        self._buffer = b""
        self._pos = self._size = 0
        return error


_DROPPED: Final = " dropped"
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
) = range(8)

__all__ = ["END", "NEED_DATA", "Limits", "Request", "RequestReader"]
