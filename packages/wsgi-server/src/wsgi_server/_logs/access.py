"""One line per request, written in batches, never at the cost of a request.

A log that stalls (a pipe nobody reads) or fails (disk full) loses lines, not requests; how
many they were is logged.
"""

from __future__ import annotations

import functools
import logging
import operator
import os
import string
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from wsgi_server._system import unpatched
from wsgi_server.errors import ConfigError

from .answered import Answered
from .json_line import JSON, JsonLines, trace_of
from .nonblocking import OPEN_FLAGS, NonblockingWriter, own_description

if TYPE_CHECKING:
    pass

LOG = logging.getLogger(__name__)

_UNSAFE: Final = str.maketrans(
    {
        **{code: f"\\x{code:02x}" for code in (*range(32), *range(127, 256))},
        ord('"'): '\\"',
        ord("\\"): "\\\\",
    }
)


Getter = Callable[[Answered], Any]
#: Makes the line of a request, without its line feed.
LineMaker = Callable[[Answered], str]


class RequestLog(Protocol):
    """Where the lines of requests go. `flush` belongs at the end of a turn."""

    @property
    def put(self) -> Callable[[logging.LogRecord], None] | None:
        """Takes a record of the application's, where its loggers get the lines."""

    @property
    def dropped(self) -> int:
        """Lines that were lost so far."""

    def record(self, exchange: Answered) -> None:
        """Takes the line of a finished exchange; never fails."""

    def flush(self) -> None:
        """Hands over what was taken since the last time, without waiting."""

    def reopen(self) -> None:
        """Opens the file anew, for log rotation."""

    def close(self) -> None:
        """Hands over what is left, and ends."""


@functools.lru_cache(maxsize=1024)
def escaped(text: str) -> str:
    """`text` with everything escaped that could break out of a quoted log field."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return text.translate(_UNSAFE)


def _clients(exchange: Answered) -> str:
    """What X-Forwarded-For says and who came, as eventlet.wsgi writes it."""
    address = str(_FIELDS["client"](exchange))
    forwarded = exchange.request.headers.get("HTTP_X_FORWARDED_FOR")
    if forwarded is None:
        return address
    chain = escaped(forwarded.replace(" ", ""))
    # Once a proxy is believed, the address is one of those.
    return chain if address in chain.split(",") else f"{chain},{address}"


def _header(key: str) -> Callable[[Answered], str]:
    def field(exchange: Answered) -> str:
        value = exchange.request.headers.get(key)
        return "-" if value is None else escaped(value)

    return field


def _from_environ(key: str, missing: str = "-") -> Callable[[Answered], str]:
    def field(exchange: Answered) -> str:
        # What the application has left there may be missing, or anything.
        value = exchange.environ.get(key) or missing
        return escaped(value if type(value) is str else str(value))

    return field


def _request_line(exchange: Answered) -> str:
    request = exchange.request
    version = "HTTP/1.1" if request.http11 else "HTTP/1.0"
    return f"{request.method} {escaped(request.target)} {version}"


def _status(exchange: Answered) -> str:
    return exchange.status[:3] if exchange.status else "-"


def _from_response(name: str) -> Callable[[Answered], str]:
    def field(exchange: Answered) -> str:
        for key, value in exchange.headers or ():
            if key.lower() == name:
                return escaped(value)
        return "-"

    return field


def first_byte(exchange: Answered) -> float:
    """Seconds from a request's head to the first byte of its response."""
    # What goes out in one piece is all there with its first byte.
    return exchange.ttfb or exchange.seconds


_FIELDS: Final[dict[str, Getter]] = {
    "client": _from_environ("REMOTE_ADDR", "unix"),
    "clients": _clients,
    "port": _from_environ("REMOTE_PORT"),
    "user": _from_environ("REMOTE_USER"),
    "request": _request_line,
    "method": lambda x: x.request.method,
    "path": lambda x: escaped(x.request.path),
    "query": lambda x: escaped(x.request.query),
    "protocol": _from_environ("SERVER_PROTOCOL"),
    "status": _status,
    "bytes": operator.attrgetter("sent"),
    "referer": _header("HTTP_REFERER"),
    "agent": _header("HTTP_USER_AGENT"),
    "host": _header("HTTP_HOST"),
    "scheme": _from_environ("wsgi.url_scheme"),
    "request_id": _from_response("x-openstack-request-id"),
    "http_request_id": lambda x: x.request_id or "-",
    "trace_id": lambda x: trace_of(x)[0] or "-",
    "route": _from_environ("wsgi_server.route"),
    "error": lambda x: escaped(x.error or "-"),
    "seconds": operator.attrgetter("seconds"),
    "queue": operator.attrgetter("waited"),
    "ttfb": first_byte,
    "pid": lambda x: os.getpid(),
}
#: Of the fields that are not text, a value to try a format with.
_NUMBERS: Final[dict[str, object]] = {
    **dict.fromkeys(("seconds", "queue", "ttfb"), 0.0),
    **dict.fromkeys(("bytes", "pid", "worker", "generation"), 1),
}


def _clock(form: str) -> Getter:
    """The time of this second as a field; `form` is `strftime`'s."""
    at, shown = 0, ""

    def field(_exchange: Answered) -> str:
        nonlocal at, shown
        second = int(time.time())
        if at != second:
            shown = time.strftime(form, time.localtime(second))
            at = second
        return shown

    return field


def line_maker(form: str, *, worker_id: int, generation: int) -> LineMaker:
    """Returns what makes lines of the form that the option `access_log_format` has.

    That is the word `json`, perhaps with names of more fields behind it, or a format string.
    Raises `ConfigError` for an unknown field or a form that does not fit one.
    """
    word, *more = form.split() or [""]
    if word == JSON and "{" not in form:
        return JsonLines(more, worker_id=worker_id, generation=generation).line
    template, getters = _compiled(form, worker_id, generation)
    return lambda exchange: template % tuple([get(exchange) for get in getters])


def _compiled(
    form: str, worker_id: int, generation: int
) -> tuple[str, Sequence[Getter]]:
    """`form` as a `%` template, and what gets its values from an exchange."""
    fields: dict[str, Getter] = {
        **_FIELDS,
        "time": _clock("%d/%b/%Y:%H:%M:%S %z"),
        "date_time": _clock("%d/%b/%Y %H:%M:%S"),
        "worker": lambda _: worker_id,
        "generation": lambda _: generation,
    }
    template: list[str] = []
    getters: list[Getter] = []
    trial: list[object] = []
    try:
        for literal, name, spec, _ in string.Formatter().parse(form):
            template.append(literal.replace("%", "%%"))
            if name is not None:
                getters.append(fields[name])
                template.append(f"%{spec}" if spec else "%s")
                trial.append(_NUMBERS.get(name, "text"))
        line = "".join(template)
        line % tuple(trial)
    except KeyError as exc:
        known = ", ".join(sorted(fields))
        raise ConfigError(
            f"access_log_format: unknown field {exc} (known: {known})"
        ) from None
    except (ValueError, TypeError) as exc:
        raise ConfigError(f"access_log_format: {exc}") from exc
    return line, getters


class CalledLog:
    """Hands each line to a function of the program's, which must not wait."""

    put: Callable[[logging.LogRecord], None] | None = None

    def __init__(self, function: Callable[[str], object], line: LineMaker) -> None:
        self._function = function
        self._line = line
        self._lines: deque[str] = deque()
        #: Lines that were lost so far.
        self.dropped = 0

    def record(self, exchange: Answered) -> None:
        """Takes the line of a finished exchange; never fails."""
        try:
            line = self._line(exchange)
        # As for `AccessLog`.
        except Exception:
            self.dropped += 1
            LOG.exception("the log of requests lost a line")
        else:
            self._lines.append(line)

    def flush(self) -> None:
        """Hands over what was recorded since the last time."""
        while True:
            try:
                line = self._lines.popleft()
            except IndexError:
                return  # asked first, another thread could be faster
            try:
                self._function(line)
            # Foreign code; the loop is not to suffer for it.
            except Exception:
                self.dropped += 1
                LOG.exception("the log of requests lost a line")

    def reopen(self) -> None:
        """Does nothing: where the lines end is the function's business."""

    def close(self) -> None:
        """Hands over what is left."""
        self.flush()


class AccessLog:
    """Formats, buffers and writes access lines; `flush` belongs at the end of a turn.

    `path` is a file or `-` for stdout; `line` makes the lines. Raises `ConfigError` for a
    file that cannot be opened.
    """

    put: Callable[[logging.LogRecord], None] | None = None

    def __init__(self, path: str, line: LineMaker) -> None:
        self._path = path
        self._line = line
        self._failing = False
        self._unmade = 0
        self._fd = self._open()
        self._writer = NonblockingWriter(self._fd)

    @property
    def dropped(self) -> int:
        """Lines that were lost so far."""
        return self._unmade + self._writer.dropped

    def record(self, exchange: Answered) -> None:
        """Takes the line of a finished exchange; never fails."""
        try:
            line = f"{self._line(exchange)}\n"
        # The application may have left anything in its environ and its headers, and the
        # response is not to suffer for it.
        except Exception:
            self._unmade += 1
            LOG.exception("access log %s lost a line", self._path)
        else:
            self._writer.put(line.encode("utf-8", "replace"))

    def flush(self) -> None:
        """Writes what was recorded since the last time, as far as the log takes it."""
        writer = self._writer
        writer.flush()
        if writer.lost or self._failing:
            self._tell()

    def reopen(self) -> None:
        """Opens the file anew, for log rotation; keeps the old one if that fails."""
        try:
            fd = self._open()
        except ConfigError as exc:
            LOG.error("%s; the old file is kept", exc)  # noqa: TRY400  one line says it
            return
        self.flush()
        # The number stays ours throughout: a thread that writes next never meets one that
        # somebody else was given meanwhile.
        os.dup2(fd, self._fd, inheritable=False)
        os.close(fd)
        self._writer.move_to(self._fd)

    def close(self) -> None:
        """Flushes and closes."""
        self.flush()
        self._writer.move_to(-1)
        os.close(self._fd)

    def _tell(self) -> None:
        writer = self._writer
        if writer.error is not None:
            if not self._failing:
                self._failing = True
                reason = writer.error.strerror
                LOG.warning("access log %s fails: %s", self._path, reason)
        elif not writer.waits:
            lost, writer.lost, self._failing = writer.lost, 0, False
            LOG.warning("access log %s lost %d lines", self._path, lost)

    def _open(self) -> int:
        if self._path != "-":
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | OPEN_FLAGS
            try:
                return unpatched.open(self._path, flags, 0o640)
            except OSError as exc:
                raise ConfigError(
                    f"access_log: cannot write {self._path}: {exc.strerror}"
                ) from exc
        return own_description(1)
