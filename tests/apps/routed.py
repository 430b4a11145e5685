"""An application that names the route of each request, as wsgi_api does."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any


def app(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """Has one route."""
    environ["wsgi_server.route"] = "/v2/images/{id}"
    start("200 OK", [("Content-Type", "text/plain")])
    return [b"an image"]
