"""What an engine notes about one connection."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wsgi_server._connection.scheduler import Client


class Entry:
    """A connection and who is at work on it; the connection knows nothing of this."""

    __slots__ = ("conn", "due", "runner", "waiter", "watched")

    def __init__(self, conn: Client) -> None:
        self.conn = conn
        #: Who runs its request; None while the loop may touch it.
        self.runner: Any = None
        #: Who waits for its client, in an engine whose loop wakes them.
        self.waiter: Any = None
        #: What its descriptor is watched for.
        self.watched = 0
        #: When waiting has lasted too long, in the queue or for the client of a request
        #: that runs, in monotonic seconds.
        self.due = math.inf
