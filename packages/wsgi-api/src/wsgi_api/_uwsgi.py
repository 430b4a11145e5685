"""Chunked request bodies under uWSGI, which does not put them into wsgi.input."""

from __future__ import annotations

import io
from typing import Protocol


class ChunkSource(Protocol):
    """The part of the ``uwsgi`` module that reads chunked bodies."""

    def chunked_read(self) -> bytes: ...


class _Chunks(io.RawIOBase):
    """The chunks as a raw stream: each is handed on in as many reads as it takes."""

    def __init__(self, source: ChunkSource) -> None:
        self._source = source
        self._chunk = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        if not self._chunk:
            self._chunk = self._source.chunked_read()
        piece, self._chunk = self._chunk[: len(buffer)], self._chunk[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)


def chunked_input(source: ChunkSource) -> io.BufferedReader:
    """Returns a file whose end is the end of the request's chunked body.

    :param source: the module ``uwsgi``, or anything with its ``chunked_read``
    :raises OSError: on reading, when uWSGI could not receive the next chunk
    """
    return io.BufferedReader(_Chunks(source), 65536)
