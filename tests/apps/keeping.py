"""An application that keeps things where only one request should find them."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

from .exercise import nap

VARIABLE: ContextVar[str | None] = ContextVar("VARIABLE", default=None)
LOCAL = threading.local()
CLOSED: list[str | None] = []


def holder() -> Any:
    """The greenlet that runs this, or else nothing that outlives it."""
    greenlet = sys.modules.get("greenlet")
    return threading.local() if greenlet is None else greenlet.getcurrent()


class Body:
    """What was found; it looks again while it is sent and when it is closed."""

    def __init__(self, found: dict[str, Any]) -> None:
        self._found = found

    def __iter__(self) -> Iterator[bytes]:
        self._found["sending"] = VARIABLE.get()
        yield json.dumps(self._found).encode()

    def close(self) -> None:
        CLOSED.append(VARIABLE.get())


def app(environ: dict[str, Any], start: Callable[..., Any]) -> Body:
    """Says what it finds, then leaves the query there; `/nap` waits in between."""
    name = environ["QUERY_STRING"]
    found = {
        "variable": VARIABLE.get(),
        "local": getattr(LOCAL, "value", None),
        "attribute": getattr(holder(), "value", None),
        "thread": getattr(threading.current_thread(), "value", None),
        "closed": list(CLOSED),
    }
    VARIABLE.set(name)
    LOCAL.value = holder().value = threading.current_thread().value = name  # type: ignore[attr-defined]
    if environ["PATH_INFO"] == "/nap":
        nap(0.02)
    start("200 OK", [("Content-Type", "application/json")])
    return Body(found)
