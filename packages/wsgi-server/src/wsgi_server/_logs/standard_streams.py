"""Standard streams of a command that serves: there, and nobody waits for them.

An application prints, warns, and writes to `wsgi.errors`. Where nobody reads what it says, or
the disk is full, Python's own streams hold the whole process up, or fail the request.
"""

from __future__ import annotations

import functools
import io
import os
import sys
from typing import Final, TextIO

from wsgi_server._system import unpatched

from .nonblocking import NonblockingStream, NonblockingWriter, own_description

_NAMES: Final = ("stdin", "stdout", "stderr")


def open_closed() -> None:
    """Opens those descriptors that are closed, and those streams that are None, onto nothing.

    Some init systems start a process so. The next files to be opened would be given their
    numbers, and what is meant for stderr would end there.
    """
    for fd in range(len(_NAMES)):
        try:
            os.fstat(fd)
        except OSError:
            # EBADF. The lowest number that is free is this one.
            os.set_inheritable(unpatched.open(os.devnull, os.O_RDWR), True)
    for name, mode in zip(_NAMES, "rww", strict=True):
        if getattr(sys, name) is None:
            setattr(sys, name, _nowhere(mode))


def errors() -> TextIO:
    """What `wsgi.errors` is: `sys.stderr`, which whoever is a daemon may have set to None."""
    return _nowhere("w") if sys.stderr is None else sys.stderr


@functools.cache
def _nowhere(mode: str) -> TextIO:
    # Not by the number of the stream: another may have been given that one.
    return io.TextIOWrapper(
        io.FileIO(os.devnull, mode), encoding="utf-8", errors="backslashreplace"
    )


def stop_waiting() -> NonblockingWriter:
    """Has `sys.stdout` and `sys.stderr` wait for nobody; returns the writer of stderr.

    What has taken their places already, a program's capture of what is printed, stays.
    """
    sys.stdout, _ = _without_waiting(sys.stdout, 1)
    sys.stderr, writer = _without_waiting(sys.stderr, 2)
    return writer


def note(lost: int) -> bytes:
    """The line that stands where `lost` others are missing."""
    return b"(%d log lines were lost here)\n" % lost


def _without_waiting(
    stream: TextIO | None, fd: int
) -> tuple[TextIO, NonblockingWriter]:
    raw = getattr(stream, "buffer", None)
    if stream is not None and isinstance(raw, NonblockingStream):
        return stream, raw.writer
    writer = NonblockingWriter(own_description(fd), note=note)
    if stream is not None and not _is_of(stream, fd):
        return stream, writer
    if stream is not None:
        stream.flush()
    raw = NonblockingStream(fd, f"<{_NAMES[fd]}>", writer)
    # TextIOWrapper asks for no more than a raw stream has; see `python -u`.
    fresh = io.TextIOWrapper(
        raw,
        encoding=getattr(stream, "encoding", "utf-8"),
        errors="backslashreplace",
        line_buffering=True,
    )
    return fresh, writer


def _is_of(stream: TextIO, fd: int) -> bool:
    try:
        return stream.fileno() == fd
    except (OSError, ValueError, AttributeError):
        # None of the system's, or closed.
        return False
