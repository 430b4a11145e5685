"""Facts of a process: its memory, its name, the end of a pipe."""

from __future__ import annotations

import importlib
import os
import select
import sys
from typing import Any

from . import unpatched


def signal_the_end_of(pipe: int) -> None:
    """Has the kernel send `ORPHANED` to this process when nobody can write any more."""
    import fcntl

    fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)


def has_ended(pipe: int) -> bool:
    poll = unpatched.poll()
    poll.register(pipe, select.POLLIN)
    return bool(poll.poll(0))


def resident() -> int:
    """Resident bytes of this process; its peak where the system has no `/proc`."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except FileNotFoundError:
        resource = importlib.import_module("resource")
        peak: int = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        # macOS counts in bytes, everybody else in kilobytes.
        return peak if sys.platform == "darwin" else peak * 1024


def set_title(role: str) -> None:
    """Names the process in `ps`, where setproctitle is installed."""
    try:
        setproctitle: Any = importlib.import_module("setproctitle")
    except ImportError:
        return
    setproctitle.setproctitle(f"wsgi-server: {role}")


def cpus() -> int:
    """CPUs this process may run on, which in a container are fewer than it has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
