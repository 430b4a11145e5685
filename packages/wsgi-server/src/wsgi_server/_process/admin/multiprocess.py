"""What an application's own prometheus-client asks of whoever reaps its processes.

In its multiprocess mode each process has files in one directory, and the live gauges of one
that has ended are there until somebody says so. What is in the files is the application's:
it exports them itself.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Final

LOG = logging.getLogger(__name__)

#: Where an operator switches the mode on.
DIRECTORY: Final = "PROMETHEUS_MULTIPROC_DIR"


def mark_dead(pid: int) -> None:
    """A worker was reaped. Does nothing where the mode is off, or the library absent."""
    if not os.environ.get(DIRECTORY):
        return
    try:
        from prometheus_client import multiprocess
    except ImportError:
        return
    mark: Callable[[int], object] = multiprocess.mark_process_dead
    try:
        mark(pid)
    except OSError as exc:
        # The gauges of a dead worker are no reason to watch the living ones less.
        LOG.warning("%s: cannot mark worker %d as dead: %s", DIRECTORY, pid, exc)
