"""`wsgi.input`: the request body as a binary file (PEP 3333)."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from .channel import BodySource

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


#: Bytes that are asked for at once where all of a body is wanted.
PIECE: Final = 65536
#: Bytes of a request body that `wsgi.input` may hold.
READ_AHEAD: Final = 16384


class EmptyInput:
    """`wsgi.input` of a request without a body."""

    __slots__ = ()

    def read(self, size: int | None = -1, /) -> bytes:
        return b""

    def readline(self, size: int | None = -1, /) -> bytes:
        return b""

    def readlines(self, hint: int | None = -1, /) -> list[bytes]:
        return []

    def __iter__(self) -> Iterator[bytes]:
        return iter(())


EMPTY_INPUT: Final = EmptyInput()


class Body(io.RawIOBase):
    """The request body as it arrives, never more of it than was asked for."""

    def __init__(self, source: BodySource) -> None:
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        return self._source.read_body_into(memoryview(buffer))

    def readall(self) -> bytes:
        return b"".join(iter(lambda: self._source.read_body(PIECE), b""))


class BodyInput(io.BufferedIOBase):
    """`wsgi.input`: a binary file.

    Large pieces are received where they are wanted, without a copy. For lines and small
    pieces a little is read ahead, from the first of them on.

    Raises `BodyError` where the body is malformed, over the limit or too slow, and
    `ClientGone` where it ends early; both are `OSError`.
    """

    def __init__(self, source: BodySource) -> None:
        body = Body(source)
        # With a single byte to hold, it holds none.
        self._file = self._direct = io.BufferedReader(body, 1)

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and 0 <= size < READ_AHEAD:
            return self._ahead().read(size)
        return self._file.read(size)

    def read1(self, size: int = -1, /) -> bytes:
        return self._ahead().read1(size)

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        return self._file.readinto(buffer)

    def readinto1(self, buffer: WriteableBuffer, /) -> int:
        return self._file.readinto1(buffer)

    def peek(self, size: int = 0, /) -> bytes:
        return self._ahead().peek(size)

    def readline(self, size: int | None = -1, /) -> bytes:
        return self._ahead().readline(size)

    def readlines(self, hint: int | None = -1, /) -> list[bytes]:
        return self._ahead().readlines(-1 if hint is None else hint)

    def __next__(self) -> bytes:
        return next(self._ahead())

    def _ahead(self) -> io.BufferedReader[Body]:
        if self._file is self._direct:
            self._file = io.BufferedReader(self._direct.raw, READ_AHEAD)
        return self._file
