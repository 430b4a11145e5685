"""An application whose spans stay in its memory, and which tells them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

KEPT = InMemorySpanExporter()
PROVIDER = TracerProvider()
PROVIDER.add_span_processor(SimpleSpanProcessor(KEPT))
trace.set_tracer_provider(PROVIDER)


def app(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """`/spans` tells those of all earlier requests."""
    path = environ["PATH_INFO"]
    if path == "/spans":
        start("200 OK", [("Content-Type", "application/json")])
        return [
            b"[",
            b",".join(one.to_json().encode() for one in KEPT.get_finished_spans()),
            b"]",
        ]
    if path == "/boom":
        raise RuntimeError(path)
    environ["wsgi_server.route"] = "/images/{id}"
    start("200 OK", [("Content-Type", "text/plain")])
    return inner()


def inner() -> Iterable[bytes]:
    """Bytes, one of them made within a span of the application's own."""
    yield b"an "
    with trace.get_tracer("application").start_as_current_span("inner"):
        yield json.dumps("image").encode()
