"""What a loop shows of itself, about once a second and when somebody asks."""

from __future__ import annotations

import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from wsgi_server._connection.recorder import Recorder
from wsgi_server._logs.access import escaped
from wsgi_server._scoreboard.running import Named

if TYPE_CHECKING:
    from wsgi_server._scoreboard.slots import Slot

    from .entry import Entry

#: Seconds between two looks, and after which a request is shown by its name.
PAUSE: Final = 1.0
SLOW: Final = 10.0


class Display:
    """Keeps the counts and the board of `slot`, where somebody may look at them."""

    def __init__(self, slot: Slot) -> None:
        self._slot = slot
        self.recorder = None if slot.counts is None else Recorder(slot.counts)
        self._next = 0.0

    def turn(self, entries: Mapping[int, Entry], queued: int, now: float) -> None:
        """Adds what was noted since the last turn; shows what runs, now and then."""
        if self.recorder is None:
            return
        self.recorder.flush()
        if now < self._next:
            return
        self._next = now + PAUSE
        seen = [entry.conn.seen() for entry in list(entries.values())]
        self._slot.count_connections(Counter(state for state, _ in seen))
        self._slot.queued = queued
        if self._slot.running is not None:
            running = [one for _, one in seen if one is not None]
            named = [Named(*one) for one in running if now - one.since >= SLOW]
            self._slot.running.write([one.since for one in running], named)


def stacks(entries: Sequence[Entry], where: Callable[[Entry], str], now: float) -> str:
    """Where each request and each thread stands, for people."""
    found = []
    for entry in entries:
        running = entry.conn.seen()[1]
        if running is not None:
            since, method, path, known = running
            about = f"{method} {escaped(path)} for {now - since:.1f} s {known}"
            found.append(f"{about.rstrip()}\n{where(entry)}")
    frames = sys._current_frames()
    for thread in threading.enumerate():
        frame = frames.get(thread.ident or 0)
        if frame is not None:
            stack = "".join(traceback.format_stack(frame)[-8:]).rstrip()
            found.append(f"thread {thread.name}\n{stack}")
    return "\n\n".join(found)
