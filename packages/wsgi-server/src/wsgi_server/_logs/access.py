"""One line per request, written in batches, never at the cost of a request.

A log that stalls (a pipe nobody reads) or fails (disk full) loses lines, not requests: lines
wait in a bounded buffer, what does not fit is counted, and the count is logged.
"""

from __future__ import annotations

import functools
import logging
import operator
import os
import socket
import stat
import string
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from wsgi_server._system import unpatched
from wsgi_server.errors import ConfigError

if TYPE_CHECKING:
    from wsgi_server._http11 import Request

LOG = logging.getLogger(__name__)

#: Bytes that may wait for a log that does not keep up.
BUFFER: Final = 1 << 20

_UNSAFE: Final = str.maketrans(
    {
        **{code: f"\\x{code:02x}" for code in (*range(32), *range(127, 256))},
        ord('"'): '\\"',
        ord("\\"): "\\\\",
    }
)


class Answered(Protocol):
    """What a line is made of: a request and what became of it."""

    @property
    def request(self) -> Request: ...
    @property
    def environ(self) -> dict[str, Any]: ...
    @property
    def status(self) -> str | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, str]] | None: ...
    @property
    def sent(self) -> int: ...
    @property
    def seconds(self) -> float: ...


@functools.lru_cache(maxsize=1024)
def escaped(text: str) -> str:
    """`text` with everything escaped that could break out of a quoted log field."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return text.translate(_UNSAFE)


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


_FIELDS: Final[dict[str, Callable[[Answered], Any]]] = {
    "client": _from_environ("REMOTE_ADDR", "unix"),
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
    "seconds": operator.attrgetter("seconds"),
    "pid": lambda x: os.getpid(),
}
#: Of the fields that are not text, a value to try a format with.
_NUMBERS: Final[dict[str, object]] = {"bytes": 0, "seconds": 0.0, "pid": 1, "worker": 0}


def _socket_of(fd: int) -> Any:
    """`fd` as a socket, where it is one: systemd's journal, which may stall.

    Its description belongs to others as well, so it keeps blocking; single calls do not.
    """
    if not stat.S_ISSOCK(os.fstat(fd).st_mode):
        return None
    sock = unpatched.Socket(fileno=fd)
    if sock.gettimeout() is not None:
        # What a program sets by setdefaulttimeout would make it wait.
        sock.settimeout(None)
    return sock


class AccessLog:
    """Formats, buffers and writes access lines; `flush` belongs at the end of a turn.

    `path` is a file or `-` for stdout; `form` a format string over the fields that the
    option `access_log_format` names. Raises `ConfigError` for an unknown field or a file
    that cannot be opened.
    """

    def __init__(self, path: str, form: str, *, worker_id: int = 0) -> None:
        self._path = path
        self._date = (0, "")
        self._fields = dict(_FIELDS)
        self._fields["time"] = lambda _: self._now()
        self._fields["worker"] = lambda _: worker_id
        self._form, self._getters = self._compile(form)
        self._lines: deque[str] = deque()
        self._lock = unpatched.Lock()
        self._backlog = b""
        self._dropped = 0
        self._failing = False
        self._fd = self._open()
        self._sock = _socket_of(self._fd)

    def record(self, exchange: Answered) -> None:
        """Takes the line of a finished exchange; never fails."""
        try:
            line = self._form % tuple([get(exchange) for get in self._getters])
        # The application may have left anything in its environ and its headers, and the
        # response is not to suffer for it.
        except Exception:
            LOG.exception("access log %s lost a line", self._path)
        else:
            self._lines.append(line)

    def flush(self) -> None:
        """Writes what was recorded since the last time, as far as the log takes it."""
        if self._lines or self._backlog:
            with self._lock:
                self._write()

    def _write(self) -> None:
        count = len(self._lines)
        # Lines that other threads add meanwhile belong to the next time.
        text = "".join([self._lines.popleft() for _ in range(count)])
        data = self._backlog + text.encode("latin-1", "replace")
        try:
            if self._sock is None:
                written = unpatched.write(self._fd, data)
            else:
                written = self._sock.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            written = 0
        except OSError as exc:
            self._lose(count, exc)
            return
        self._backlog = data[written:]
        if len(self._backlog) > BUFFER:
            cut = self._backlog.rfind(b"\n", 0, BUFFER) + 1
            self._dropped += self._backlog.count(b"\n", cut)
            self._backlog = self._backlog[:cut]
        elif not self._backlog and (self._dropped or self._failing):
            LOG.warning("access log %s lost %d lines", self._path, self._dropped)
            self._dropped = 0
            self._failing = False

    def reopen(self) -> None:
        """Opens the file anew, for log rotation; keeps the old one if that fails."""
        try:
            fd = self._open()
        except ConfigError as exc:
            LOG.error("%s; the old file is kept", exc)  # noqa: TRY400  one line says it
            return
        self.flush()
        with self._lock:
            # The number stays ours throughout: a thread that writes next never meets one
            # that somebody else was given meanwhile.
            os.dup2(fd, self._fd, inheritable=False)
        os.close(fd)

    def close(self) -> None:
        """Flushes and closes."""
        self.flush()
        with self._lock:
            if self._sock is not None:
                self._sock.close()
            else:
                os.close(self._fd)
            self._fd = -1

    def _lose(self, count: int, exc: OSError) -> None:
        self._dropped += count + self._backlog.count(b"\n")
        self._backlog = b""
        if not self._failing:
            self._failing = True
            LOG.warning("access log %s fails: %s", self._path, exc.strerror)

    def _open(self) -> int:
        if self._path != "-":
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK
            try:
                return os.open(self._path, flags, 0o640)
            except OSError as exc:
                raise ConfigError(
                    f"access_log: cannot write {self._path}: {exc.strerror}"
                ) from exc
        mode = os.fstat(1).st_mode
        if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
            # A description of our own: O_NONBLOCK on the inherited one would change it
            # for every process that shares it.
            try:
                return os.open("/proc/self/fd/1", os.O_WRONLY | os.O_NONBLOCK)
            except OSError as exc:
                LOG.debug("stdout cannot be opened anew: %s", exc)
        return os.dup(1)

    def _compile(self, form: str) -> tuple[str, list[Callable[[Answered], Any]]]:
        template: list[str] = []
        getters: list[Callable[[Answered], Any]] = []
        trial: list[object] = []
        try:
            for literal, name, spec, _ in string.Formatter().parse(form):
                template.append(literal.replace("%", "%%"))
                if name is not None:
                    getters.append(self._fields[name])
                    template.append(f"%{spec}" if spec else "%s")
                    trial.append(_NUMBERS.get(name, "text"))
            line = "".join(template) + "\n"
            line % tuple(trial)
        except KeyError as exc:
            known = ", ".join(sorted(self._fields))
            raise ConfigError(
                f"access_log_format: unknown field {exc} (known: {known})"
            ) from None
        except (ValueError, TypeError) as exc:
            raise ConfigError(f"access_log_format: {exc}") from exc
        return line, getters

    def _now(self) -> str:
        second = int(time.time())
        if self._date[0] != second:
            shown = time.strftime("%d/%b/%Y:%H:%M:%S %z", time.localtime(second))
            self._date = (second, shown)
        return self._date[1]
