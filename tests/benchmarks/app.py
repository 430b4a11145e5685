"""The application that every server of the benchmark serves.

`NAP` in the environment chooses how an application waits: `eventlet`, `gevent` or plain `time`.
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable, Iterable
from typing import Any

HELLO = json.dumps(
    {"id": "71c675ab-d94f-49cd-a114-e12490b328d9", "status": "active"}
).encode()
PART = b"x" * 65536
BLOCK = PART * 16
JSON = ("Content-Type", "application/json")

nap: Callable[[float], object] = importlib.import_module(
    os.environ.get("NAP", "time")
).sleep


def application(
    environ: dict[str, Any], start_response: Callable[..., object]
) -> Iterable[bytes]:
    """A small document, but for a few paths.

    `/echo` gives the body back, `/nap` and `/slow` wait, `/stream` has 1 MiB in parts,
    `/kib/N` N KiB in one, `/sum` counts.
    """
    path = environ["PATH_INFO"]
    body = HELLO
    if path == "/echo":
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length)
    elif path == "/nap":
        nap(0.010)
    elif path == "/slow":
        nap(0.100)
    elif path == "/stream":
        start_response("200 OK", [("Content-Type", "application/octet-stream")])
        return (PART for _ in range(16))
    elif path.startswith("/kib/"):
        body = BLOCK[: int(path[5:]) << 10]
    elif path == "/sum":
        total = 0
        while part := environ["wsgi.input"].read(65536):
            total += len(part)
        body = str(total).encode()
    start_response("200 OK", [JSON, ("Content-Length", str(len(body)))])
    return [body]
