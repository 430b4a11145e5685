"""oslo.config read again, and put back when that leads nowhere.

It touches the inside of a `ConfigOpts`: the library can read its files again but not return
to what it had.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from oslo_config import cfg

from wsgi_server.errors import ConfigError

from .values import root


class Reading:
    """The values of `conf` before its files are read again.

    `conf` is a `ConfigOpts`, one of its groups, or anything else that reads `cfg.CONF`.
    `stash` holds some of them.
    """

    def __init__(self, conf: Any, stash: Mapping[str, Any]) -> None:
        self.stash = stash
        self._root = root(conf)
        self._namespace = self._root._namespace

    def renew(self) -> None:
        """Reads the files again. Raises `ConfigError`, with everything as it was."""
        if self._namespace is None:
            return  # never parsed: the program sets its options by itself
        why = _Why()
        log = logging.getLogger(cfg.__name__)
        log.addFilter(why)
        try:
            read = self._root.reload_config_files()
        finally:
            log.removeFilter(why)
        if not read:
            raise ConfigError(why.text or "the configuration files cannot be read")

    def restore(self) -> None:
        """Puts the values back that there were."""
        self._root._namespace = self._namespace
        # Any change of an override forgets the values that were read; this one was not
        # overridden.
        self._root.clear_override("config_source")


class _Why(logging.Filter):
    """Takes the reason of a failed reload out of the log, where the library leaves it."""

    text = ""

    def filter(self, record: logging.LogRecord) -> bool:
        self.text = record.getMessage().rpartition("files: ")[2]
        return False
