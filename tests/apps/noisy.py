"""Logs a page of text for every request."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

LOG = logging.getLogger(__name__)


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answers nothing, and writes 4 KiB to the log."""
    LOG.info("%s", "x" * 4096)
    start_response("200 OK", [("Content-Length", "0")])
    return []
