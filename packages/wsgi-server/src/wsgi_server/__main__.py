"""`python -m wsgi_server` is the `wsgi-server` command."""

from __future__ import annotations

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
