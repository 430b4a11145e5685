"""`apps.service`, whose parent reloads when a client asks a worker for `/reload`.

A worker asks by touching a file that the parent looks at; a program would have its own way.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import wsgi_server
from apps import service

ASKED = Path("reload-please")


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/reload":
        ASKED.touch()
    return service.app(environ, start_response)


def watch(server: wsgi_server.BaseServer) -> None:
    while True:
        if ASKED.exists():
            ASKED.unlink()
            server.hup()
        time.sleep(0.01)


def main() -> int:
    logging.basicConfig(level=logging.DEBUG)
    service.CONF.register_opts(service.OPTIONS)
    service.CONF(sys.argv[1:], project="service", default_config_files=[])
    server = wsgi_server.Server(17)
    server.start(app, default_port=0)
    threading.Thread(target=watch, args=(server,), daemon=True).start()
    return int(server.wait())


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
