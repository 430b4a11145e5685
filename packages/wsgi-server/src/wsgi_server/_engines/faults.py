"""What a loop does about faults of its own: it outlives them, and never at full speed."""

from __future__ import annotations

import logging
import math
import sys
from time import monotonic
from typing import Final

LOG = logging.getLogger(__name__)

#: Seconds of rest after the first fault of an episode, and twice as long after each that
#: follows, up to the second number: signals are heard no later than that.
FIRST_REST: Final = 0.05
LONGEST_REST: Final = 1.0
#: Seconds without the same fault that end an episode.
QUIET: Final = 60.0
#: Different faults that are told apart; with more of them it starts over.
MOST: Final = 64


class Episode:
    """The same fault, again and again."""

    __slots__ = ("last", "rest", "unsaid")

    def __init__(self) -> None:
        self.last = -math.inf
        self.rest = FIRST_REST
        self.unsaid = 0


class Faults:
    """Those of one loop. The first of an episode is logged, the others are counted.

    A fault is the same when it is raised at the same place.
    """

    def __init__(self) -> None:
        self._episodes: dict[tuple[object, ...], Episode] = {}

    def note(self, what: str) -> float:
        """For an ``except`` block: seconds to rest before whatever failed is tried again."""
        kind, _, traceback = sys.exc_info()
        while traceback is not None and traceback.tb_next is not None:
            traceback = traceback.tb_next
        place: tuple[object, ...] = (what, kind)
        if traceback is not None:
            place += (traceback.tb_frame.f_code, traceback.tb_lineno)
        if place not in self._episodes and len(self._episodes) >= MOST:
            self._episodes.clear()
        episode = self._episodes.setdefault(place, Episode())
        now = monotonic()
        if now - episode.last < QUIET:
            episode.unsaid += 1
            episode.rest = min(episode.rest * 2, LONGEST_REST)
        else:
            again = f" (and {episode.unsaid} times before)" if episode.unsaid else ""
            LOG.exception("%s%s; repetitions are not logged", what, again)
            episode.unsaid, episode.rest = 0, FIRST_REST
        episode.last = now
        return episode.rest
