"""Lines for a descriptor that may stall or fail, at nobody's cost.

What a descriptor does not take at once waits in a bounded buffer; what does not fit, and what
it refuses, is counted as lost. Nobody waits here, neither for the descriptor nor for a lock:
not a thread, not a greenlet, not the hub of eventlet, which may not wait at all.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import socket
import stat
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from wsgi_server._system import unpatched
from wsgi_server._system.platform import HAS_PATIENT_PIPES, OUT

from .beside import WritingThread

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

#: Bytes that may wait for a descriptor that does not keep up.
BUFFER: Final = 1 << 20
#: Writes that may wait for one that is stuck in the kernel.
QUEUE: Final = 1 << 16

#: Nobody waits for a FIFO's reader, and no terminal becomes that of a daemon.
OPEN_FLAGS: Final = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)

#: Seconds that a thread gets for what it has when its descriptor is to be closed.
FAREWELL: Final = 1.0

_NEWLINE: Final = ord("\n")


class NonblockingWriter:
    """Writes whole lines to the descriptor `fd`, which stays the caller's.

    `note` makes a line of the number of those that were lost; it stands where they are
    missing. Without it `lost` is for the caller to tell and to set to 0.
    """

    def __init__(self, fd: int, *, note: Callable[[int], bytes] | None = None) -> None:
        #: What is written to.
        self.fd = fd
        #: Lines that were lost and not told, and all that ever were.
        self.lost = self.dropped = 0
        #: Why the last attempt has failed; None while the descriptor takes lines.
        self.error: OSError | None = None
        self._note = note
        self._fresh: deque[bytes] = deque()
        #: Takes whole lines that the next `flush` writes.
        self.put = self._fresh.append
        self._backlog = bytearray()
        #: What was written last is a part of a line.
        self._in_line = False
        #: The number in a note that waits as well.
        self._told = 0
        self._lock = unpatched.Lock()
        self._open(fd)
        _WRITERS.add(self)

    @property
    def waits(self) -> bool:
        """Whether lines wait for the descriptor."""
        return bool(self._backlog or self._fresh)

    def write(self, lines: bytes) -> None:
        """Takes whole lines, and writes what it can."""
        if lines:
            self.put(lines)
            self.flush()

    def flush(self) -> None:
        """Writes what waits, as far as the descriptor takes it."""
        while self._fresh or self._backlog:
            # Whoever is at it, another thread or what this call interrupts, looks for more
            # lines when it is done.
            if not self._lock.acquire(blocking=False):
                with contextlib.suppress(IndexError):
                    while len(self._fresh) > QUEUE:
                        self._lose(self._fresh.popleft().count(b"\n"))
                return
            try:
                done = self._send()
            finally:
                self._lock.release()
            if not done:
                return

    def finish(self, patience: float) -> None:
        """Gives a slow reader up to `patience` seconds for the lines that wait."""
        deadline = time.monotonic() + patience
        self.flush()
        while (left := deadline - time.monotonic()) > 0:
            if self._thread is not None:
                self._thread.finish(deadline)
            if not self._backlog or self._lock.locked():
                return
            if self._thread is None:
                has_room(self.fd, left)
            self.flush()

    def move_to(self, fd: int) -> None:
        """Writes to another descriptor from now on; -1 stands for none."""
        with self._lock:
            self._close()
            self._open(fd)

    def renew(self) -> None:
        """In a forked child: what waits is for the parent to write."""
        self._fresh.clear()
        self._backlog.clear()
        self._in_line = False
        self.lost = self._told = 0
        self._lock = unpatched.Lock()

    def _open(self, fd: int) -> None:
        self.fd = fd
        self._in_line = False
        self._sock: socket.socket | None = None
        self._thread: WritingThread | None = None
        self._shared = self._by_lines = False
        if fd < 0:
            return
        mode = os.fstat(fd).st_mode
        if stat.S_ISSOCK(mode):
            # systemd's journal. Others have it as well, so it goes on blocking; single
            # calls do not.
            self._sock = unpatched.Socket(fileno=fd)
            if self._sock.gettimeout() is not None:
                # What a program sets by setdefaulttimeout would make it wait.
                self._sock.settimeout(None)
        elif stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
            if HAS_PATIENT_PIPES:
                self._by_lines, self._shared = True, os.get_blocking(fd)
            else:
                self._thread = WritingThread(fd)

    def _close(self) -> None:
        if self._thread is not None:
            self._thread.finish(time.monotonic() + FAREWELL)
            self._thread.close()
        if self._sock is not None:
            self._sock.detach()

    def _send(self) -> bool:
        """One attempt; whether the descriptor has taken all there was."""
        backlog = self._backlog
        fresh = b"".join([self._fresh.popleft() for _ in range(len(self._fresh))])
        if not backlog:
            if self._in_line:
                # The rest of it is lost.
                backlog += b"\n"
            if self.lost and self._note is not None:
                backlog += self._note(self.lost)
                self._told, self.lost = self.lost, 0
        if self.lost and backlog:
            # Before what is missing has been told, more is missing in the same place.
            self._lose(fresh.count(b"\n"))
        else:
            backlog += fresh
        try:
            written = self._write(backlog)
        except BlockingIOError:
            written = 0
        except OSError as exc:
            self._lose_all(exc)
            return False
        self.error = None
        if written:
            self._told = 0
            self._in_line = backlog[written - 1] != _NEWLINE
            del backlog[:written]
        if len(backlog) > BUFFER:
            cut = backlog.rfind(b"\n", 0, BUFFER) + 1
            self._lose(backlog.count(b"\n", cut))
            del backlog[cut:]
        return not backlog

    def _lose_all(self, reason: OSError) -> None:
        self.error = reason
        lines = self._backlog.count(b"\n")
        if self._in_line and self._backlog.startswith(b"\n"):
            lines -= 1
        if self._told:
            # The note was no line of anybody's, and those that it told of are lost again.
            lines -= 1
            self.lost += self._told
            self._told = 0
        self._lose(lines)
        self._backlog.clear()

    def _lose(self, lines: int) -> None:
        self.lost += lines
        self.dropped += lines

    def _write(self, data: bytearray) -> int:
        if self._sock is not None:
            return self._sock.send(data, socket.MSG_DONTWAIT)
        if self._thread is not None:
            return self._thread.write(data)
        if not self._by_lines:
            return unpatched.write(self.fd, data)
        written = 0
        try:
            while written < len(data):
                if self._shared and not has_room(self.fd):
                    raise BlockingIOError
                # So much is written as one, whoever else writes there, and for so much poll
                # has promised room: whole lines, if one is no longer than that.
                piece = data[written : written + select.PIPE_BUF]
                end = piece.rfind(b"\n") + 1 or len(piece)
                written += unpatched.write(self.fd, piece[:end])
        except OSError:
            if not written:
                raise
        return written


class NonblockingStream(io.RawIOBase):
    """A standard stream for whoever prints: takes everything, and fails for nobody."""

    mode = "w"

    def __init__(self, fd: int, name: str, writer: NonblockingWriter) -> None:
        self._fd = fd
        self.name = name
        self.writer = writer

    def fileno(self) -> int:
        """The descriptor of the stream that this one stands for."""
        return self._fd

    def isatty(self) -> bool:
        """Whether that is a terminal."""
        return os.isatty(self._fd)

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        """Takes all of `data`; returns its length."""
        copy = bytes(data)
        self.writer.write(copy)
        return len(copy)

    def flush(self) -> None:
        """Writes what waits, as far as the descriptor takes it."""
        self.writer.flush()


def open_nonblocking(
    path: str, encoding: str | None, errors: str | None
) -> io.TextIOWrapper:
    """Opens a file to append to it, without waiting now or later.

    Raises `OSError` where that is impossible: ENXIO for a FIFO that nobody reads.
    """
    return io.open(  # noqa: UP020  monkey_patch(builtins=True) replaces the other one
        path,
        "a",
        encoding=encoding,
        errors=errors,
        opener=lambda path, flags: unpatched.open(path, flags | OPEN_FLAGS, 0o666),
    )


def own_description(fd: int) -> int:
    """A new descriptor for the file of `fd` that never blocks, where that is possible.

    O_NONBLOCK on the description of a pipe or a terminal would change it for every process
    that shares it, the user's shell among them.
    """
    mode = os.fstat(fd).st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        # EACCES, ENXIO or no /proc: somebody else's terminal, a container.
        with contextlib.suppress(OSError):
            return unpatched.open(f"/proc/self/fd/{fd}", os.O_WRONLY | OPEN_FLAGS)
    return os.dup(fd)


def finish_all(patience: float) -> None:
    """Gives slow readers up to `patience` seconds in all; for the end of the process."""
    deadline = time.monotonic() + patience
    for writer in list(_WRITERS):
        writer.finish(deadline - time.monotonic())


def has_room(fd: int, seconds: float = 0) -> bool:
    """Whether `fd` takes something without waiting, within so many seconds."""
    poll: Any = unpatched.poll()
    poll.register(fd, OUT)
    return bool(poll.poll(seconds * 1000))


_WRITERS: Final[weakref.WeakSet[NonblockingWriter]] = weakref.WeakSet()


def _renew_all() -> None:
    for writer in list(_WRITERS):
        writer.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
