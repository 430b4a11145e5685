"""An access line as one JSON object: flat, with the names of OpenTelemetry.

Whatever a client or an application leaves behind, a line is one line and can be parsed;
what is not known is left out, and numbers are numbers.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .access import Answered

#: The word of the option `access_log_format` that asks for these lines.
JSON: Final = "json"


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


def _trace(place: int) -> Callable[[Answered], Any]:
    def part(answered: Answered) -> str | None:
        parent = answered.environ.get("wsgi_server.traceparent")
        return parent.split("-")[place] if isinstance(parent, str) else None

    return part


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
    "http.request.id": _environ("wsgi_server.request_id"),
    "openstack.request_id": _openstack_id,
    "trace_id": _trace(1),
    "span_id": _trace(2),
}


class JsonLines:
    """Makes lines of one worker; `more` are the fields that it has beside the others."""

    def __init__(self, more: Mapping[str, Callable[[Answered], Any]]) -> None:
        self._fields = tuple({**FIELDS, **more}.items())
        self._encode = json.JSONEncoder(ensure_ascii=False).encode
        self._second = (0, "")

    def line(self, answered: Answered) -> bytes:
        """The line of a finished request, with its line feed."""
        found: dict[str, Any] = {"timestamp": self._now()}
        for name, field in self._fields:
            value = field(answered)
            if value is not None:
                found[name] = value
        found["process.pid"] = os.getpid()
        return self._encode(found).encode("utf-8", "replace") + b"\n"

    def _now(self) -> str:
        now = time.time()
        second = int(now)
        if self._second[0] != second:
            shown = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = second, shown
        return f"{self._second[1]}.{int(now % 1 * 1000):03d}Z"
