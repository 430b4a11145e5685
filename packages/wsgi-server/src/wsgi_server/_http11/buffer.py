"""The bytes that were fed and not used yet."""

from __future__ import annotations

from typing import Final

from .grammar import ProtocolError

#: Used bytes at the front of a long buffer that are given back together.
GIVEN_BACK: Final = 65536


class ReceiveBuffer:
    """Bytes in the order of their arrival; taking them costs linear time in all."""

    __slots__ = ("_searched", "pos", "unread")

    def __init__(self) -> None:
        #: Empty when every byte is used; else it ends with those that are not, from `pos`.
        self.unread: bytes | bytearray = b""
        self.pos = 0
        # Bytes from `pos` on in which there is no end of a line.
        self._searched = 0

    def __len__(self) -> int:
        return len(self.unread) - self.pos

    def feed(self, data: bytes) -> None:
        """Adds what arrived."""
        unread = self.unread
        if not unread:
            self.unread = data
        elif type(unread) is bytearray:
            if self.pos > GIVEN_BACK:
                del unread[: self.pos]
                self.pos = 0
            unread += data
        else:
            joined = bytearray(memoryview(unread)[self.pos :])
            joined += data
            self.unread = joined
            self.pos = 0

    def skip(self, count: int) -> None:
        """Uses up `count` bytes, which must be there."""
        self.pos += count
        if self.pos == len(self.unread):
            self.unread = b""
            self.pos = 0

    def take(self, limit: int) -> bytes:
        """Uses up to `limit` bytes and returns them; fewer where no more are there."""
        unread, start = self.unread, self.pos
        end = start + limit
        if end < len(unread):
            self.pos = end
        else:
            end = len(unread)
            self.unread = b""
            self.pos = 0
        if type(unread) is bytes:
            # All of it comes without a copy.
            return unread[start:end]
        # A slice of a bytearray would be copied once more.
        return bytes(memoryview(unread)[start:end])

    def line(self, most: int, status: int, what: str) -> bytes | None:
        """The next line without its CR LF, None while it is not complete.

        Remembers how far it searched, so that a line that drips in byte by byte is still
        read in linear time. Raises `ProtocolError`: with `status` about `what` for a line
        that has no room for its end in `most` bytes, with 400 for one that ends otherwise.
        """
        unread, start = self.unread, self.pos
        # The end may be cut in two.
        searched = start + self._searched - 1 if self._searched else start
        end = unread.find(b"\n", searched, start + most)
        if end < 0:
            if len(unread) - start >= most:
                raise ProtocolError(status, f"The {what} is too long.")
            self._searched = len(unread) - start
            return None
        if end == start or unread[end - 1] != 13:
            raise ProtocolError(400, "A line does not end with CR LF.")
        self._searched = 0
        self.pos = end + 1
        if self.pos == len(unread):
            self.unread = b""
            self.pos = 0
        return bytes(unread[start : end - 1])

    def whole_head(self, most: int) -> bytes | None:
        """The bytes up to the first empty line, that included; nothing is used up.

        None where they are more than `most`, not all there, or were searched before: that
        would not be linear.
        """
        unread, start = self.unread, self.pos
        if self._searched:
            return None
        end = unread.find(b"\r\n\r\n", start, start + most)
        return bytes(unread[start : end + 4]) if end > start else None

    def clear(self) -> None:
        """Forgets everything."""
        self.unread = b""
        self.pos = self._searched = 0
