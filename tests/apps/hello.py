"""The smallest useful application, in the forms that a URI can name."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
#: What the arguments of the process looked like while this module was imported.
ARGUMENTS = sys.argv[1:]


def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answers with the path; `/pid` with the process that answers."""
    path = environ["PATH_INFO"]
    body = str(os.getpid()) if path == "/pid" else f"hello from {path}"
    start_response(
        "200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
    )
    return [body.encode()]


def make_app(
    greeting: str = "made", *, times: int = 1
) -> Callable[..., Iterable[bytes]]:
    """A factory: the application that it makes answers with `greeting`."""

    def made(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [greeting.encode()] * times

    return made


namespace = SimpleNamespace(inner=SimpleNamespace(app=app))
number = 42
