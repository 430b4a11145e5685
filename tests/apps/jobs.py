"""Goes on working after it has answered, in native threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import wsgi_server

POOL = wsgi_server.get_asynchronous_pool(2)


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Accepts; a job writes the file that the path names once `go` is beside it."""
    POOL.submit(finish, Path(environ["PATH_INFO"]))
    start_response("202 Accepted", [("Content-Length", "0")])
    return []


def finish(path: Path) -> None:
    while not path.with_name("go").exists():
        time.sleep(0.01)
    # Work that is left when the stop has begun.
    time.sleep(0.5)
    path.write_text("done")
