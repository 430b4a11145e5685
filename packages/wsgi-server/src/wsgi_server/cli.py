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

from ._command.arguments import SUBCOMMANDS, complain, parse, split
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
        if "--debug" in split(arguments)[0] or LOG.isEnabledFor(logging.DEBUG):
            traceback.print_exception(exc)
        complain(exc)
        return exc.exit_status
    except KeyboardInterrupt:  # before the supervisor could take signals over
        return ExitStatus.OK


def run(arguments: argparse.Namespace) -> int:
    """Serves, or checks only, as the parsed `arguments` say; returns the exit status."""
    if arguments.check_config:
        from ._command.check import check

        return check(arguments)
    # Imported here, because --help and --check-config need no supervisor.
    from ._command.run import Run

    status, reason = Run(arguments).serve()
    if status:
        complain(reason)
    return status
