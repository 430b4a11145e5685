"""The `wsgi-server` command: arguments to settings to a supervisor to an exit status.

The command line goes through argparse, so that its help has sections and its errors are
one line; from there on everything is oslo.config, where the files are. What stands on the
command line wins over what stands in a file.
"""

from __future__ import annotations

import argparse
import logging
import sys
import traceback
from collections.abc import Sequence

from ._command import configuration, loader
from ._command.arguments import PROG, SUBCOMMANDS, parse
from .errors import ExitStatus, ServerError

LOG = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; `argv` is `sys.argv[1:]` where it is left out.

    Returns the exit status, see `wsgi_server.errors.ExitStatus`. An error is one line on
    stderr; its traceback comes before it with `debug` alone.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] in SUBCOMMANDS:
        from ._command import control

        return control.main(arguments)
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
    # Imported here, because --help and --check-config need no supervisor.
    from ._command.run import Run

    status, reason = Run(arguments).serve()
    if status:
        _complain(reason)
    return status


def _check(arguments: argparse.Namespace) -> int:
    from ._process.checks import examine
    from ._process.service import Service

    read = configuration.read(arguments)
    app = arguments.app
    service = Service(app, read.settings, lambda: loader.load(app, read.conf))
    untried = list(examine(service))
    print(f"{PROG}: the configuration and {app} are fine")
    for what in untried:
        print(f"{PROG}: not tried: {what}")
    return ExitStatus.OK


def _complain(reason: object) -> None:
    # Parsers of files and certificates like to write paragraphs.
    print(f"{PROG}: error: {' '.join(str(reason).split())}", file=sys.stderr)
