"""Requests that wait because `threads` requests are running."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .entry import Entry

#: The runner of a request that waits in the queue.
QUEUED: Final = object()


class RequestQueue:
    """First come, first served, up to `size` of them for `timeout` seconds each.

    An engine with more than one thread guards it by a lock.
    """

    def __init__(self, size: int, timeout: float) -> None:
        self.size = size
        self.timeout = timeout
        self.entries: deque[Entry] = deque()

    def resize(self, size: int, timeout: float) -> None:
        """Is of another size from now on, for those that come."""
        self.size, self.timeout = size, timeout

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def is_full(self) -> bool:
        """Whether no more may come."""
        return len(self.entries) >= self.size

    @property
    def is_filling(self) -> bool:
        """Whether it is half full: sibling workers should take what comes next."""
        return len(self.entries) * 2 >= self.size

    @property
    def is_clearing(self) -> bool:
        """Whether no more than a quarter is taken."""
        return len(self.entries) * 4 <= self.size

    def put(self, entry: Entry, now: float) -> None:
        """Lets a request wait, till `entry.due` at most."""
        entry.runner = QUEUED
        entry.queued_at = now
        entry.due = now + self.timeout
        self.entries.append(entry)

    def take(self) -> Entry | None:
        """The request that has waited longest; whoever takes it is to set its runner."""
        try:
            entry = self.entries.popleft()
        except IndexError:
            return None
        entry.due = math.inf
        return entry

    def remove(self, entry: Entry) -> bool:
        """Takes `entry` out; false when somebody has just taken it."""
        try:
            self.entries.remove(entry)
        except ValueError:
            return False
        entry.due = math.inf
        entry.runner = None
        return True
