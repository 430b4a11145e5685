"""An application that starts a greenlet while it is imported."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import eventlet
from wsgi_server import get_asynchronous_eventlet_pool

STATE = [b"waiting"]


def work() -> None:
    eventlet.sleep(0.05)
    STATE[0] = b"worked"


get_asynchronous_eventlet_pool(4).spawn_n(work)


def app(
    environ: dict[str, Any], start_response: Callable[..., object]
) -> Iterable[bytes]:
    start_response("200 OK", [])
    return STATE
