"""The bytes that were fed, and the parts of bodies among them (RFC 9112 6, 7)."""

from __future__ import annotations

import string
from typing import Final

from .grammar import CHUNK_DIGITS, CHUNK_LINE, ProtocolError
from .lines import join_field, may_be_trailer, parse_field
from .messages import END, NEED_DATA, Limits, Signal

#: Bytes that are received at once where nothing else is known.
RECEIVED: Final = 65536
#: And those that surely hold what stands between two chunks.
FRAME: Final = 1024
#: A chunk of this size is worth a call of its own, to be spared a copy.
LARGE: Final = 32768

_HEXADECIMAL: Final = string.hexdigits.encode()

#: Where a reader is: between requests, in a head, in a body, or behind an error.
(
    START,
    HEAD,
    SIZED,
    DONE,
    CHUNK_SIZE,
    CHUNK_DATA,
    CHUNK_END,
    TRAILERS,
    DEAD,
) = range(9)


class BodyReader:
    """A buffer with the state of whoever reads it; what reads heads builds on it.

    After a `ProtocolError` it is dead and raises that again whatever is asked.
    """

    __slots__ = (
        "_chunk",
        "_eof",
        "_error",
        "_frame",
        "_left",
        "_lines",
        "_pos",
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
        #: Harmless fields that came behind a chunked body, by environ name.
        self.trailers: dict[str, str] | None = None
        #: The peer has closed between two requests.
        self.closed = False
        #: Empty when every byte that was fed is used; else it ends with those that are not.
        self.unread: bytes | bytearray = b""
        self._pos = 0
        self._state = START
        self._eof = False
        self._error: ProtocolError | None = None
        # What the head, or the trailers, in progress took so far: lines and bytes.
        self._lines = 0
        self._size = 0
        # Body bytes left of the request or the chunk, and those of all chunks so far.
        self._left = 0
        self._total = 0
        # The size of the last chunk; and of a large one the bytes between it and the next,
        # if that has the same size.
        self._chunk = 0
        self._frame = b""

    @property
    def buffered(self) -> int:
        """Bytes that were fed and not used yet, those of an unfinished head included."""
        have = len(self.unread) - self._pos
        # Not the empty line that may stand before a request: who sent only that waits.
        return have + self._size if self._state == HEAD else have

    @property
    def idle(self) -> bool:
        """Between two requests, with nothing waiting."""
        return self._state == START and not self.buffered

    @property
    def broken(self) -> bool:
        """Whether it raised a `ProtocolError`, and will again whatever is asked."""
        return self._state == DEAD

    def feed(self, data: bytes) -> None:
        """Adds what arrived; a dead reader forgets it."""
        buffer = self.unread
        if not buffer:
            if self._state != DEAD:
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

    def read_whole_body(self) -> bytes | None:
        """What is left of a sized body, with its `END`, if all of that has arrived.

        None: nothing was taken.
        """
        start = self._pos
        end = start + self._left
        if self._state != SIZED or len(self.unread) < end:
            return None
        body = bytes(self.unread[start:end])
        self._use(end - start)
        self._finish()
        return body

    def pass_end(self) -> bool:
        """Takes the `END` of a request if that is what comes next; else false.

        Of a chunked body that is not known before it is read.
        """
        if self._state != DONE and (self._state != SIZED or self._left):
            return False
        self._finish()
        return True

    def read_body(self, limit: int) -> bytes | Signal:
        """As `next_event` while a body is read, but at most `limit` bytes of it.

        Raises `ProtocolError`, and `RuntimeError` where there is no request to end.
        """
        state = self._state
        if state == DEAD:
            assert self._error is not None  # noqa: S101  what died of it
            raise self._error
        try:
            if state == SIZED:
                if self._left:
                    return self._take(limit)
            elif state == CHUNK_DATA:
                return self._take(limit)
            elif state != DONE:
                return self._chunked(limit)
        except ProtocolError as exc:
            self._die(exc)
            raise
        self._finish()
        return END

    def appetite(self) -> int:
        """How many bytes to receive and feed next.

        Little more than the frame before a chunk that is likely to be large: its data need
        not pass through the buffer then.
        """
        return FRAME if self._chunk >= LARGE else RECEIVED

    def direct(self, limit: int) -> int:
        """How many of the next bytes are body, up to `limit`, and may pass by the buffer.

        0: what comes next must be fed.
        """
        if self.unread or (self._state != SIZED and self._state != CHUNK_DATA):
            return 0
        return min(limit, self._left)

    def behind(self, count: int) -> int:
        """How many bytes to receive behind the `count` that `direct` allowed.

        Where a chunk ends there, just those that announce another one of its size; else 0.
        """
        if count < self._left or self._state != CHUNK_DATA:
            return 0
        return len(self._frame)

    def pass_body(self, count: int, tail: bytes = b"") -> bool:
        """Takes note of body bytes that passed by, no more than `direct` allowed.

        `tail` came behind them, no more than `behind` asked for. False when they were the
        last and the `END` with them.
        """
        self._left -= count
        if not self._left:
            if self._state == SIZED:
                self._finish()
                return False
            if tail and tail == self._frame and self._has_room(self._chunk):
                # What the frame says is known.
                self._total += self._chunk
                self._left = self._chunk
            else:
                self.unread = tail
                self._state = CHUNK_END
        return True

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
        if not self._left and self._state == CHUNK_DATA:
            self._state = CHUNK_END
        return part

    def _chunked(self, limit: int) -> bytes | Signal:
        while True:
            state = self._state
            if state == CHUNK_END:
                buffer, start = self.unread, self._pos
                if not buffer.startswith(b"\r\n", start):
                    if b"\r\n".startswith(bytes(buffer[start : start + 2])):
                        return self._starved()
                    raise ProtocolError(400, "A chunk is longer than its size.")
                self._use(2)
                self._state = CHUNK_SIZE
            elif state == CHUNK_SIZE:
                line = self._body_line(self.limits.chunk_line, 400)
                if line is None:
                    return self._starved()
                self._begin_chunk(line)
            elif state == CHUNK_DATA:
                return self._take(limit)
            elif state != TRAILERS:
                raise RuntimeError("no request is being read")
            elif not self._read_trailers():
                return self._starved()
            else:
                self._finish()
                return END

    def _begin_chunk(self, line: bytes) -> None:
        digits = line
        if not line or len(line) > CHUNK_DIGITS or line.translate(None, _HEXADECIMAL):
            # Not a plain size; or one that is no size.
            match = CHUNK_LINE.fullmatch(line)
            if match is None:
                raise ProtocolError(400, "Malformed chunk size.")
            digits = match[1]
        size = int(digits, 16)
        if not size:
            self._state = TRAILERS
            self._size = self._lines = 0
            return
        if not self._has_room(size):
            limit = self.limits.body
            raise ProtocolError(413, f"The request body is limited to {limit} bytes.")
        self._total += size
        self._left = self._chunk = size
        self._frame = b"\r\n%b\r\n" % line if size >= LARGE else b""
        self._state = CHUNK_DATA

    def _has_room(self, size: int) -> bool:
        limit = self.limits.body
        return limit is None or self._total + size <= limit

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
        self._state = START
        self._left = self._size = self._lines = self._chunk = 0
        self._frame = b""

    def _die(self, error: ProtocolError) -> None:
        """Nothing behind the error is looked at, so nothing is kept."""
        self._error = error
        self._state = DEAD
        self.unread = b""
        self._pos = self._size = 0
