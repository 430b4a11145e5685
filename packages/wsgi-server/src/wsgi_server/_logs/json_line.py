"""An access line as one JSON object: flat, with the names of OpenTelemetry.

Whatever a client or an application leaves behind, a line is one line of ASCII and can be
parsed; what is not known is left out, and numbers are numbers.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from wsgi_server.errors import ConfigError

from .trace_context import NO_TRACE, TRACE, Trace, parse_traceparent

if TYPE_CHECKING:
    from .answered import Answered

#: The word of the option `access_log_format` that asks for these lines.
JSON: Final = "json"

#: Bytes that a pipe takes as one, whoever else writes to it (POSIX: at least 512; Linux).
ATOMIC: Final = 4096
#: Of each text, the characters that a longer line keeps: what is not ASCII takes six bytes.
_KEPT, _KEPT_UNICODE = 128, 32

_encode: Final = json.JSONEncoder().encode


def trace_of(answered: Answered) -> Trace:
    """The span of a request, or the one that it says called it; empty where it says none."""
    ours = answered.environ.get(TRACE)
    if isinstance(ours, Trace):
        return ours
    parent = answered.request.headers.get("HTTP_TRACEPARENT")
    return NO_TRACE if parent is None else parse_traceparent(parent)


def _text(value: Any) -> str | None:
    """What came as the bytes of a header, as the text that it most likely is."""
    if not isinstance(value, str) or not value:
        return None
    if value.isascii():
        return value
    try:
        return value.encode("latin-1").decode("utf-8", "replace")
    except UnicodeEncodeError:
        return value  # not the bytes of a header: an application put it there


def _whole(value: Any) -> int | None:
    text = value if isinstance(value, str) else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


def _header(key: str) -> Callable[[Answered], Any]:
    return lambda x: _text(x.request.headers.get(key))


def _environ(key: str) -> Callable[[Answered], Any]:
    return lambda x: _text(x.environ.get(key))


def _openstack_id(answered: Answered) -> str | None:
    for name, value in answered.headers or ():
        if name.lower() == "x-openstack-request-id":
            return _text(value)
    return _text(answered.environ.get("openstack.request_id"))


#: The fields of a line, in order.
FIELDS: Final[Mapping[str, Callable[[Answered], Any]]] = {
    "http.request.method": lambda x: x.request.method,
    "url.scheme": _environ("wsgi.url_scheme"),
    "url.path": lambda x: _text(x.request.path),
    "http.route": _environ("wsgi_server.route"),
    "http.response.status_code": lambda x: _whole((x.status or "")[:3]),
    "http.request.body.size": lambda x: _whole(x.request.headers.get("CONTENT_LENGTH")),
    "http.response.body.size": lambda x: x.sent,
    "network.protocol.version": lambda x: "1.1" if x.request.http11 else "1.0",
    "client.address": _environ("REMOTE_ADDR"),
    "client.port": lambda x: _whole(x.environ.get("REMOTE_PORT")),
    "server.address": _header("HTTP_HOST"),
    "user_agent.original": _header("HTTP_USER_AGENT"),
    "duration": lambda x: round(x.seconds, 6),
    "wsgi_server.queue": lambda x: round(x.waited, 6),
    "wsgi_server.ttfb": lambda x: round(x.ttfb or x.seconds, 6),
    "error.type": lambda x: _text(x.error),
    "http.request.id": lambda x: _text(x.request_id),
    "openstack.request_id": _openstack_id,
    "trace_id": lambda x: trace_of(x).trace_id or None,
    "span_id": lambda x: trace_of(x).span_id or None,
}
#: Fields that a line has only where they are asked for: what they hold may be a secret.
OPTIONAL: Final[Mapping[str, Callable[[Answered], Any]]] = {
    "url.query": lambda x: _text(x.request.query),
}


class JsonLines:
    """Makes the lines of one worker, with those of `OPTIONAL` that `more` names.

    Raises `ConfigError` for a name that is none of them.
    """

    def __init__(self, more: Sequence[str], *, worker_id: int, generation: int) -> None:
        for name in more:
            if name not in OPTIONAL:
                raise ConfigError(
                    f"access_log_format: json has no further field {name} "
                    f"(known: {', '.join(OPTIONAL)})"
                )
        fields = {**FIELDS, **{name: OPTIONAL[name] for name in more}}
        self._fields = tuple(fields.items())
        self._ours = {
            "wsgi_server.worker": worker_id,
            "wsgi_server.generation": generation,
        }
        self._second = (0, "")

    def line(self, answered: Answered) -> str:
        """The line of a finished request, without its line feed."""
        found: dict[str, Any] = {"timestamp": self._now()}
        for name, field in self._fields:
            value = field(answered)
            if value is not None:
                found[name] = value
        found.update(self._ours)
        found["process.pid"] = os.getpid()
        line = _encode(found)
        if len(line) >= ATOMIC:
            # Workers share a pipe: a longer line could be torn by another one's.
            line = _encode({name: _cut(value) for name, value in found.items()})
        return line

    def _now(self) -> str:
        now = time.time()
        second = int(now)
        if self._second[0] != second:
            shown = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = second, shown
        return f"{self._second[1]}.{int(now % 1 * 1000):03d}Z"


def _cut(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return value[: _KEPT if value.isascii() else _KEPT_UNICODE]
