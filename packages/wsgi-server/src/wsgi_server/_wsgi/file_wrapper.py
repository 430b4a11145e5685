"""`wsgi.file_wrapper` (PEP 3333)."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from typing import Any, Final, cast

_BUFFERED: Final = (io.BufferedReader, io.BufferedRandom)


class FileWrapper:
    """`wsgi.file_wrapper`: a file that the kernel may send by itself (PEP 3333)."""

    def __init__(self, filelike: Any, blksize: int = 65536) -> None:
        self.filelike = filelike
        self.blksize = blksize
        if hasattr(filelike, "close"):
            self.close = filelike.close

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: cast("bytes", self.filelike.read(self.blksize)), b"")

    def span(self) -> tuple[int, int, int] | None:
        """(descriptor, offset, bytes) of what is left; None unless a regular file.

        Others may have a descriptor as well, like those that decompress, but what they
        read is not what it holds. Files of the kernel's own say that they are empty.
        """
        raw = self.filelike
        if type(raw) in _BUFFERED:
            raw = raw.raw
        if type(raw) is not io.FileIO:
            return None
        try:
            fd = self.filelike.fileno()
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode) or not found.st_size:
                return None
            offset = self.filelike.tell()
        except (OSError, ValueError):
            # ValueError: closed already.
            return None
        return fd, offset, max(0, found.st_size - offset)
