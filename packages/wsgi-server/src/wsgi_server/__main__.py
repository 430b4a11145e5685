"""`python -m wsgi_server` is the `wsgi-server` command, and where that begins."""

from __future__ import annotations

import sys

from .errors import ExitStatus


def main() -> int:
    """Runs the command; Ctrl-C while it is still being imported is a quiet end, too."""
    try:
        from .cli import main as command

        return command()
    except KeyboardInterrupt:
        return ExitStatus.OK


if __name__ == "__main__":
    sys.exit(main())
