"""Requests that take long: named once while they run, and once when they have ended.

The loop looks at those that run when it looks at deadlines: a request pays for a comparison
when it has ended.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from wsgi_server._connection.scheduler import Timed

    from .display import Display
    from .entry import Entry

LOG = logging.getLogger(__name__)

#: Seconds between two looks at a request that is slow.
PAUSE: Final = 1.0


class SlowRequests:
    """Reports each request that lasts for `limit` seconds."""

    def __init__(self, display: Display) -> None:
        self._display = display
        #: None: none is reported.
        self.limit: float | None = None
        #: Those that were named and may run still, with what they were called.
        self._named: dict[Timed, str] = {}

    def look(self, entry: Entry, now: float, where: Callable[[Entry], str]) -> float:
        """Names the request of `entry` if it is slow by now; when to look again."""
        running = entry.conn.seen()[1]
        if self.limit is None or running is None:
            return math.inf
        due = running.since + self.limit
        if due > now:
            return due
        if running.itself not in self._named:
            self._named[running.itself] = name = str(running.itself)
            lasts = now - running.since
            LOG.warning(
                "%s has run for %.1f s; it stands at\n%s", name, lasts, where(entry)
            )
            self._display.count_slow()
        return now + PAUSE

    def ended(self, request: Timed) -> None:
        """Says how long one that was slow has taken; whoever ran it calls this."""
        seconds = request.seconds
        try:
            name = self._named.pop(request)
        except KeyError:
            # Nobody could look while it ran.
            self._display.count_slow()
            LOG.warning("%s took %.1f s and held up its worker", request, seconds)
        else:
            LOG.info("%s took %.1f s in the end", name, seconds)
