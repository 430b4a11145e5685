"""The `wsgi-server` command: arguments to settings to a supervisor to an exit status.

The command line goes through argparse, so that its help has sections and its errors are
one line; from there on everything is oslo.config, where the files are. What stands on the
command line wins over what stands in a file.
"""

from __future__ import annotations

import argparse
import difflib
import logging
import os
import platform
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NoReturn

from oslo_config import cfg

from . import __version__, _loader, _log, opts, pools
from ._settings import Settings
from .errors import ConfigError, ExitStatus, LoadError, ServerError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from ._generation import Service

LOG = logging.getLogger(__name__)

PROG: Final = "wsgi-server"
DEFAULT_PORT: Final = 8080

_DESCRIPTION: Final = """\
Serves a WSGI application from pre-forked worker processes.

APP is module:callable, module:factory() or, with wsgi-paste installed,
config:api-paste.ini#main.
"""

_EPILOG: Final = """\
Every option can stand in a configuration file, with underscores, and many more can:
`oslo-config-generator --namespace wsgi_server` writes a sample with all of them.

signals:
  HUP        reload configuration, certificates and application; no request is lost,
             and whatever fails leaves everything as it was
  TERM       finish the requests in flight, then stop
  INT, QUIT  stop now
  USR1       reopen the log files
  USR2       start a new server on the same sockets; it replaces this one once it answers
  TTIN, TTOU one worker more, one worker less

exit statuses:
  0 stopped as asked        1 unforeseen fault       2 wrong command line
  3 workers never ready     4 application not loaded 5 wrong configuration
  6 address not available
"""

#: Sections of the help, in the order of a reader's questions.
_SECTIONS: Final[Sequence[tuple[str, Sequence[cfg.Opt]]]] = (
    ("where to listen", opts.BIND_OPTS),
    ("TLS", opts.TLS_OPTS),
    ("processes", opts.PROCESS_OPTS),
    ("workers that go", opts.SUPERVISION_OPTS),
    ("requests", opts.HTTP_OPTS),
    ("logs", opts.LOG_OPTS),
)


class UsageError(ServerError):
    """The command line does not parse."""

    exit_status = ExitStatus.USAGE


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
        from ._tls import server_context

        server_context(settings)
    _loader.load(arguments.app, _read_files(arguments, server=False))
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
        _log.set_up(self._settings.log_file, debug=self._settings.debug)

    def serve(self) -> int:
        """Supervises the workers until they are told to stop."""
        # Imported here, because --help and --check-config need no supervisor.
        from ._supervisor import Supervisor

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
        from ._generation import Service

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
            _log.set_up(settings.log_file, debug=settings.debug)

    def _load(self, conf: cfg.ConfigOpts) -> WSGIApplication:
        try:
            return _loader.load(self._arguments.app, conf)
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


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {PROG} --help)")


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments by the names of their options; None for those not given.

    Raises `UsageError`; leaves by `SystemExit` after `--help` and `--version`.
    """
    parser = _parser()
    arguments, unknown = parser.parse_known_args(argv)
    options = [word for word in unknown if word.startswith("-")]
    if options:
        name = options[0].partition("=")[0]
        near = difflib.get_close_matches(name, parser._option_string_actions, n=1)
        parser.error(
            f"there is no option {name}"
            + (f"; did you mean {near[0]}?" if near else "")
        )
    if unknown:
        parser.error(f"one application, please: {unknown[0]!r} is one too many")
    if arguments.app is None:
        parser.error("name an application, such as module:callable")
    return arguments


def _parser() -> _Parser:
    parser = _Parser(
        PROG,
        usage=f"{PROG} APP [--config-file FILE] [options]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        add_help=False,
    )
    parser.add_argument("app", metavar="APP", nargs="?", help=argparse.SUPPRESS)
    general = parser.add_argument_group("general")
    for name, what in (("file", "FILE"), ("dir", "DIR")):
        general.add_argument(
            f"--config-{name}",
            metavar=what,
            action="append",
            default=[],
            type=os.path.abspath,
            help="oslo.config file; may be given several times, the last one wins"
            if name == "file"
            else "directory whose *.conf files are read after the others",
        )
    general.add_argument(
        "--check-config",
        action="store_true",
        help="load the configuration and the application, say what is wrong, do not "
        "serve",
    )
    general.add_argument("--version", action="version", version=_version())
    general.add_argument("-h", "--help", action="help", help="show this and stop")
    for title, options in _SECTIONS:
        section = parser.add_argument_group(title)
        for opt in options:
            if opt in opts.CLI_OPTS:
                _add(section, opt)
    return parser


def _add(section: argparse._ArgumentGroup, opt: cfg.Opt) -> None:
    keywords: dict[str, Any] = {"dest": opt.dest, "help": _help(opt)}
    if isinstance(opt, cfg.BoolOpt):
        keywords["action"] = argparse.BooleanOptionalAction
    else:
        keywords["type"] = _converter(opt)
        keywords["metavar"] = _metavar(opt)
        if isinstance(opt, cfg.MultiStrOpt):
            keywords["action"] = "append"
    section.add_argument(f"--{opt.name}", **keywords)


def _help(opt: cfg.Opt) -> str:
    text = (opt.help or "").rstrip(".")
    if opt.default not in (None, [], False):
        text += f" (default: {'on' if opt.default is True else opt.default})"
    return text.replace("%", "%%")


def _metavar(opt: cfg.Opt) -> str:
    kinds = {
        cfg.IntOpt: "N",
        cfg.PortOpt: "PORT",
        cfg.FloatOpt: "SECONDS",
        cfg.HostAddressOpt: "HOST",
        cfg.MultiStrOpt: "ADDRESS",
        cfg.ListOpt: "LIST",
    }
    if type(opt) in kinds:
        return kinds[type(opt)]
    choices = getattr(opt.type, "choices", None)
    if choices:
        return "|".join(choices)
    return "FILE" if opt.name.endswith(("file", "log")) else "TEXT"


def _converter(opt: cfg.Opt) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        try:
            return opt.type(text)
        except ValueError as exc:
            raise argparse.ArgumentTypeError(f"{text!r}: {exc}") from exc

    return convert


def _version() -> str:
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{PROG} {__version__} ({python})"
