"""Tells which of eventlet's hubs it runs on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from eventlet import hubs, sleep


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Naps for less than a millisecond and names the module of the hub."""
    sleep(0.0005)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [type(hubs.get_hub()).__module__.encode()]
