"""Says a page of text for every request, in each way that there is."""

from __future__ import annotations

import itertools
import logging
import sys
import warnings
from collections.abc import Callable, Iterable
from typing import Any

LOG = logging.getLogger(__name__)
PAGE = "x" * 4096
NUMBERS = itertools.count()
#: A handler of the application's own, as oslo.log makes it.
OWN = logging.getLogger("own")
OWN.addHandler(logging.StreamHandler(sys.stderr))
OWN.propagate = False
#: The ways, by path.
WAYS = ("/log", "/print", "/write", "/errors", "/warn", "/own", "/fail")


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answers nothing, and says 4 KiB in the way that the path names."""
    path = environ["PATH_INFO"]
    if path == "/print":
        print(PAGE)
        print(PAGE, file=sys.stderr, flush=True)
    elif path == "/write":
        sys.stdout.buffer.write(PAGE.encode() + b"\n")
        sys.stderr.write(PAGE)
    elif path == "/errors":
        environ["wsgi.errors"].write(PAGE + "\n")
        environ["wsgi.errors"].flush()
    elif path == "/warn":
        # Each of its own: the same is shown once.
        warnings.warn(f"{PAGE} {next(NUMBERS)}", stacklevel=1)
    elif path == "/own":
        OWN.error("%s", PAGE)
    elif path == "/fail":
        raise RuntimeError(PAGE)
    else:
        LOG.info("%s", PAGE)
    start_response("200 OK", [("Content-Length", "0")])
    return []
