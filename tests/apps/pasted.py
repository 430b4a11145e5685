"""Serves a PasteDeploy file as `pserve` does: `python -m apps.pasted FILE`."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Says how many processes share the work, as far as it knows."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [repr(environ["wsgi.multiprocess"]).encode()]


def factory(global_conf: dict[str, str], **local_conf: str) -> Any:
    """A `paste.app_factory`."""
    return app


def main() -> None:
    from paste.deploy import loadapp, loadserver

    logging.basicConfig(level=logging.INFO)
    uri = f"config:{Path(sys.argv[1]).resolve()}"
    loadserver(uri)(loadapp(uri))


if __name__ == "__main__":
    main()
