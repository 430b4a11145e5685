"""The command's own log and its standard streams, never at the cost of a request.

Only the command sets them up; an embedded server leaves them to its program. A log that
stalls (a pipe nobody reads) or fails (a full disk) loses lines, not requests; how many they
were is said where they are missing, once the log takes lines again. The same holds for what
the application prints.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
from typing import Final, TextIO

from wsgi_server._system import unpatched
from wsgi_server._system.platform import HAS_PATIENT_PIPES
from wsgi_server.errors import ConfigError

from .nonblocking import (
    NonblockingWriter,
    finish_all,
    has_room,
    open_nonblocking,
    own_description,
)
from .standard_streams import note, open_closed, stop_waiting

#: Seconds that the end of the process may wait for slow readers of its last lines.
FAREWELL: Final = 1.0

FORMAT: Final = (
    "%(asctime)s.%(msecs)03d [%(process)d] %(levelname)s %(name)s: %(message)s"
)
DATES: Final = "%Y-%m-%d %H:%M:%S"


# Python 3.10 cannot subscript the class at run time.
class StreamLog(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes records to the descriptor below `stream` without ever waiting for it.

    `writer` is the one that writes to it already, where there is one.
    """

    def __init__(self, stream: TextIO, writer: NonblockingWriter | None = None) -> None:
        super().__init__(stream)
        if writer is None:
            writer = NonblockingWriter(stream.fileno(), note=note)
        self.writer = writer

    def handle(self, record: logging.LogRecord) -> bool:
        """Filters and emits a record.

        Without the handler's lock: who holds it while a record is formatted may have to
        wait, and so would everybody else who logs. The writer looks after its lines.
        """
        # From Python 3.12 on a filter may give another record.
        kept: bool | logging.LogRecord = self.filter(record)
        if isinstance(kept, logging.LogRecord):
            record = kept
        if kept:
            self.emit(record)
        return bool(kept)

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one record, or keeps it for later, or counts it as lost."""
        try:
            line = self.format(record)
        # A record's arguments are foreign code; logging's own rule is to say so and go on.
        except Exception:  # noqa: BLE001
            self.handleError(record)
            return
        self.writer.write(line.encode("utf-8", "backslashreplace") + b"\n")

    def flush(self) -> None:
        """Writes what waits, as far as the log takes it."""
        self.writer.flush()

    def setStream(self, stream: TextIO) -> TextIO | None:
        """Writes to another stream from now on; returns the old one."""
        self.writer.flush()
        self.writer.move_to(stream.fileno())
        old: TextIO | None = self.stream
        self.stream = stream
        return old


class FileLog(StreamLog, logging.FileHandler):
    """The same for a file, which is reopened after log rotation as any `FileHandler` is.

    Raises `ConfigError` when the file cannot be opened.
    """

    def __init__(self, path: str) -> None:
        try:
            logging.FileHandler.__init__(self, path, encoding="utf-8", delay=True)
            self.stream = open_nonblocking(self.baseFilename, "utf-8", None)
        except OSError as exc:
            raise ConfigError(f"log_file: cannot write {path}: {exc.strerror}") from exc
        self.writer = NonblockingWriter(self.stream.fileno(), note=note)

    def close(self) -> None:
        """Closes the file."""
        self.writer.flush()
        self.writer.move_to(-1)
        super().close()


def set_up(path: str | None, *, debug: bool) -> logging.Handler:
    """Sends the log of everything in this process to `path`, or stderr when None.

    INFO and above; with `debug` everything. Replaces what an earlier call set up. What is
    printed goes where it went, and waits for nobody from now on. Raises `ConfigError` when
    the file cannot be opened; then nothing has changed.
    """
    open_closed()
    file = None if path is None else FileLog(path)
    errors = stop_waiting()
    handler = StreamLog(sys.stderr, errors) if file is None else file
    handler.setFormatter(logging.Formatter(FORMAT, DATES))
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, StreamLog)]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(logging.DEBUG if debug else logging.INFO)
    logging.captureWarnings(True)
    atexit.unregister(say_farewell)
    atexit.register(say_farewell)
    return handler


def say_farewell() -> None:
    """Gives slow readers a moment for the last lines, at the end of the process."""
    finish_all(FAREWELL)


def descriptor() -> int:
    """A descriptor of its own, for what must reach the log without `logging`.

    It leads to nowhere where a write to the log would wait: a process that is to end must
    not be kept from it by its log.
    """
    fd = 2
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler):
            # A stream that is closed, or that is none of the system's.
            with contextlib.suppress(AttributeError, OSError, ValueError):
                if isinstance(handler, StreamLog):
                    fd = handler.writer.fd
                else:
                    fd = handler.stream.fileno()
                break
    try:
        found = own_description(fd)
    except OSError:
        return unpatched.open(os.devnull, os.O_WRONLY)
    if HAS_PATIENT_PIPES and os.get_blocking(found) and not has_room(found):
        os.close(found)
        return unpatched.open(os.devnull, os.O_WRONLY)
    return found
