"""The command's own log: stderr or a file, never at the cost of a request.

Only the command sets logging up; an embedded server leaves it to its program. A log that
stalls (a pipe nobody reads) or fails (a full disk) loses lines, not requests: what does not
fit into a bounded buffer is counted, and the count is logged once the log takes lines again.
"""

from __future__ import annotations

import logging
import os
import select
import stat
import sys
import time
from typing import Final, TextIO

from wsgi_server._system import unpatched
from wsgi_server.errors import ConfigError

#: Bytes that may wait for a log that does not keep up.
BUFFER: Final = 1 << 20

#: Seconds that the end of the process may wait for a slow reader of its last lines.
FAREWELL: Final = 1.0

FORMAT: Final = (
    "%(asctime)s.%(msecs)03d [%(process)d] %(levelname)s %(name)s: %(message)s"
)
DATES: Final = "%Y-%m-%d %H:%M:%S"


# Python 3.10 cannot subscript the class at run time.
class StreamLog(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes records to the descriptor below `stream` without ever waiting for it."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._backlog = b""
        self._dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one record, or keeps it for later, or counts it as lost."""
        try:
            line = self.format(record)
        # A record's arguments are foreign code; logging's own rule is to say so and go on.
        except Exception:  # noqa: BLE001
            self.handleError(record)
            return
        self._put(line.encode("utf-8", "backslashreplace") + b"\n")

    def flush(self) -> None:
        """Writes what waits, as far as the log takes it."""
        self.acquire()
        try:
            if self._backlog:
                self._send()
        finally:
            self.release()

    def close(self) -> None:
        """Gives a slow reader a moment for the last lines."""
        if self._backlog:
            deadline = time.monotonic() + FAREWELL
            poll = unpatched.poll()
            poll.register(self.stream.fileno(), select.POLLOUT)
            while self._backlog and (left := deadline - time.monotonic()) > 0:
                poll.poll(left * 1000)
                self.flush()
        super().close()

    def _put(self, line: bytes) -> None:
        if self._dropped and len(self._backlog) + len(line) <= BUFFER // 2:
            lost, self._dropped = self._dropped, 0
            line = b"(%d log lines were lost here)\n%s" % (lost, line)
        if len(self._backlog) + len(line) <= BUFFER:
            self._backlog += line
        else:
            self._dropped += 1
        self._send()

    def _send(self) -> None:
        try:
            written = unpatched.write(self.stream.fileno(), self._backlog)
        except BlockingIOError:
            return
        except OSError:
            # Nobody can be told but the log itself, when it works again.
            self._dropped += self._backlog.count(b"\n")
            written = len(self._backlog)
        self._backlog = self._backlog[written:]


class FileLog(StreamLog, logging.FileHandler):
    """The same for a file, which is reopened after log rotation as any `FileHandler` is.

    Raises `ConfigError` when the file cannot be opened.
    """

    def __init__(self, path: str) -> None:
        try:
            logging.FileHandler.__init__(self, path, encoding="utf-8")
        except OSError as exc:
            raise ConfigError(f"log_file: cannot write {path}: {exc.strerror}") from exc
        self._backlog = b""
        self._dropped = 0


def set_up(path: str | None, *, debug: bool) -> logging.Handler:
    """Sends the log of everything in this process to `path`, or stderr when None.

    INFO and above; with `debug` everything. Replaces what an earlier call set up. Raises
    `ConfigError` when the file cannot be opened; then nothing has changed.
    """
    handler = StreamLog(_stderr()) if path is None else FileLog(path)
    handler.setFormatter(logging.Formatter(FORMAT, DATES))
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, StreamLog)]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(logging.DEBUG if debug else logging.INFO)
    logging.captureWarnings(True)
    return handler


def _stderr() -> TextIO:
    """stderr through a description of our own where waiting is possible.

    O_NONBLOCK on the inherited one would change it for every process that shares it, the
    user's shell among them.
    """
    mode = os.fstat(2).st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        try:
            fd = os.open("/proc/self/fd/2", os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            # EACCES, ENXIO or no /proc: somebody else's terminal, a container.
            return sys.stderr
        return open(fd, "w", encoding="utf-8")
    return sys.stderr
