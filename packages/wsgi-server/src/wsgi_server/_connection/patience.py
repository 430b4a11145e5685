"""How long a client may keep a request waiting."""

from __future__ import annotations

import math
from typing import Final

#: Bytes of progress that body_timeout and write_timeout are granted for.
PROGRESS: Final = 65536
#: Seconds for which a closing connection still listens.
LINGER_SECONDS: Final = 2.0


class Patience:
    """A budget of waiting for one body, or for one block of a response.

    `limit` seconds of waiting are granted for every `PROGRESS` bytes that move, and no
    single wait may exceed `single`; None sets no limit. Only waiting counts, not the
    application's own time: neither a stalled client nor a dripping one holds a request for
    ever.
    """

    __slots__ = ("_left", "_limit", "_moved", "_single")

    def __init__(self, limit: float | None, single: float | None) -> None:
        self._limit = self._left = math.inf if limit is None else limit
        self._single = math.inf if single is None else single
        self._moved = 0

    def deadline(self, now: float) -> float:
        """When waiting from `now` on has lasted too long."""
        return now + min(self._left, self._single)

    def waited(self, seconds: float) -> None:
        """Takes off what was spent waiting."""
        self._left -= seconds

    def progress(self, count: int) -> bool:
        """`count` bytes moved; true when a full portion has renewed the grant."""
        self._moved += count
        if self._moved < PROGRESS:
            return False
        self._moved = 0
        self._left = self._limit
        return True
