"""A service with image stores, as Glance is one: `python -m apps.stored --config-file F`.

Every answer names the process, the stores, and how often the prefetcher has run and where.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import glance_store
import wsgi_server
from oslo_config import cfg

CONF = cfg.CONF
OPTIONS = [
    cfg.HostAddressOpt("bind_host", default="127.0.0.1"),
    cfg.PortOpt("bind_port", default=0),
    cfg.IntOpt("workers", default=2),
    cfg.DictOpt("enabled_backends", default={}),
    cfg.FloatOpt("cache_prefetcher_interval", default=0.05),
    cfg.StrOpt("diary", default=""),
]


def prefetch() -> None:
    """Notes where it runs, and fails every other time."""
    diary = Path(CONF.diary)
    with diary.open("a") as file:
        file.write(f"{os.getpid()}\n")
    if diary.stat().st_size // 2 % 2:
        raise RuntimeError("a run that fails")


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Where images are stored, according to the library itself."""
    if CONF.enabled_backends:
        store = glance_store.get_store_from_store_identifier("images")
    else:
        store = glance_store.get_store_from_scheme("file")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [store.datadir.encode()]


def main() -> int:
    logging.basicConfig(level=logging.INFO)
    CONF.register_opts(OPTIONS)
    CONF(sys.argv[1:], project="stored", default_config_files=[])
    server = wsgi_server.Server(
        initialize_glance_store=True, initialize_prefetcher=bool(CONF.diary)
    )
    server.prefetcher = prefetch
    server.start(app, default_port=0)
    return int(server.wait())


if __name__ == "__main__":
    sys.exit(main())
