"""A program of Glance's kind on the drop-in, as `glance-api` starts it."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

from wsgi_stack import glance


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Says which process answers."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"glanced {os.getpid()}".encode()]


def main() -> int:
    logging.basicConfig(level=logging.INFO)
    glance.CONF(sys.argv[1:], project="glanced", default_config_files=[])
    server = glance.Server()
    server.start(app, default_port=0)
    return int(server.wait() or 0)


if __name__ == "__main__":
    sys.exit(main())
