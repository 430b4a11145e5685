"""A service as those of the seeds are: options, a configuration file, a server object.

`python -m apps.service [--config-file F]` starts and waits. `SERVICE_SERVER` in the
environment names another class than `wsgi_server.Server`, `SERVICE_WAITS_BY` another
method than `wait`.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

import wsgi_server
from oslo_config import cfg

CONF = cfg.CONF
#: The options that a service of the seeds has, and no more.
OPTIONS = [
    cfg.HostAddressOpt("bind_host", default="127.0.0.1"),
    cfg.PortOpt("bind_port"),
    cfg.IntOpt("backlog", default=4096, min=1),
    cfg.IntOpt("tcp_keepidle", default=600, min=1),
    cfg.IntOpt("workers", min=0, default=1),
    cfg.IntOpt("max_header_line", default=16384),
    cfg.StrOpt("greeting", default="hello"),
]


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Says `greeting` and the process that does."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{CONF.greeting} {os.getpid()}".encode()]


def main() -> int:
    logging.basicConfig(level=logging.DEBUG)
    CONF.register_opts(OPTIONS)
    CONF(sys.argv[1:], project="service", default_config_files=[])
    home, _, name = os.environ.get("SERVICE_SERVER", "wsgi_server:Server").partition(
        ":"
    )
    server: wsgi_server.BaseServer = getattr(importlib.import_module(home), name)(17)
    server.start(app, default_port=0)
    status = getattr(server, os.environ.get("SERVICE_WAITS_BY", "wait"))()
    return int(status or 0)


if __name__ == "__main__":
    sys.exit(main())
