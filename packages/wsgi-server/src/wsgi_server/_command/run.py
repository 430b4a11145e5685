"""One run of the command: what its generations share."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from wsgi_server import pools
from wsgi_server._logs import server as server_log
from wsgi_server._process.service import Service
from wsgi_server._process.supervisor import Supervisor
from wsgi_server.errors import ConfigError

from . import configuration, loader

if TYPE_CHECKING:
    import argparse

    from wsgi_server._config.settings import Settings
    from wsgi_server.errors import ExitStatus

    from .application import Application

LOG = logging.getLogger(__name__)


class Run:
    """Serves what the parsed `arguments` say. Raises `ConfigError`."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        #: What the first generation is made of.
        self._first: list[Application] | None = configuration.read(arguments)
        #: Those of the first application; what is one for all, it has as well as any.
        self._settings = self._first[0].settings
        #: Those of the generation that goes on if a reload fails.
        self._served = self._settings
        # The log file is one of those that it is meant for.
        os.umask(self._settings.umask)
        server_log.set_up(self._settings.log_file, debug=self._settings.debug)

    def serve(self) -> tuple[ExitStatus, object]:
        """Supervises the workers until they are told to stop; the status, and why."""
        supervisor = Supervisor(
            self._configure,
            before_exit=pools.wait_all_pools,
            on_failed_reload=self._return_to_old,
            # Whoever starts a command by hand wants to know at once.
            bind_retry=0.0,
            quiet_start=True,
        )
        supervisor.start()
        status = supervisor.wait()
        return status, supervisor.reason

    def _configure(self) -> list[Service]:
        """Returns what one generation serves, read anew for each but the first."""
        read, self._first = self._first, None
        if read is None:
            read = configuration.read(self._arguments)
        self._served = self._settings
        self._adopt(read[0].settings)
        loader.look_up()
        return [Service(app.name, app.settings, app.load, app.around) for app in read]

    def _return_to_old(self) -> None:
        try:
            self._adopt(self._served)
        except ConfigError as exc:
            # It was open until now; where it cannot be any more, a log is all there is.
            LOG.error("the log stays where it is: %s", exc)  # noqa: TRY400

    def _adopt(self, settings: Settings) -> None:
        """Makes the log as `settings` say, from now on. Raises `ConfigError`."""
        old, self._settings = self._settings, settings
        if (old.log_file, old.debug) != (settings.log_file, settings.debug):
            server_log.set_up(settings.log_file, debug=settings.debug)
