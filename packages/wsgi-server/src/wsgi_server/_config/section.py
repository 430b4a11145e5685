"""The server's options beside those of a service.

A service registers the options that it wants to have on its own `ConfigOpts`; it may own
names that ours would clash with. All others can stand in a section of ours in the same
files: its operators set them there, and the service never hears of them.
"""

from __future__ import annotations

import functools
from typing import Any, Final

from oslo_config import cfg

from wsgi_server import opts
from wsgi_server.errors import ConfigError

#: The section's name.
SECTION: Final = "wsgi_server"


class Section:
    """Every option of ours in the section of the files that `conf` was read from.

    `conf` is a `ConfigOpts`, one of its groups, or anything else that reads `cfg.CONF`.
    The files are read when the first option is asked for, with a `ConfigOpts` apart.
    """

    def __init__(self, conf: Any) -> None:
        self._conf = conf

    def __getattr__(self, name: str) -> Any:
        return getattr(self._values, name)

    @functools.cached_property
    def _values(self) -> Any:
        service = root(self._conf)
        conf = cfg.ConfigOpts()
        opts.register_opts(conf, group=SECTION)
        try:
            conf(
                [],
                default_config_files=_parsed(service, "config_file"),
                default_config_dirs=_parsed(service, "config_dir"),
            )
        # The service has read them before: they have changed since.
        except (cfg.Error, UnicodeDecodeError, OSError) as exc:
            raise ConfigError(f"section [{SECTION}]: {exc}") from exc
        return conf[SECTION]


def root(conf: Any) -> Any:
    """The `ConfigOpts` behind `conf`: itself, that of a group, or else `cfg.CONF`."""
    if isinstance(conf, cfg.ConfigOpts):
        return conf
    owner = getattr(conf, "_conf", None)
    return owner if isinstance(owner, cfg.ConfigOpts) else cfg.CONF


def _parsed(service: cfg.ConfigOpts, name: str) -> list[str]:
    """The files or directories that were read; none before the service has parsed."""
    try:
        return list(service[name] or [])
    except cfg.NoSuchOptError:
        return []
