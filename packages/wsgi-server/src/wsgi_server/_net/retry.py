"""An address in use: tried again for a while, which is said once."""

from __future__ import annotations

import logging
import time
from typing import Final

from .binding import AddressInUse

LOG = logging.getLogger(__name__)

#: Seconds between two attempts.
PAUSE: Final = 0.5


class Retry:
    """Allows attempts for `limit` seconds from now; `what` begins the line in the log."""

    def __init__(self, limit: float, what: str = "") -> None:
        self._limit = limit
        self._until = time.monotonic() + limit
        self._what = what
        self._told = False

    def pause(self, exc: AddressInUse) -> float:
        """Returns the seconds until the next attempt; raises `exc` when there is none."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise exc
        if not self._told:
            LOG.warning("%s%s; trying for %g s", self._what, exc, self._limit)
            self._told = True
        return min(PAUSE, left)
