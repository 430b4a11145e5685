"""What a service's configuration says about its socket and its workers, by function.

The servers need none of these. They are for programs that listen by themselves and want the
options of a service to mean the same. `conf` is a `ConfigOpts` or one of its groups, and
`cfg.CONF` where it is left out; options that the service has not registered are looked up
in the section `[wsgi_server]` of its files.
"""

from __future__ import annotations

from typing import Any

from wsgi_server import opts

from .settings import default_workers
from .values import Values


def get_bind_addr(
    conf: Any = None, default_port: int | None = None
) -> tuple[str, int | None]:
    """Returns host and port to bind to; `default_port` where `bind_port` has no value.

    Raises `ConfigError` for a value that does not fit its option.
    """
    host: str = option(conf, "bind_host")
    port: int | None = option(conf, "bind_port")
    return host, default_port if port is None else port


def get_num_workers(conf: Any = None) -> int:
    """Returns the worker processes that are configured: one per CPU, at most 8, by default.

    0 means one process that does not fork. Raises `ConfigError` for a value that does
    not fit its option.
    """
    workers: int | None = option(conf, "workers")
    return default_workers() if workers is None else workers


def option(conf: Any, name: str) -> Any:
    """Returns the value of an option of ours. Raises `ConfigError` for a bad one."""
    wanted = opts.BY_NAME[name]
    return wanted.meaning(Values(conf)[wanted])


def own_request_log(conf: Any, logger: Any, form: str | None) -> dict[str, Any]:
    """Settings of a program that has the lines of requests in its own log.

    Empty without a `logger`, or where the operator has set `access_log`. `form` counts
    where `access_log_format` is not set.
    """
    values = Values(conf)
    if logger is None or values.is_set(opts.BY_NAME["access_log"]):
        return {}
    if form is None or values.is_set(opts.BY_NAME["access_log_format"]):
        return {"access_logger": logger}
    return {"access_logger": logger, "access_log_format": form}
