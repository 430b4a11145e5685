"""Requests in greenlets, connections in an epoll of their own.

All connections live in one private epoll set, edge-triggered and registered once, and that
set is a single listener of the eventlet hub. When it becomes readable, a greenlet serves
whatever is ready, one request after the other, without a switch in between. Only when an
application really waits does control go back to the hub; the hub sees the set readable and
puts the next greenlet to work. A greenlet that finds nothing to do is kept for later.

So a request that never waits costs no switch, an idle connection costs no greenlet, and
`threads` bounds requests that run, never connections.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Sequence
from contextvars import Context
from time import monotonic
from typing import TYPE_CHECKING, Any, Final
from weakref import getweakrefcount

from greenlet import GreenletExit, getcurrent, greenlet

from wsgi_server._connection.scheduler import Next
from wsgi_server.errors import RequestTimeout

from .display import stack_of
from .entry import INPUT, READABLE, WRITABLE
from .hubs import leave_on_fork, lift_limit
from .loop import Loop
from .pollers import open_poller

with warnings.catch_warnings():
    # Whoever chose this engine knows; the documentation says how to leave it.
    warnings.simplefilter("ignore")
    from eventlet import hubs, sleep, spawn_n

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from wsgi_server._config.settings import Settings
    from wsgi_server._net.listeners import Listener
    from wsgi_server._scoreboard.slots import Slot
    from wsgi_server._system.edges import Poller

    from .entry import Entry
    from .pollers import Transports

LOG = logging.getLogger(__name__)

#: Seconds after which the hub gets its turn, however busy connections or transfers are.
SLICE: Final = 0.005
#: Greenlets kept although nothing needs them.
SPARE: Final = 32

_INPUT, _RUN = Next.INPUT, Next.RUN
_TIMED_OUT: Final = object()
_LEAVE: Final = object()


class Runner(greenlet):  # type: ignore[misc]
    """A greenlet that serves, as eventlet's own are: `threading` finds a thread for each."""

    def __init__(self, function: Callable[[], object]) -> None:
        super().__init__(function)

    def link(self, function: Callable[..., object], *args: object) -> None:
        """Calls `function` with this greenlet when it ends, as `GreenThread.link` does."""
        self.__dict__.setdefault("links", []).append((function, args))

    @property
    def marked(self) -> bool:
        """Whether somebody keeps something by this greenlet, or in it.

        What is local to a greenlet, and to a thread once `threading` is eventlet's, is kept
        by weak references to the greenlet, or by attributes of it.
        """
        return bool(getweakrefcount(self) or self.__dict__)

    def leave(self) -> None:
        """Tells those who were to be told of its end."""
        for function, args in self.__dict__.pop("links", ()):
            function(self, *args)


class Pause:
    """A greenlet that waits for its client; `waiting` goes false when it moves on."""

    __slots__ = ("greenlet", "waiting", "writable")

    def __init__(self, *, writable: bool) -> None:
        self.greenlet = getcurrent()
        self.writable = writable
        self.waiting = True

    def resume(self, outcome: object = None) -> None:
        """Switches to it, unless something else has woken it meanwhile."""
        if self.waiting:
            self.waiting = False
            self.greenlet.switch(outcome)


class EventletEngine(Loop):
    """The `eventlet` engine of one worker. See `wsgi_server._engines.Engine`."""

    killed_by = (GreenletExit,)

    def __init__(
        self,
        settings: Settings,
        slot: Slot,
        **context: Any,
    ) -> None:
        super().__init__(settings, slot, **context)
        self._hub = hubs.get_hub()
        leave_on_fork(self._hub)
        self._idle: list[Runner] = []
        self._listener: Any = None
        self._slice_end = 0.0
        self._main: greenlet | None = None

    @staticmethod
    def _open_poller(hub: Any = None) -> tuple[Poller, Transports]:
        return open_poller(hub or lift_limit(hubs.get_hub()))

    def call_at(self, deadline: float, callback: Callable[[], object]) -> Any:
        """Calls `callback` in the loop at `deadline`, once."""
        delay = max(0.0, deadline - monotonic())
        return self._hub.schedule_call_global(delay, self._fire_apart, callback)

    def begin(self, listeners: Sequence[Listener], app: WSGIApplication) -> None:
        """Accepts from now on, and answers when it is the hub's turn. Raises `OSError`."""
        try:
            self._open(listeners, app)
            self._listen()
            self._resume_accepting()
        except BaseException:
            self._rest(None)
            self._release()
            raise

    def run(self) -> None:
        """Lets others run until everything is drained."""
        self._main = getcurrent()
        try:
            while not self._finished():
                self._hub.switch()
        finally:
            self._main = None
            self._rest(None)
            self._idle.clear()
            self._release()

    def wait(self, fd: int, deadline: float, *, writable: bool) -> None:
        """Lets others run until the client moves. Raises `TimeoutError` at `deadline`."""
        entry = self._entries[fd]
        if entry.waiter is not None:
            raise RuntimeError("two greenlets wait for one client at the same time")
        wanted = WRITABLE if writable else entry.watched or READABLE
        if entry.watched != wanted:
            self._watch_conn(entry, wanted)
        pause = entry.waiter = Pause(writable=writable)
        entry.due = deadline
        if deadline < self._sweep_due:
            self._sweep_at(deadline)
        try:
            outcome = self._hub.switch()
        finally:
            pause.waiting = False
            entry.waiter = None
            entry.due = math.inf
        if outcome is _TIMED_OUT:
            raise TimeoutError

    def breathe(self) -> None:
        """Lets others run, if it is their turn."""
        if monotonic() >= self._slice_end:
            sleep(0)
            self._slice_end = monotonic() + SLICE

    def _on_ready(self, _fd: int) -> None:
        """In the hub: something happened, and nobody is at work."""
        self._slice_end = monotonic() + SLICE
        runner = self._idle.pop() if self._idle else Runner(self._work)
        runner.parent = self._hub.greenlet
        runner.switch()

    def _listen(self) -> None:
        self._listener = self._hub.add(
            self._hub.READ, self._poller.fileno(), self._on_ready, _ignore_throw, None
        )

    def _rest(self, seconds: float | None) -> None:
        """Looks at nothing for a while, or never again."""
        if self._listener is not None:
            self._hub.remove(self._listener)
            self._listener = None
            if seconds is not None:
                self._hub.schedule_call_global(seconds, self._wake_up)

    def _wake_up(self) -> None:
        if self._listener is None and self._main is not None:
            self._listen()

    def _work(self, _: object = None) -> None:
        """The body of every greenlet: serve what is ready, then wait to be needed."""
        me: Runner = getcurrent()
        context = Context()
        while True:
            try:
                while context.run(self._serve_ready, me, context):
                    # What a request has set is there for no other one.
                    context = Context()
                    if me.marked:
                        self._report()
                        return self._succeed(me)
                self._report()
            except (GreenletExit, KeyboardInterrupt, SystemExit):
                # Meant for this greenlet, or for the program, which the hub leaves then.
                raise
            # The engine must survive its own faults. In the hub they would cost it the
            # descriptor that everything depends on.
            except BaseException:  # noqa: BLE001  logged there
                self._rest(self._faults.note("the engine failed in its loop"))
                if me.marked:
                    return me.leave()
            self._idle.append(me)
            if self._hub.switch() is _LEAVE:
                return me.leave()

    def _succeed(self, me: Runner) -> None:
        """Goes on in a new greenlet: the next request must not find what this one kept."""
        successor = Runner(self._work)
        successor.parent = me.parent
        # The end of one is the beginning of the other, without a turn of the hub.
        me.parent = successor
        me.leave()

    def _serve_ready(self, me: Runner, context: Context) -> bool:
        """Serves until nothing is ready, or it is the hub's turn.

        True when a request has set something, in `context` or by its greenlet.
        """
        kept = me.__dict__
        ready = self._ready
        # Those that were ready at the last look. Some are ready again at once: they wait
        # until the others were asked as well.
        batch = 0
        now = monotonic()
        while True:
            if not batch or not ready:
                if self._log is not None:
                    self._log.flush()
                if not self._collect():
                    return False
                batch = len(ready)
                now = monotonic()
            if now >= self._slice_end:
                self._kick()
                return False
            batch -= 1
            entry = ready.popleft()
            conn = entry.conn
            if entry.runner is not None:
                # It was put here twice, and its request runs or waits already.
                conn.signal()
                continue
            try:
                wanted = conn.step(now)
                if wanted is _RUN:
                    if self._running < self._places:
                        if ready and not self._flag.raised:
                            self._flag.wave()
                        wanted = self._run(entry, me, now)
                        now = conn.answered
                    elif self._enqueue(entry, now):
                        continue
                    else:
                        wanted = conn.refuse(503, "The server is busy.")
                if wanted is not _INPUT or not entry.watched:
                    self._settle(entry, wanted)
            except BaseException:
                conn.close()
                raise
            if context or kept or getweakrefcount(me):
                return True

    def _run(self, entry: Entry, me: Runner, now: float) -> Next:
        self._running += 1
        self._requests += 1
        entry.runner = me
        try:
            return entry.run(now) if entry.queued_at else entry.conn.run(now)
        finally:
            entry.runner = None
            self._running -= 1
            if self._queue.entries and (waiting := self._dequeue()) is not None:
                waiting.runner = None
                self._ready.appendleft(waiting)
            if self._draining:
                self._wake_if_finished()

    def _disturb(self, entry: Entry, mask: int) -> None:
        pause, entry.waiter = entry.waiter, None
        if pause is None or (pause.writable and mask & INPUT):
            # Perhaps a next request, while who waits wants to send.
            entry.conn.signal()
        if pause is not None:
            self._hub.schedule_call_global(0, pause.resume)

    def _expire(self, entry: Entry, now: float) -> None:
        pause, entry.waiter = entry.waiter, None
        if pause is None:
            super()._expire(entry, now)
        else:
            self._hub.schedule_call_global(0, pause.resume, _TIMED_OUT)

    def _fire_apart(self, callback: Callable[[], object]) -> None:
        """In the hub, which may not wait: who logs may have to, for the lock of a handler."""
        greenlet(self._callbacks.fire).switch(callback)

    def _sweep(self) -> None:
        super()._sweep()
        if len(self._idle) > SPARE:
            self._hub.schedule_call_global(0, self._idle.pop(0).switch, _LEAVE)

    def _interrupt(self, entry: Entry) -> None:
        self._hub.schedule_call_global(0, self._throw, entry)

    def _throw(self, entry: Entry) -> None:
        now, runner = monotonic(), entry.runner
        # The request that was due may be answered by now, and another one run.
        if runner is not None and entry.conn.request_due(now) <= now:
            where = self._where(entry)
            if entry.conn.interrupt(where, "it is interrupted", answer=False):
                runner.throw(RequestTimeout())

    def spawn(self, function: Callable[[], object]) -> None:
        """Runs `function` in a greenlet of its own."""
        spawn_n(function)

    def _where(self, entry: Entry) -> str:
        # One that waits in the queue has no greenlet yet.
        runner = entry.runner
        return stack_of(runner.gr_frame if isinstance(runner, greenlet) else None)

    def _wake_if_finished(self) -> None:
        if self._main is not None and self._finished():
            main, self._main = self._main, None
            self._hub.schedule_call_global(0, main.switch)


def _ignore_throw(*_: object) -> None:
    """A hub throws into listeners whose descriptor was reopened; ours never is."""
