"""`apps.exercise:app` in an engine that fails while the file that `FAULT` names exists.

The file has the name of what fails: `accept` or `collect`. Each failure adds a byte to the
file that `FAILURES` names.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wsgi_server._engines.acceptor import Acceptor
from wsgi_server._engines.loop import Loop

from .exercise import app

__all__ = ["app"]

FAULT = Path(os.environ["FAULT"])
FAILURES = os.open(
    os.environ["FAILURES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600
)


def failing(what: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        if FAULT.exists() and FAULT.read_text() == what:
            os.write(FAILURES, b"!")
            raise RuntimeError(f"a fault in {what}")
        return original(*args)

    return call


Acceptor.accept = failing("accept", Acceptor.accept)  # type: ignore[method-assign]
Loop._collect = failing("collect", Loop._collect)  # type: ignore[method-assign]
