"""Monkey-patches as services do, and answers only when two requests run at once."""

from __future__ import annotations

import eventlet

eventlet.monkey_patch()

import threading  # noqa: E402
from collections.abc import Callable, Iterable  # noqa: E402
from typing import Any  # noqa: E402

BOTH = threading.Barrier(2, timeout=10)


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Waits for the other request; neither client has gone."""
    BOTH.wait()
    assert not environ["wsgi_server.client_gone"]()
    start_response("200 OK", [("Content-Length", "4")])
    return [b"both"]
