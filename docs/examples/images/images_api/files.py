"""The bytes of the images, one file each.

An upload is written beside the finished files and moved among them only once it is on
disk in full, so whatever breaks it (a client, a full disk, the power) no half image is
ever served.
"""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from .catalogue import Content

CHUNK = 65536
ABANDONED = 24 * 3600
"""Seconds without a write after which an unfinished upload counts as abandoned."""


class Source(Protocol):
    """Where an upload comes from; `read` gives b"" at its end."""

    def read(self, size: int, /) -> bytes: ...


class ContentTooLarge(Exception):
    """An upload is larger than `limit` bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"content is larger than {limit} bytes")
        self.limit = limit


class Files:
    """The files below `directory`, none of them larger than `limit` bytes."""

    def __init__(self, directory: Path, limit: int) -> None:
        self.limit = limit
        self._finished = directory / "finished"
        self._arriving = directory / "arriving"
        for each in (self._finished, self._arriving):
            each.mkdir(parents=True, exist_ok=True)
        self._sweep()

    def receive(self, source: Source) -> Content:
        """Stores everything that `source` has; leaves nothing behind if it fails.

        Raises `ContentTooLarge`, `OSError` for the disk, and what `source` raises.
        """
        name = uuid.uuid4().hex
        arriving = self._arriving / name
        try:
            with arriving.open("xb") as file:
                size, sha256 = _copy(source, file, self.limit)
                file.flush()
                os.fsync(file.fileno())
            arriving.rename(self._finished / name)
        except BaseException:
            arriving.unlink(missing_ok=True)
            raise
        _sync_directory(self._finished)
        return Content(name, size, sha256)

    def open(self, content: Content) -> BinaryIO:
        """The file, opened for reading; raises `OSError`."""
        return (self._finished / content.file).open("rb")

    def remove(self, content: Content) -> None:
        """Removes the file. Downloads that have begun still get all of it."""
        (self._finished / content.file).unlink(missing_ok=True)

    def _sweep(self) -> None:
        # A worker that was killed leaves its upload. Others may be writing theirs
        # right now, so only age tells which is which.
        oldest = time.time() - ABANDONED
        for path in self._arriving.iterdir():
            try:
                if path.stat().st_mtime < oldest:
                    path.unlink()
            except FileNotFoundError:
                continue  # another worker finished or swept it


class FilePart:
    """An iterable of `length` bytes of an open file, which `close` closes."""

    def __init__(self, file: BinaryIO, length: int) -> None:
        self._file = file
        self._left = length

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._left == 0:
            raise StopIteration
        chunk = self._file.read(min(CHUNK, self._left))
        if not chunk:
            raise EOFError(f"{self._file.name} ends {self._left} bytes too early")
        self._left -= len(chunk)
        return chunk

    def close(self) -> None:
        """Closes the file; servers call it when the response is over (PEP 3333)."""
        self._file.close()


def _copy(source: Source, file: BinaryIO, limit: int) -> tuple[int, str]:
    """Copies all of `source`, at most `limit` bytes; returns their number and SHA-256."""
    digest, size = hashlib.sha256(), 0
    while chunk := source.read(CHUNK):
        size += len(chunk)
        if size > limit:
            raise ContentTooLarge(limit)
        digest.update(chunk)
        file.write(chunk)
    return size, digest.hexdigest()


def _sync_directory(directory: Path) -> None:
    # Without this the name may be gone after a power cut though the bytes are there.
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
