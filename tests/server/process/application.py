"""The application of the process tests; copied beside each test's configuration."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

VERSION = "one"


def wait(seconds: float) -> None:
    """Waits as the engine's applications do: green where eventlet runs them."""
    if "eventlet" in sys.modules:
        import eventlet

        eventlet.sleep(seconds)
    else:
        time.sleep(seconds)


def hold(seconds: float) -> None:
    """Keeps the thread, whoever has patched `time`."""
    eventlet = sys.modules.get("eventlet")
    (time if eventlet is None else eventlet.patcher.original("time")).sleep(seconds)


def app(environ: dict[str, Any], start_response: Callable[..., object]) -> list[bytes]:
    path = environ["PATH_INFO"]
    query = parse_qs(environ["QUERY_STRING"])
    seconds = float(query.get("s", ["0"])[0])
    if "file" in query:
        # Leaves a trace first, so that a test knows that the request runs.
        with open(query["file"][0], "w") as file:
            file.write("begun")
    if path in ("/slow", "/begin"):
        wait(seconds)
        while "gate" in query and not os.path.exists(query["gate"][0]):
            wait(0.01)
    elif path == "/stuck":
        hold(seconds)
    elif path == "/spin":
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pass
    elif path == "/die":
        os.kill(os.getpid(), int(query["signal"][0]))
    elif path == "/eat":
        environ["wsgi.errors"].write("eating\n")
        globals()["kept"] = bytearray(int(query["bytes"][0]))
    body = environ["wsgi.input"]
    digest = hashlib.sha256()
    while chunk := body.read(65536):
        digest.update(chunk)
        if seconds:
            wait(0)
    stat = os.stat("/proc/self")
    answer = {
        "version": VERSION,
        "pid": os.getpid(),
        "uid": stat.st_uid,
        "gid": stat.st_gid,
        "digest": digest.hexdigest(),
        "worker": environ["wsgi_server.worker"],
        "scheme": environ["wsgi.url_scheme"],
        "client": environ.get("SSL_CLIENT_S_DN"),
        "umask": umask(),
        "frozen": gc.get_freeze_count(),
    }
    data = json.dumps(answer).encode()
    start_response(
        "200 OK",
        [("Content-Type", "application/json"), ("Content-Length", str(len(data)))],
    )
    return [data]


def umask() -> str:
    with open("/proc/self/status") as file:
        return next(line.split()[1] for line in file if line.startswith("Umask:"))
