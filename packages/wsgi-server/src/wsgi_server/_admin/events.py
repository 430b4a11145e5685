"""The last things that happened, for whoever looks later."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

#: Events that are kept.
KEPT: Final = 200


@dataclass(frozen=True)
class Event:
    """One thing that happened."""

    #: From 1; whoever follows asks for those behind the last one seen.
    number: int
    #: Seconds since the epoch.
    time: float
    #: `info`, `warning` or `error`.
    level: str
    text: str


class Events:
    """The last `KEPT` events; whoever follows is told each new one."""

    def __init__(self) -> None:
        self._kept: deque[Event] = deque(maxlen=KEPT)
        self._number = 0
        self._followers: list[Callable[[Event], object]] = []

    def note(self, level: str, text: str) -> None:
        """Keeps an event and tells it."""
        self._number += 1
        event = Event(self._number, time.time(), level, text)
        self._kept.append(event)
        for follower in list(self._followers):
            follower(event)

    def last(self) -> Sequence[Event]:
        """The events that are kept, oldest first."""
        return list(self._kept)

    def follow(self, follower: Callable[[Event], object]) -> Callable[[], None]:
        """Tells `follower` each new event; the result ends that."""
        self._followers.append(follower)
        return lambda: self._followers.remove(follower)
