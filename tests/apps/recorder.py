"""Remembers every request that reached it; `/seen` tells them and forgets."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

_seen: list[dict[str, Any]] = []


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answers a request with what it saw of it, the body read to its end."""
    if environ["PATH_INFO"] == "/seen":
        answer = json.dumps(_seen).encode()
        _seen.clear()
    else:
        record = {
            "method": environ["REQUEST_METHOD"],
            "path": environ["PATH_INFO"],
            "query": environ["QUERY_STRING"],
            "host": environ.get("HTTP_HOST"),
            "headers": {
                name: value
                for name, value in environ.items()
                if name.startswith(("HTTP_", "CONTENT_")) and name != "HTTP_HOST"
            },
            "body": None,
            "trailers": {},
        }
        # Kept before the body is read: a request whose body is refused was seen, too.
        _seen.append(record)
        record["body"] = environ["wsgi.input"].read().decode("latin-1")
        record["trailers"] = environ.get("wsgi_server.trailers", {})
        answer = json.dumps(record).encode()
    start_response(
        "200 OK",
        [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))],
    )
    return [answer]
