"""What an engine notes about one connection."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from wsgi_server._system.platform import EDGE, ERR, HUP, IN, OUT, RDHUP

if TYPE_CHECKING:
    from wsgi_server._connection.scheduler import Client, Next

#: What a connection is watched for. Edge-triggered: registered once, never re-armed.
READABLE: Final = IN | RDHUP | EDGE
WRITABLE: Final = READABLE | OUT
INPUT: Final = IN
ENDED: Final = RDHUP | HUP | ERR


class Entry:
    """A connection and who is at work on it; the connection knows nothing of this."""

    __slots__ = ("conn", "due", "queued_at", "runner", "waiter", "watched")

    def __init__(self, conn: Client) -> None:
        self.conn = conn
        #: Who runs its request; None while the loop may touch it.
        self.runner: Any = None
        #: Who waits for its client, in an engine whose loop wakes them.
        self.waiter: Any = None
        #: What its descriptor is watched for.
        self.watched = 0
        #: When its request began to wait for a place; 0 where it did not have to.
        self.queued_at = 0.0
        #: When waiting has lasted too long, in the queue or for the client of a request
        #: that runs, in monotonic seconds.
        self.due = math.inf

    def run(self, now: float) -> Next:
        """Runs its request."""
        if not self.queued_at:
            return self.conn.run(now)
        waited, self.queued_at = now - self.queued_at, 0.0
        return self.conn.run(now, waited)


def longest_idle(entries: Mapping[int, Entry], most: int) -> Sequence[Client]:
    """Up to `most` connections that bring nothing, those first that will be closed first."""
    all_ = list(entries.values())
    idle = [e.conn for e in all_ if e.runner is None and e.conn.idle]
    return heapq.nsmallest(most, idle, key=lambda conn: conn.deadline)
