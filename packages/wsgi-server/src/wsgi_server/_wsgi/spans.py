"""A span of OpenTelemetry around each request, for whoever wants them (`spans`).

Only the API is used: what becomes of spans is for the SDK that the program or the operator
has configured, and without one nothing does. Names and attributes are those of the semantic
conventions for HTTP servers. This module imports the extra `otel`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context, propagate, trace
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from wsgi_server._logs.trace_context import TRACE, Trace
from wsgi_server._scoreboard.counts import METHODS, OTHER

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication
    from opentelemetry.util.types import AttributeValue

    from .exchange import Exchange


class _Environ(Getter[Mapping[str, Any]]):
    """Finds header fields in an environ."""

    def get(self, carrier: Mapping[str, Any], key: str) -> list[str] | None:
        value = carrier.get(f"HTTP_{key.upper().replace('-', '_')}")
        return None if value is None else [value]

    def keys(self, carrier: Mapping[str, Any]) -> list[str]:
        return [
            name[5:].lower().replace("_", "-")
            for name in carrier
            if name.startswith("HTTP_")
        ]


_GETTER: Final = _Environ()


class Spans:
    """Runs requests inside their spans."""

    def __init__(self) -> None:
        self._tracer = trace.get_tracer("wsgi_server")

    def run(self, exchange: Exchange, app: WSGIApplication) -> None:
        """As `Exchange.run`, from the first byte of the answer's making to its last."""
        environ = exchange.environ
        method = exchange.request.method
        span = self._tracer.start_span(
            method if method in METHODS else "HTTP",
            propagate.extract(environ, getter=_GETTER),
            SpanKind.SERVER,
            dict(_known(exchange)),
        )
        about = span.get_span_context()
        if about.is_valid:
            environ[TRACE] = Trace(
                trace.format_trace_id(about.trace_id),
                trace.format_span_id(about.span_id),
            )
        token = context.attach(trace.set_span_in_context(span))
        try:
            exchange.run(app)
        finally:
            context.detach(token)
            if span.is_recording():
                _tell(span, exchange)
            span.end()


def _known(exchange: Exchange) -> Iterable[tuple[str, AttributeValue]]:
    """What is known of a request before it runs, without the query."""
    request, environ = exchange.request, exchange.environ
    if request.method in METHODS:
        yield "http.request.method", request.method
    else:
        yield "http.request.method", OTHER
        yield "http.request.method_original", request.method
    yield "url.path", request.path
    yield "url.scheme", environ["wsgi.url_scheme"]
    yield "network.protocol.version", "1.1" if request.http11 else "1.0"
    host, colon, port = environ.get("HTTP_HOST", "").rpartition(":")
    if colon and port.isdigit():
        yield "server.address", host
        yield "server.port", int(port)
    elif port or host:
        yield "server.address", environ["HTTP_HOST"]
    if environ.get("REMOTE_ADDR"):
        yield "client.address", environ["REMOTE_ADDR"]
    if "HTTP_USER_AGENT" in environ:
        yield "user_agent.original", environ["HTTP_USER_AGENT"]
    if exchange.request_id:
        yield "http.request.id", exchange.request_id


def _tell(span: Span, exchange: Exchange) -> None:
    """What became of the request."""
    route = exchange.environ.get("wsgi_server.route")
    if isinstance(route, str) and route:
        span.set_attribute("http.route", route)
        span.update_name(f"{exchange.request.method} {route}")
    status = (exchange.status or "")[:3]
    if status.isdigit():
        span.set_attribute("http.response.status_code", int(status))
    span.set_attribute("http.response.body.size", exchange.sent)
    error = exchange.error or (status if status >= "5" else "")
    if error:
        span.set_attribute("error.type", error)
        span.set_status(Status(StatusCode.ERROR))
