"""What a loop shows of itself, about once a second and when somebody asks.

And what it says of requests that take long: it looks at those that run when it looks at
deadlines, so a request pays for a comparison when it has ended.
"""

from __future__ import annotations

import logging
import math
import os
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Sized
from time import monotonic
from types import FrameType
from typing import TYPE_CHECKING, Final

from wsgi_server._connection.recorder import Recorder
from wsgi_server._logs.access import escaped
from wsgi_server._scoreboard.running import Named

if TYPE_CHECKING:
    from wsgi_server._config.settings import Settings
    from wsgi_server._connection.scheduler import Timed
    from wsgi_server._logs.access import RequestLog
    from wsgi_server._scoreboard.slots import Slot

    from .entry import Entry

LOG = logging.getLogger(__name__)

#: Seconds between two looks.
PAUSE: Final = 1.0
#: Frames of an application's stack that are shown, the innermost.
STACK: Final = 12
#: Where our own code is, of which a stack shows nothing.
_OURS: Final = os.path.join(os.path.dirname(os.path.dirname(__file__)), "")


class Display:
    """Keeps the counts and the board of `slot`, where somebody may look at them.

    `entries` are the connections, `queue` what waits for a place; `call_at` has the loop
    call back.
    """

    def __init__(
        self,
        slot: Slot,
        entries: Mapping[int, Entry],
        queue: Sized,
        call_at: Callable[[float, Callable[[], object]], object],
    ) -> None:
        self._slot = slot
        self._entries = entries
        self._queue = queue
        self._call_at = call_at
        self.recorder = None if slot.counts is None else Recorder(slot.counts)
        #: Seconds after which a request is shown by its name; None for never.
        self.slow: float | None = None
        self._next = 0.0
        #: The log whose losses are counted, and those that are.
        self.log: RequestLog | None = None
        self._counted: tuple[RequestLog | None, int] = (None, 0)
        #: Whether something has happened since the last look, and the loop will call back.
        self._changed = self._called = False

    def follow(self, settings: Settings) -> None:
        """Shows from now on what these settings want to be seen."""
        self.slow = settings.slow_request_time
        if self.recorder is not None:
            self.recorder.by_route = settings.metrics_by_route

    def turn(self, now: float) -> None:
        """Adds what was noted since the last turn; shows what runs, now and then."""
        if self.recorder is None:
            return
        self._changed = self.recorder.flush() or self._changed
        if now >= self._next:
            self._next = now + PAUSE
            self._changed = False
            self._show(now)
        # What has changed is to be seen, also where nothing happens any more.
        if (self._changed or self._entries) and not self._called:
            self._called = True
            self._call_at(self._next, self._come_back)

    def count_slow(self) -> None:
        """A request has lasted for `slow`."""
        if self.recorder is not None:
            self.recorder.slow()

    def _come_back(self) -> None:
        self._called = False
        self.turn(monotonic())

    def _show(self, now: float) -> None:
        self._count_dropped()
        seen = [entry.conn.seen() for entry in list(self._entries.values())]
        self._slot.count_connections(Counter(state for state, _ in seen))
        self._slot.queued = len(self._queue)
        if self._slot.running is not None:
            running = [one for _, one in seen if one is not None]
            slow = math.inf if self.slow is None else self.slow
            named = [Named(*one[:4]) for one in running if now - one.since >= slow]
            self._slot.running.write([one.since for one in running], named)

    def _count_dropped(self) -> None:
        log, before = self.log, 0
        if log is self._counted[0]:
            before = self._counted[1]
        lost = 0 if log is None else log.dropped
        if lost > before and self.recorder is not None:
            self.recorder.dropped(lost - before)
        self._counted = log, lost


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


def stack_of(frame: FrameType | None) -> str:
    """Where a request stands that stands at `frame`, in its application, for people."""
    found = [] if frame is None else traceback.extract_stack(frame)
    theirs = [one for one in found if not one.filename.startswith(_OURS)]
    lines = traceback.format_list((theirs or found)[-STACK:])
    return "".join(lines).rstrip() or "  (nowhere)"


def stacks(entries: Sequence[Entry], where: Callable[[Entry], str], now: float) -> str:
    """Where each request and each thread stands, for people."""
    found = []
    for entry in entries:
        running = entry.conn.seen()[1]
        if running is not None:
            since, method, path, known, _ = running
            about = f"{method} {escaped(path)} for {now - since:.1f} s {known}"
            found.append(f"{about.rstrip()}\n{where(entry)}")
    frames = sys._current_frames()
    for thread in threading.enumerate():
        frame = frames.get(thread.ident or 0)
        if frame is not None:
            stack = "".join(traceback.format_stack(frame)[-8:]).rstrip()
            found.append(f"thread {thread.name}\n{stack}")
    return "\n\n".join(found)
