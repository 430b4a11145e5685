"""A service whose log handler waits, as one that sends to a busy syslog does."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

LOG = logging.getLogger(__name__)
GATE = Path(os.environ["GATE"])


def nap(seconds: float) -> None:
    eventlet = sys.modules.get("eventlet")
    (time if eventlet is None else eventlet).sleep(seconds)


class WaitingHandler(logging.Handler):
    """Takes a record that says "wait" when the gate is open; keeps its lock till then."""

    def emit(self, record: logging.LogRecord) -> None:
        while record.getMessage() == "wait" and not GATE.exists():
            GATE.with_suffix(".waits").touch()
            nap(0.01)


logging.getLogger().addHandler(WaitingHandler())


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """`/wait` logs what its handler waits with, `/long` takes till it is called off."""
    if environ["PATH_INFO"] == "/wait":
        LOG.info("wait")
    elif environ["PATH_INFO"] == "/long":
        while not GATE.with_suffix(".off").exists():
            nap(0.01)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
