"""The command line: argparse, so that its help has sections and its errors are one line."""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn

from oslo_config import cfg

from wsgi_server import __version__, opts
from wsgi_server._system import directory
from wsgi_server.errors import ExitStatus, ServerError

from .spelling import did_you_mean

PROG: Final = "wsgi-server"
DEFAULT_PORT: Final = 8080

#: What may stand in the place of an application, whose URI always has a colon.
SUBCOMMANDS: Final = (
    *("status", "top", "workers", "stacks", "config", "reload", "scale", "restart"),
    *("log-level", "drain", "undrain", "stop", "reopen-logs", "upgrade", "events"),
)

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


class UsageError(ServerError):
    """The command line does not parse."""

    exit_status = ExitStatus.USAGE


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {PROG} --help)")


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Returns the arguments by the names of their options; those not given are not there.

    Raises `UsageError`; leaves by `SystemExit` after `--help` and `--version`.
    """
    parser = _parser()
    arguments, unknown = parser.parse_known_args(argv)
    options = [word for word in unknown if word.startswith("-")]
    if options:
        name = options[0].partition("=")[0]
        near = did_you_mean(name, parser._option_string_actions)
        parser.error(f"there is no option {name}{near}")
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
            type=directory.absolute,
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
    for title, options in opts.OPTIONS.items():
        section = parser.add_argument_group(title)
        for option in options:
            if opts.COMMON in option.traits:
                _add(section, option)
    return parser


def _add(section: argparse._ArgumentGroup, option: opts.Option) -> None:
    keywords: dict[str, Any] = {
        "dest": option.name,
        "default": argparse.SUPPRESS,
        "help": _help(option.opt),
    }
    if isinstance(option.opt, cfg.BoolOpt):
        keywords["action"] = argparse.BooleanOptionalAction
    else:
        keywords["type"] = _converter(option)
        keywords["metavar"] = option.metavar
        if option.opt.multi:
            keywords["action"] = "append"
    section.add_argument(f"--{option.opt.name}", **keywords)


def _help(opt: cfg.Opt) -> str:
    text = (opt.help or "").rstrip(".")
    if opt.default not in (None, [], False):
        text += f" (default: {'on' if opt.default is True else opt.default})"
    return text.replace("%", "%%")


def _converter(option: opts.Option) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        try:
            return option.parse(text)
        except ValueError as exc:
            raise argparse.ArgumentTypeError(f"{text!r}: {exc}") from exc

    return convert


def _version() -> str:
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{PROG} {__version__} ({python})"
