"""The bodies of requests: one class for each framing (RFC 9112 6, 7)."""

from __future__ import annotations

import enum
import string
from typing import Final

from .buffer import ReceiveBuffer
from .grammar import CHUNK_DIGITS, CHUNK_LINE, ProtocolError
from .heads import RequestHeads
from .lines import add_field, may_be_trailer, parse_field
from .messages import Request

#: Bytes that are received at once where nothing else is known.
RECEIVED: Final = 65536
#: And those that surely hold what stands between two chunks.
FRAME: Final = 1024
#: A chunk of this size is worth a call of its own, to be spared a copy.
LARGE: Final = 32768

_HEXADECIMAL: Final = string.hexdigits.encode()


class SizedBody:
    """A body of a length that the head announced (RFC 9112 6.2)."""

    __slots__ = ("_buffer", "ended", "left")

    #: Bytes to receive and feed next.
    appetite: Final = RECEIVED

    def __init__(
        self, request: Request, buffer: ReceiveBuffer, heads: RequestHeads
    ) -> None:
        self._buffer = buffer
        #: Bytes that are body whatever they are; those may pass by the buffer.
        self.left = request.content_length or 0
        #: Whether the request is complete.
        self.ended = False

    def read(self, limit: int) -> bytes | None:
        """Up to `limit` bytes, at least 1; None where more bytes are needed; empty at the end."""
        part = self._buffer.take(min(limit, self.left))
        self.left -= len(part)
        self.ended = not self.left
        return part or None

    def read_whole(self) -> bytes | None:
        """All of it if it has arrived; None: nothing was taken."""
        buffer = self._buffer
        if len(buffer.unread) - buffer.pos < self.left:
            return None
        self.ended = True
        return buffer.take(self.left)

    def behind(self, count: int) -> int:
        """How many bytes to receive behind `count` that pass by the buffer."""
        return 0

    def passed(self, count: int, tail: bytes) -> None:
        """`count` of the bytes that are `left` passed by, and `tail` came behind them."""
        self.left -= count
        self.ended = not self.left


class Chunk(enum.Enum):
    """Where a chunked body is; each is followed by the next, END by SIZE again.

    From SIZE, a last chunk leads to TRAILERS. Where DATA passes by the buffer together with
    what announces another chunk of its size, DATA follows DATA.
    """

    SIZE = enum.auto()
    DATA = enum.auto()
    END = enum.auto()
    TRAILERS = enum.auto()


_SIZE, _DATA, _END, _TRAILERS = Chunk.SIZE, Chunk.DATA, Chunk.END, Chunk.TRAILERS


class ChunkedBody:
    """A body in chunks, with trailers behind it (RFC 9112 7.1)."""

    __slots__ = (
        "_buffer",
        "_frame",
        "_limits",
        "_lines",
        "_names",
        "_size",
        "_state",
        "_total",
        "_trailer_bytes",
        "ended",
        "left",
        "trailers",
    )

    def __init__(
        self, request: Request, buffer: ReceiveBuffer, heads: RequestHeads
    ) -> None:
        self._buffer = buffer
        self._limits = heads.limits
        self._names = heads.names
        self._state = _SIZE
        #: Harmless fields behind the body, by environ name, once it has ended.
        self.trailers: dict[str, str] = {}
        #: Bytes of the chunk that are data whatever they are; those may pass by the buffer.
        self.left = 0
        self.ended = False
        # The size of this chunk, those of all chunks so far, and of a large one the bytes
        # between it and the next, if that has the same size.
        self._size = 0
        self._total = 0
        self._frame = b""
        self._lines = 0
        self._trailer_bytes = 0

    @property
    def appetite(self) -> int:
        """Bytes to receive and feed next.

        Little more than the frame before a chunk that is likely to be large: its data need
        not pass through the buffer then.
        """
        return FRAME if self._size >= LARGE else RECEIVED

    def read(self, limit: int) -> bytes | None:
        """As for `SizedBody`."""
        while True:
            state = self._state
            if state is _DATA:
                part = self._buffer.take(min(limit, self.left))
                self.left -= len(part)
                if not self.left:
                    self._state = _END
                return part or None
            if state is _SIZE:
                line = self._buffer.line(self._limits.chunk_line + 2, 400, "chunk size")
                if line is None:
                    return None
                self._begin(line)
            elif state is _END:
                if not self._pass_end():
                    return None
            else:
                if not self._read_trailers():
                    return None
                self.ended = True
                return b""

    def read_whole(self) -> bytes | None:
        """What is left is never known: None."""
        return None

    def behind(self, count: int) -> int:
        """As for `SizedBody`; those that announce another chunk of this size."""
        return len(self._frame) if count == self.left else 0

    def passed(self, count: int, tail: bytes) -> None:
        """As for `SizedBody`."""
        self.left -= count
        if self.left:
            return
        if tail and tail == self._frame and self._has_room(self._size):
            # What the frame says is known.
            self._total += self._size
            self.left = self._size
        else:
            self._buffer.feed(tail)
            self._state = _END

    def _pass_end(self) -> bool:
        buffer = self._buffer
        start = buffer.pos
        if not buffer.unread.startswith(b"\r\n", start):
            if b"\r\n".startswith(bytes(buffer.unread[start : start + 2])):
                return False
            raise ProtocolError(400, "A chunk is longer than its size.")
        buffer.skip(2)
        self._state = _SIZE
        return True

    def _begin(self, line: bytes) -> None:
        digits = line
        if not line or len(line) > CHUNK_DIGITS or line.translate(None, _HEXADECIMAL):
            # Not a plain size; or one that is no size.
            match = CHUNK_LINE.fullmatch(line)
            if match is None:
                raise ProtocolError(400, "Malformed chunk size.")
            digits = match[1]
        size = int(digits, 16)
        if not size:
            self._state = _TRAILERS
            return
        if not self._has_room(size):
            limit = self._limits.body
            raise ProtocolError(413, f"The request body is limited to {limit} bytes.")
        self._total += size
        self.left = self._size = size
        self._frame = b"\r\n%b\r\n" % line if size >= LARGE else b""
        self._state = _DATA

    def _has_room(self, size: int) -> bool:
        limit = self._limits.body
        return limit is None or self._total + size <= limit

    def _read_trailers(self) -> bool:
        limits = self._limits
        while True:
            most = limits.trailer_bytes - self._trailer_bytes + 2
            line = self._buffer.line(most, 431, "trailer section")
            if line is None:
                return False
            if not line:
                return True
            self._trailer_bytes += len(line) + 2
            self._lines += 1
            if self._lines > limits.headers:
                raise ProtocolError(431, "Too many trailer fields.")
            key, value = parse_field(line, self._names)
            if may_be_trailer(key):
                add_field(self.trailers, key, value)


#: How a body is read, by whether it is chunked.
FRAMINGS: Final[dict[bool, type[SizedBody | ChunkedBody]]] = {
    False: SizedBody,
    True: ChunkedBody,
}
