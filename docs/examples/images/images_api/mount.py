"""What api-paste.ini needs beside the API: mounting by prefix, and the health check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oslo_middleware import Healthcheck
from wsgi_api import APIMapper, Router

if TYPE_CHECKING:
    from oslo_config import cfg


def by_prefix(loader: Any, global_conf: dict[str, str], **mounts: str) -> Router:
    """The `paste.composite_factory` protocol: `prefix = name of application`.

    A prefix covers its path and everything below it; the longest one counts.
    """
    mapper = APIMapper()
    for prefix in sorted(mounts, key=len, reverse=True):
        app = loader.get_app(mounts[prefix], global_conf=global_conf)
        path = prefix.rstrip("/")
        mapper.connect(path + "/{path_info:.*}", controller=app)
        if path:
            mapper.connect(path, controller=app, path_info="")
    return Router(mapper, error_format="json")


def healthcheck(conf: cfg.ConfigOpts, **settings: str) -> Healthcheck:
    """The health check, configured by the group `[healthcheck]` of `conf`."""
    return Healthcheck(None, conf)
