"""The `wsgi-server` command: arguments to settings to a supervisor to an exit status.

The command line goes through argparse, so that its help has sections and its errors are
one line; from there on everything is oslo.config, where the files are. What stands on the
command line wins over what stands in a file.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING

from oslo_config import cfg

from . import opts, pools
from ._command import loader
from ._command.arguments import DEFAULT_PORT, PROG, parse
from ._config.settings import Settings
from ._logs import server as server_log
from .errors import ConfigError, ExitStatus, LoadError, ServerError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from ._process.service import Service

LOG = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; `argv` is `sys.argv[1:]` where it is left out.

    Returns the exit status, see `wsgi_server.errors.ExitStatus`. An error is one line on
    stderr; its traceback comes before it with `debug` alone.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return run(parse(arguments))
    except ServerError as exc:
        # The log is set up by then, or the file was never read.
        if "--debug" in arguments or LOG.isEnabledFor(logging.DEBUG):
            traceback.print_exception(exc)
        _complain(exc)
        return exc.exit_status
    except KeyboardInterrupt:  # before the supervisor could take signals over
        return ExitStatus.OK


def run(arguments: argparse.Namespace) -> int:
    """Serves, or checks only, as the parsed `arguments` say; returns the exit status."""
    if arguments.check_config:
        return _check(arguments)
    return _Run(arguments).serve()


def _check(arguments: argparse.Namespace) -> int:
    settings = _settings(_read_files(arguments, server=True))
    if settings.cert_file is not None:
        from ._net.tls import server_context

        server_context(settings)
    loader.load(arguments.app, _read_files(arguments, server=False))
    print(f"{PROG}: the configuration and {arguments.app} are fine")
    return ExitStatus.OK


class _Run:
    """One run of the command: what its generations share."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        #: What went wrong when the application was loaded in this process.
        self._faults: list[ServerError] = []
        self._settings = _settings(_read_files(arguments, server=True))
        #: Those of the generation that goes on if a reload fails.
        self._served = self._settings
        # The log file is one of those that it is meant for.
        os.umask(self._settings.umask)
        server_log.set_up(self._settings.log_file, debug=self._settings.debug)

    def serve(self) -> int:
        """Supervises the workers until they are told to stop."""
        # Imported here, because --help and --check-config need no supervisor.
        from ._process.supervisor import Supervisor

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
        if status:
            # With no workers the application was loaded, or not, in this very process.
            alone = (
                self._faults[-1] if self._faults else "its log says why it cannot start"
            )
            _complain(supervisor.reason or alone)
        return status

    def _configure(self) -> list[Service]:
        """What one generation serves, read anew for each of them."""
        from ._process.service import Service

        self._served = self._settings
        self._adopt(_settings(_read_files(self._arguments, server=True)))
        new = self._settings
        # The application gets the same files in a ConfigOpts of its own: another
        # definition of an option that both know, such as bind_host, is an error there.
        conf = _read_files(self._arguments, server=False)
        return [Service(self._arguments.app, new, lambda: self._load(conf))]

    def _return_to_old(self) -> None:
        try:
            self._adopt(self._served)
        except ConfigError as exc:
            # It was open until now; where it cannot be any more, a log is all there is.
            LOG.error("the log stays where it is: %s", exc)  # noqa: TRY400

    def _adopt(self, settings: Settings) -> None:
        """From now on the log, too, is as `settings` say. Raises `ConfigError`."""
        old, self._settings = self._settings, settings
        if (old.log_file, old.debug) != (settings.log_file, settings.debug):
            server_log.set_up(settings.log_file, debug=settings.debug)

    def _load(self, conf: cfg.ConfigOpts) -> WSGIApplication:
        try:
            return loader.load(self._arguments.app, conf)
        except LoadError as exc:
            self._faults.append(exc)
            # The line says it all; the traceback is for those who debug.
            raise LoadError(str(exc)) from (exc if self._settings.debug else None)


def _complain(reason: object) -> None:
    # Parsers of files and certificates like to write paragraphs.
    print(f"{PROG}: error: {' '.join(str(reason).split())}", file=sys.stderr)


# -- files ------------------------------------------------------------------------------


def _read_files(arguments: argparse.Namespace, *, server: bool) -> cfg.ConfigOpts:
    """A `ConfigOpts` over the configuration files, with the server's options or bare."""
    conf = cfg.ConfigOpts()
    if server:
        opts.register_opts(conf)
    args = [f"--config-file={path}" for path in arguments.config_file]
    args += [f"--config-dir={path}" for path in arguments.config_dir]
    try:
        conf(args, prog=PROG, default_config_files=[], default_config_dirs=[])
    except cfg.ConfigFilesNotFoundError as exc:
        raise ConfigError(f"no such file: {', '.join(exc.config_files)}") from exc
    except cfg.ConfigFilesPermissionDeniedError as exc:
        raise ConfigError(f"not readable: {', '.join(exc.config_files)}") from exc
    except cfg.ConfigDirNotFoundError as exc:
        raise ConfigError(f"no such directory: {exc.config_dir}") from exc
    except (cfg.Error, UnicodeDecodeError, OSError) as exc:
        files = ", ".join([*arguments.config_file, *arguments.config_dir])
        raise ConfigError(f"configuration ({files}): {exc}") from exc
    if server:
        given = {opt.dest: getattr(arguments, opt.dest) for opt in opts.CLI_OPTS}
        if given["bind_host"] is not None or given["bind_port"] is not None:
            # They count where there is no bind, and arguments win over that of a file.
            given["bind"] = given["bind"] or []
        for name, value in given.items():
            if value is not None:
                conf.set_override(name, value)
    return conf


def _settings(conf: cfg.ConfigOpts) -> Settings:
    return Settings.from_conf(conf, default_port=DEFAULT_PORT)


# -- arguments --------------------------------------------------------------------------
