"""Goes on working after it has answered."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import eventlet
import wsgi_server

POOL = wsgi_server.get_asynchronous_eventlet_pool(size=2)


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Accepts; a job writes the file that the path names once `go` is beside it."""
    POOL.spawn_n(finish, Path(environ["PATH_INFO"]))
    start_response("202 Accepted", [("Content-Length", "0")])
    return []


def finish(path: Path) -> None:
    while not path.with_name("go").exists():
        eventlet.sleep(0.01)
    # Work that is left when the stop has begun.
    eventlet.sleep(0.5)
    path.write_text("done")
