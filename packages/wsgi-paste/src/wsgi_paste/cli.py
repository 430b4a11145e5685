"""The ``wsgi-paste`` command: look at a PasteDeploy file without starting a service.

Exit statuses are in ``ExitStatus``. Nothing is created: factories are imported, which
finds misspelt names, but not called.
"""

from __future__ import annotations

import argparse
import enum
import os
import sys
from collections.abc import Sequence
from typing import TextIO

from . import __version__
from ._outline import Outline
from .errors import LoadError


class ExitStatus(enum.IntEnum):
    """The exit statuses of the ``wsgi-paste`` command."""

    OK = 0
    #: The file has faults, or lacks what was asked for.
    FAULTY = 1
    #: The command line does not parse.
    USAGE = 2
    #: The file cannot be read, or is no ini file.
    UNREADABLE = 3


_EPILOG = """\
exit statuses:
  0  all is well
  1  the file has faults; each stands on a line of stderr: file: [section] key: problem
  2  the command line is wrong
  3  the file cannot be read, or is no ini file

examples:
  wsgi-paste check /etc/glance/glance-api-paste.ini
  wsgi-paste draw api-paste.ini main
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command with ``argv``, else ``sys.argv``; returns the exit status.

    Raises ``SystemExit`` where argparse does: --help, --version, a wrong command line.
    """
    arguments = _parser().parse_args(argv)
    try:
        status = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (head, less) has seen enough. Python would complain about the pipe
        # once more while it exits, unless stdout leads elsewhere by then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitStatus.OK
    return status


def _run(arguments: argparse.Namespace) -> int:
    try:
        outline = Outline(arguments.file)
    except LoadError as exc:
        return _complain([exc], ExitStatus.UNREADABLE)
    if arguments.command == "check":
        return _check(outline, imports=not arguments.no_import)
    if arguments.command == "list":
        return _list(outline, sys.stdout)
    return _draw(outline, arguments.name, sys.stdout)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="wsgi-paste",
        description="Checks, lists and draws the pipelines of a PasteDeploy ini file.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--version", action="version", version=f"wsgi-paste {__version__}"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    check = commands.add_parser(
        "check",
        help="find what would keep the file from loading",
        description="Resolves every section of FILE and imports every factory it names, "
        "without creating anything. Modules are looked for in the current directory "
        "too. Prints all faults, not the first only.",
    )
    check.add_argument("file", metavar="FILE")
    check.add_argument(
        "--no-import",
        action="store_true",
        help="look at the file alone, where the service is not installed",
    )

    listing = commands.add_parser(
        "list",
        help="one line for each section: kind, name, what it uses",
        description="Prints kind, name and factory of every section, aligned.",
    )
    listing.add_argument("file", metavar="FILE")

    draw = commands.add_parser(
        "draw",
        help="the tree that a request passes through",
        description="Prints filters in the order in which a request meets them, down to "
        "the application. Settings of a composite that name sections are taken for its "
        "branches.",
    )
    draw.add_argument("file", metavar="FILE")
    draw.add_argument(
        "name",
        metavar="NAME",
        nargs="?",
        help="the application to start from; without it, all that no other one uses",
    )
    return parser


def _check(outline: Outline, *, imports: bool) -> int:
    if imports:
        # As `python -m` does: a service is often checked from its own directory.
        sys.path.insert(0, os.getcwd())
    faults = outline.faults(imports=imports)
    if faults:
        return _complain(faults, ExitStatus.FAULTY)
    count = len(outline.sections)
    print(f"{outline.path}: {count} section{'' if count == 1 else 's'}, no fault")
    return ExitStatus.OK


def _list(outline: Outline, out: TextIO) -> int:
    rows = [(each.kind, each.name, each.made_by) for each in outline.sections.values()]
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    for kind, name, uses in rows:
        out.write(f"{kind:<{widths[0]}}  {name:<{widths[1]}}  {uses}".rstrip() + "\n")
    return ExitStatus.OK


def _draw(outline: Outline, name: str | None, out: TextIO) -> int:
    try:
        roots = outline.roots() if name is None else [outline.application(name)]
    except LoadError as exc:
        return _complain([exc], ExitStatus.FAULTY)
    out.writelines(f"{line}\n" for line in outline.tree(roots))
    return ExitStatus.OK


def _complain(faults: Sequence[Exception], status: ExitStatus) -> int:
    for fault in faults:
        print(fault, file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
