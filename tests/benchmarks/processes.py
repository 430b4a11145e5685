"""What the kernel says about a server: its processes' CPU time, memory and threads."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

TICK = 1 / os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """A process and everything below it."""
    below: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        fields = _read(path).rpartition(")")[2].split()
        if fields:
            below.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found = [pid]
    for member in found:
        found += below.get(member, [])
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of the whole tree so far."""
    return TICK * _sum(
        pid, "stat", lambda text: sum(map(int, text.rpartition(")")[2].split()[11:13]))
    )


def resident_kib(pid: int) -> int:
    """Resident memory of the whole tree; pages that two share count twice."""
    return _sum(
        pid, "smaps_rollup", lambda text: int(text.partition("Rss:")[2].split()[0])
    )


def proportional_kib(pid: int) -> int:
    """Memory of the whole tree; of pages that are shared each takes its part (PSS)."""
    return _sum(
        pid, "smaps_rollup", lambda text: int(text.partition("\nPss:")[2].split()[0])
    )


def threads(pid: int) -> int:
    """Threads of the whole tree."""
    return _sum(
        pid, "status", lambda text: int(text.partition("Threads:")[2].split()[0])
    )


def kill(pids: list[int]) -> None:
    """Ends what is still there of processes that we started."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _sum(pid: int, name: str, parse: Callable[[str], int]) -> int:
    texts = (_read(Path(f"/proc/{member}/{name}")) for member in tree(pid))
    return sum(parse(text) for text in texts if text)


def _read(path: Path) -> str:
    """A file of /proc; empty when its process has gone since, or is a zombie."""
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
