"""Lines of requests through the program's own ``logging``, never at a request's cost.

A line is a record of the program's logger, made where the request ran, so that filters and
formatters find its context. Handlers get it at the end of a turn, each in the way that
cannot hold up the loop:

- a stream that may stall (a pipe, a terminal, a socket) is written without waiting,
- a file is written as the program itself writes it,
- whatever else, such as syslog or the journal, is called in a native thread of its own. That
  thread takes no lock that a monkey-patched program has made green: such a lock wakes only
  greenlets of the thread that it was taken in. Handlers that may hold others of that kind
  inside are called in the loop, where the program calls them too.

All of them keep a bounded number of records and count what they lose.
"""

from __future__ import annotations

import logging
import os
import stat
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, Protocol, Union

from wsgi_server._system import unpatched

from .access import AccessLog, CalledLog, LineMaker, RequestLog, line_maker
from .answered import Answered
from .nonblocking import NonblockingWriter, own_description
from .server import FAREWELL, StreamLog
from .standard_streams import note

if TYPE_CHECKING:
    from queue import SimpleQueue

    from wsgi_server._config.settings import Settings

LOG = logging.getLogger(__name__)

#: Records that may wait for one handler, or for the end of a turn.
MOST_RECORDS: Final = 10_000

#: Handlers that hold no lock but the one in ``lock``, by module and name: none of these is
#: imported for it.
_LOCK_FREE: Final = {
    ("logging.handlers", "SysLogHandler"),
    ("oslo_log.handlers", "OSSysLogHandler"),
    ("oslo_log.handlers", "OSJournalHandler"),
}

#: A logger, or an adapter whose ``process`` adds the request's context as ``extra``.
RequestLogger = Union[logging.Logger, "logging.LoggerAdapter[Any]"]


class Outlet(Protocol):
    """How one handler gets its records."""

    @property
    def dropped(self) -> int: ...
    def put(self, record: logging.LogRecord, /) -> object: ...
    def flush(self) -> None: ...
    def close(self) -> None: ...


class LoggerLog:
    """The lines of requests as records of ``logger``, at INFO.

    ``line`` makes the lines. ``flush`` belongs at the end of a turn.
    """

    def __init__(self, logger: RequestLogger, line: LineMaker) -> None:
        self._logger = logger
        self._line = line
        self._records: deque[logging.LogRecord] = deque()
        self._lost = self._dropped = 0
        self._outlets: dict[logging.Handler, tuple[object, Outlet]] = {}
        # Held while handlers are called, some of which may switch greenlets: whoever does
        # not get it at once leaves the rest to who has it.
        self._busy = unpatched.Lock()
        self._closed = False

    @property
    def dropped(self) -> int:
        """Lines that were lost so far."""
        outlets = list(self._outlets.values())
        return self._dropped + sum(outlet.dropped for _, outlet in outlets)

    def record(self, exchange: Answered) -> None:
        """Takes the line of a finished exchange; never fails."""
        if not self._logger.isEnabledFor(logging.INFO):
            return
        try:
            record = _made(self._logger, self._line(exchange))
        # The application may have left anything in its environ and its headers, and the
        # response is not to suffer for it.
        except Exception:
            self._dropped += 1
            LOG.exception("the log of requests lost a line")
        else:
            self.put(record)

    def put(self, record: logging.LogRecord) -> None:
        """Takes a record of any logger; its handlers get it when the turn ends."""
        if self._closed:
            # By a request that has outlived a reload in the same process.
            logging.getLogger(record.name).handle(record)
        elif len(self._records) < MOST_RECORDS:
            self._records.append(record)
        else:
            self._lost += 1
            self._dropped += 1

    def flush(self) -> None:
        """Hands over what was taken since the last time."""
        if not self._records and not self._outlets:
            return
        while self._busy.acquire(blocking=False):
            try:
                while self._records:
                    self._dispatch(self._records.popleft())
                for _, outlet in list(self._outlets.values()):
                    outlet.flush()
            # Filters and handlers are foreign code; the loop is not to suffer for it.
            except Exception:
                LOG.exception("the log of requests lost a line")
            finally:
                self._busy.release()
            if not self._records:
                break
        if self._lost:
            lost, self._lost = self._lost, 0
            LOG.warning("the log of requests lost %d lines", lost)

    def reopen(self) -> None:
        """Does nothing: files are reopened by their handlers."""

    def close(self) -> None:
        """Hands over what is left; gives slow handlers a moment."""
        self.flush()
        self._closed = True
        outlets, self._outlets = self._outlets, {}
        for _, outlet in outlets.values():
            outlet.close()

    def _dispatch(self, record: logging.LogRecord) -> None:
        logger = logging.getLogger(record.name)
        kept = _filtered(logger, record)
        if kept is None or logger.disabled:
            return
        for handler in _handlers(logger):
            if kept.levelno >= handler.level:
                self._outlet(handler).put(kept)

    def _outlet(self, handler: logging.Handler) -> Outlet:
        stream = getattr(handler, "stream", None)
        known = self._outlets.get(handler)
        if known is not None:
            if known[0] is stream:
                return known[1]
            # Reopened, as after log rotation.
            known[1].close()
            self._dropped += known[1].dropped
        outlet = _outlet_for(handler, stream)
        self._outlets[handler] = stream, outlet
        return outlet


class _Called:
    """A handler that is called where it stands."""

    dropped: Final = 0

    def __init__(self, handler: logging.Handler) -> None:
        self.put: Callable[[logging.LogRecord], object] = handler.handle

    def flush(self) -> None:
        """Has nothing to do: a handler writes at once."""

    def close(self) -> None:
        """Leaves the handler to the program."""


class _Unwaiting:
    """A stream handler whose text is written without waiting, past the handler."""

    def __init__(self, handler: logging.StreamHandler[Any], fd: int) -> None:
        self._handler = handler
        self._encoding = getattr(handler.stream, "encoding", None) or "utf-8"
        self._writer = NonblockingWriter(own_description(fd), note=note)
        self.flush = self._writer.flush

    @property
    def dropped(self) -> int:
        return self._writer.dropped

    def close(self) -> None:
        """Gives a slow reader a moment for the last lines."""
        self._writer.finish(FAREWELL)
        fd = self._writer.fd
        self._writer.move_to(-1)
        os.close(fd)

    def put(self, record: logging.LogRecord) -> None:
        kept = _filtered(self._handler, record)
        if kept is None:
            return
        try:
            text = self._handler.format(kept) + self._handler.terminator
        # The program's formatter is foreign code; logging's own rule is to say so.
        except Exception:  # noqa: BLE001
            self._handler.handleError(record)
            return
        self._writer.write(text.encode(self._encoding, "backslashreplace"))


class _Beside:
    """A handler that is called in a native thread of its own."""

    def __init__(self, handler: logging.Handler, *, locks: bool) -> None:
        self._handler = handler
        self._locks = locks
        self._records: SimpleQueue[logging.LogRecord | None] = unpatched.SimpleQueue()
        self._lost = self.dropped = 0
        self._running = unpatched.Lock()
        self._running.acquire()
        unpatched.start_new_thread(self._run, ())

    def put(self, record: logging.LogRecord) -> None:
        if self._records.qsize() < MOST_RECORDS:
            self._records.put(record)
        else:
            self._lost += 1
            self.dropped += 1

    def flush(self) -> None:
        if self._lost and self._records.qsize() < MOST_RECORDS // 2:
            lost, self._lost = self._lost, 0
            LOG.warning("the log handler %r lost %d lines", self._handler, lost)

    def close(self) -> None:
        self._records.put(None)
        if not self._running.acquire(timeout=FAREWELL):
            # It is stuck in the handler, with the lock that `logging.shutdown` wants.
            self._handler.createLock()

    def _run(self) -> None:
        try:
            self._handle_all()
        finally:
            self._running.release()

    def _handle_all(self) -> None:
        while (record := self._records.get()) is not None:
            try:
                if self._locks:
                    self._handler.handle(record)
                elif (kept := _filtered(self._handler, record)) is not None:
                    self._handler.emit(kept)
            # Handlers are foreign code; the next record may fare better.
            except Exception:  # noqa: BLE001
                self._handler.handleError(record)


def _outlet_for(handler: logging.Handler, stream: object) -> Outlet:
    fd = _stalling(stream)
    if fd is not None and not isinstance(handler, StreamLog):
        assert isinstance(handler, logging.StreamHandler)  # noqa: S101  it has a stream
        return _Unwaiting(handler, fd)
    if isinstance(handler, (logging.StreamHandler, logging.NullHandler)):
        return _Called(handler)
    green = unpatched.threads_are_green()
    kind = type(handler)
    if green and (kind.__module__, kind.__qualname__) not in _LOCK_FREE:
        return _Called(handler)
    return _Beside(handler, locks=not green)


def _made(logger: RequestLogger, text: str) -> logging.LogRecord:
    extra: Any = None
    target: Any = logger
    while isinstance(target, logging.LoggerAdapter):
        text, kwargs = target.process(text, {})
        extra = {**(extra or {}), **(kwargs.get("extra") or {})}
        target = target.logger
    record: logging.LogRecord = target.makeRecord(
        target.name, logging.INFO, __file__, 0, text, (), None, "record", extra
    )
    return record


def _filtered(
    filterer: logging.Filterer, record: logging.LogRecord
) -> logging.LogRecord | None:
    """Returns the record that is to be handled; since 3.12 a filter may give another."""
    kept: Any = filterer.filter(record)
    if isinstance(kept, logging.LogRecord):
        return kept
    return record if kept else None


def _handlers(logger: logging.Logger) -> Iterator[logging.Handler]:
    place: logging.Logger | None = logger
    while place is not None:
        yield from place.handlers
        place = place.parent if place.propagate else None


def _stalling(stream: object) -> int | None:
    """The descriptor of a stream, if a write may have to wait for somebody who reads."""
    try:
        fd = int(stream.fileno())  # type: ignore[attr-defined]  # most have one
        mode = os.fstat(fd).st_mode
    # No stream, a closed one, or one that is none of the system's.
    except (AttributeError, OSError, ValueError):
        return None
    stalls = stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)
    return fd if stalls else None


def open_request_log(
    settings: Settings, worker_id: int, generation: int
) -> RequestLog | None:
    """Where `settings` want requests to be logged; None for nowhere.

    Raises `ConfigError` where that cannot be opened, and for a form that makes no sense.
    """
    form = settings.access_log_format
    line = line_maker(form, worker_id=worker_id, generation=generation)
    own = settings.access_logger
    if own is not None:
        is_logger = isinstance(own, logging.Logger | logging.LoggerAdapter)
        return LoggerLog(own, line) if is_logger else CalledLog(own, line)
    if settings.access_log is None:
        return None
    return AccessLog(settings.access_log, line)
