"""The command line: argparse, so that its help has sections and its errors are one line."""

from __future__ import annotations

import argparse
import platform
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn

from oslo_config import cfg

from wsgi_server import __version__, _options, opts
from wsgi_server._config.values import SECTION
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

#: What names an application: a label of metrics, and a part of a section.
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]+")

_DESCRIPTION: Final = """\
Serves a WSGI application from pre-forked worker processes.

APP is module:callable, module:factory() or, with wsgi-paste installed,
config:api-paste.ini#main. What stands behind -- are the arguments of the application:
it finds them in sys.argv, and in the place of the command's name that of its service.
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
    ours, theirs = split(argv)
    arguments, unknown = parser.parse_known_args(ours)
    options = [word for word in unknown if word.startswith("-")]
    if options:
        name = options[0].partition("=")[0]
        near = did_you_mean(name, parser._option_string_actions)
        parser.error(f"there is no option {name}{near}")
    if unknown:
        parser.error(f"one application, please: {unknown[0]!r} is one too many")
    _check_applications(parser, arguments)
    if theirs is not None:
        if len(arguments.apps) > 1:
            parser.error(
                "arguments behind -- are those of one application; with several set "
                "app_args in the section of each"
            )
        arguments.app_args = shlex.join(theirs)
    return arguments


def split(argv: Sequence[str]) -> tuple[Sequence[str], Sequence[str] | None]:
    """Returns the server's arguments, and those of the application; None without `--`."""
    if "--" not in argv:
        return argv, None
    end = argv.index("--")
    return argv[:end], argv[end + 1 :]


def _check_applications(parser: _Parser, arguments: argparse.Namespace) -> None:
    """Makes `arguments.apps` what `--app` names: URIs by their names, or nothing."""
    named: Sequence[tuple[str, str]] = arguments.apps
    if arguments.app is None and not named:
        parser.error("name an application, such as module:callable")
    if arguments.app is not None and named:
        parser.error(f"{arguments.app!r} beside --app: give each of several a name")
    names = [name for name, _ in named]
    for name in names:
        if names.count(name) > 1:
            parser.error(f"--app {name}: the name is given to more than one")
    arguments.apps = dict(named)


def _named_application(text: str) -> tuple[str, str]:
    name, _, uri = text.partition("=")
    if not _NAME.fullmatch(name) or not uri:
        raise argparse.ArgumentTypeError(
            f"{text!r}: write NAME=URI, such as heat_api=heat.wsgi.api:application; a "
            "name has letters, digits, '_', '-' and '.'"
        )
    return name, uri


def _parser() -> _Parser:
    parser = _Parser(
        PROG,
        usage=f"{PROG} APP [--config-file FILE] [options] [-- ARGUMENTS]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        add_help=False,
    )
    parser.add_argument("app", metavar="APP", nargs="?", help=argparse.SUPPRESS)
    general = parser.add_argument_group("general")
    general.add_argument(
        "--app",
        dest="apps",
        metavar="NAME=URI",
        action="append",
        default=[],
        type=_named_application,
        help="an application by a name of its own, in the place of APP; may be given "
        f"several times. What it does not share with the others stands in the section "
        f"[{SECTION}:NAME]",
    )
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
            if _options.COMMON in option.traits:
                _add(section, option)
    return parser


def _add(section: argparse._ArgumentGroup, option: _options.Option) -> None:
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


def _converter(option: _options.Option) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        try:
            return option.parse(text)
        except ValueError as exc:
            raise argparse.ArgumentTypeError(f"{text!r}: {exc}") from exc

    return convert


def _version() -> str:
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{PROG} {__version__} ({python})"


def complain(reason: object) -> None:
    """Says in one line on stderr what is wrong."""
    # Parsers of files and certificates like to write paragraphs.
    print(f"{PROG}: error: {' '.join(str(reason).split())}", file=sys.stderr)
