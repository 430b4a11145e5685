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
    """Whether nobody can write to `pipe` any more, whatever is still in it."""
    poll = unpatched.poll()
    poll.register(pipe, 0)
    return any(event & select.POLLHUP for _, event in poll.poll(0))


def resident(pid: int | None = None) -> int:
    """Resident bytes of a process, of this one by default.

    Where the system has no `/proc` its peak, of this process alone. Raises `OSError` for
    one that is gone.
    """
    try:
        with open(f"/proc/{pid or 'self'}/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except FileNotFoundError:
        if pid is not None:
            raise
        resource = importlib.import_module("resource")
        peak: int = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        # macOS counts in bytes, everybody else in kilobytes.
        return peak if sys.platform == "darwin" else peak * 1024


def open_fds(pid: int) -> int:
    """How many descriptors a process has open. Raises `OSError` where that is unknown."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def cpu_seconds(pid: int) -> float:
    """The CPU time of a process so far; 0 where the system does not say."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name of the program, in parentheses, may hold anything.
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0.0
    ticks = int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def set_title(role: str) -> None:
    """Names the process in `ps`, where setproctitle is installed.

    The kernel keeps the first 15 characters as well, in `/proc/PID/stat`. They have no
    blank: Python 3.12 counts fields there to see whether a process that forks has threads.
    """
    try:
        setproctitle: Any = importlib.import_module("setproctitle")
    except ImportError:
        return
    title = f"wsgi-server:{role}"
    setproctitle.setproctitle(title[:15].replace(" ", "_") + title[15:])


def cpus() -> int:
    """CPUs this process may run on, which in a container are fewer than it has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
