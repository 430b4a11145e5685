"""Requests in native threads, without paying for a switch where none is needed.

One thread has the lead: it polls, accepts, reads heads, and runs a request itself when that
is likely to be quick. The main thread watches it. When the leader has been inside an
application for longer than `OVERTIME`, another thread takes the lead over, and for a while
requests go to the pool straight away: a service that waits gets its threads, a service that
does not never leaves the leader. A thread that finishes somebody else's request gives the
connection back to whoever leads then.

A connection belongs to one thread at a time: to the thread in `conn.runner` while that is
set, to the leader otherwise. The hand-over is `runner = None` followed by an epoll_ctl,
which makes the kernel report again whatever arrived in between.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Callable, Sequence
from contextvars import Context
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from wsgi_server._connection.scheduler import Next
from wsgi_server._system import unpatched
from wsgi_server._system.platform import IN, OUT, PATIENT_LOCK

from .display import stack_of
from .entry import READABLE, WRITABLE
from .loop import Loop
from .timers import Timer, Timers

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from wsgi_server._config.settings import Settings
    from wsgi_server._net.listeners import Listener
    from wsgi_server._scoreboard.slots import Slot

    from .entry import Entry

LOG = logging.getLogger(__name__)

#: Seconds inside an application after which the leader is replaced.
OVERTIME: Final = 0.001
#: Seconds for which requests go to the pool after one has waited; twice as long each time
#: that the next attempt to lead waits as well, up to the second number.
CAUTION: Final = 0.1
MOST_CAUTION: Final = 0.8
#: Looks at a leader that does nothing before the watch goes to sleep.
QUIET: Final = 100
#: Seconds after which a thread that nobody needed ends.
THREAD_IDLE: Final = 30.0
#: Seconds that one call of `poll` waits at most: it counts milliseconds in an int.
LONGEST_POLL: Final = 86400.0
#: Seconds that `serve` waits for threads that are still in an application at the end.
JOIN: Final = 1.0

_RUN, _OUTPUT, _INPUT = Next.RUN, Next.OUTPUT, Next.INPUT


class ThreadsEngine(Loop):
    """The `threads` engine of one worker. See `wsgi_server._engines.Engine`."""

    def __init__(
        self,
        settings: Settings,
        slot: Slot,
        **context: Any,
    ) -> None:
        super().__init__(settings, slot, **context)
        self._timers = Timers()
        # Guards the lead, the queue and the threads; never held while waiting or running.
        self._work = threading.Condition()
        self._vacant = False
        self._term = 0
        self._threads: set[threading.Thread] = set()
        self._spare = 0
        self._entered = 0.0
        self._caution = CAUTION
        self._cautious_until = 0.0
        self._watching = False
        self._resuming = False
        self._alarm = threading.Event()

    def call_at(self, deadline: float, callback: Callable[[], object]) -> Timer:
        """Calls `callback` in the leading thread at `deadline`, once."""
        timer, first = self._timers.add(deadline, callback)
        if first and not self._flag.raised:
            self._flag.wave()
        return timer

    def begin(self, listeners: Sequence[Listener], app: WSGIApplication) -> None:
        """Accepts and answers from now on. Raises `OSError` and `RuntimeError`."""
        try:
            self._open(listeners, app)
            self._resume_accepting()
            with self._work:
                self._vacate()
        except BaseException:
            self._release()
            raise

    def run(self) -> None:
        """Returns when drained; until then nobody waits for long behind another."""
        try:
            self._watch_over()
        finally:
            with self._work:
                self._stopped = True
                self._work.notify_all()
            self._flag.wave()
            deadline = monotonic() + JOIN
            for thread in list(self._threads):
                thread.join(max(0.0, deadline - monotonic()))
            self._release()

    def wait(self, fd: int, deadline: float, *, writable: bool) -> None:
        """Waits in the calling thread. Raises `TimeoutError` at `deadline`."""
        poll = unpatched.poll()
        poll.register(fd, OUT if writable else IN)
        remaining = max(0.0, deadline - monotonic())
        while not poll.poll(min(remaining, LONGEST_POLL) * 1000):
            remaining = deadline - monotonic()
            if remaining <= 0:
                raise TimeoutError

    def breathe(self) -> None:
        """Threads are scheduled by the system."""

    def _watch_over(self) -> None:
        """Replaces a leader that is inside an application for too long.

        Signals are handled by the main thread, so it must never run a request itself.
        """
        quiet = 0
        seen = 0.0
        while not self._finished():
            entered = self._entered
            quiet = 0 if entered else quiet + 1
            if entered and entered == seen:
                self._overtake(entered)
            seen = entered
            if quiet < QUIET:
                unpatched.sleep(OVERTIME)
            else:
                self._watching = False
                # Whoever enters from here on sees that nobody watches.
                if not self._entered:
                    while not self._alarm.wait(PATIENT_LOCK):
                        continue
                    self._alarm.clear()
                self._watching = True
                quiet = 0

    def _overtake(self, entered: float) -> None:
        with self._work:
            if self._entered == entered and monotonic() - entered >= OVERTIME:
                self._entered = 0.0
                self._running += 1
                self._depose()
                self._take_care(monotonic())

    def _take_care(self, now: float) -> None:
        # Only a request in the lead tells whether it would wait: one in the pool takes long
        # already where many threads want the interpreter.
        soon = now - self._cautious_until < CAUTION
        self._caution = min(self._caution * 2, MOST_CAUTION) if soon else CAUTION
        self._cautious_until = now + self._caution

    def _wake_if_finished(self) -> None:
        if self._finished():
            self._alarm.set()
            with self._work:
                self._work.notify_all()

    def _finished(self) -> bool:
        return super()._finished() and (self._stopped or not self._queue)

    def _depose(self) -> None:
        """Whoever leads does so no more."""
        self._term += 1
        self._vacate()

    def _vacate(self) -> None:
        """The lead is free: an idle thread takes it, or a new one."""
        self._vacant = True
        self._call_thread()

    def _call_thread(self) -> None:
        self._work.notify()
        if self._spare >= len(self._queue) + self._vacant:
            return
        if len(self._threads) <= self._settings.threads:
            # One more than `threads`: the leader waits while all the others run.
            thread = threading.Thread(
                target=self._live, name=f"wsgi-{len(self._threads)}", daemon=True
            )
            self._threads.add(thread)
            try:
                thread.start()
            except RuntimeError:
                self._threads.discard(thread)
                if not self._threads:
                    raise
                # What waits is for those that there are.
                self._faults.note("a thread could not be started; the others serve")

    def _live(self) -> None:
        """The life of a thread: lead when the lead is free, else run what waits."""
        me = threading.current_thread()
        try:
            while True:
                with self._work:
                    while not self._wanted():
                        self._spare += 1
                        woken = self._work.wait(THREAD_IDLE)
                        self._spare -= 1
                        if not woken and not self._wanted():
                            return
                    if self._stopped:
                        return
                    lead, self._vacant = self._vacant, False
                    term = self._term
                    entry = None if lead else self._take_waiting(me)
                if lead:
                    self._serve_term(term, me)
                elif entry is not None:
                    self._run_handed(entry)
        finally:
            with self._work:
                self._threads.discard(me)

    def _wanted(self) -> bool:
        return self._vacant or bool(self._queue) or self._stopped

    def _take_waiting(self, me: threading.Thread) -> Entry | None:
        # Counted first: the leader looks at the queue and at the number without a lock.
        self._running += 1
        entry = self._dequeue()
        if entry is None:
            self._running -= 1
        else:
            entry.runner = me
        return entry

    def _serve_term(self, term: int, me: threading.Thread) -> None:
        """Leads; whatever goes wrong, somebody leads afterwards."""
        try:
            # What a request has set is there for no other one.
            while (context := Context()).run(self._lead, term, me, context):
                pass
        except BaseException:  # noqa: BLE001  the loop must survive its own faults
            unpatched.sleep(self._faults.note("the engine failed in its loop"))
            with self._work:
                if self._term == term:
                    self._depose()

    def _lead(self, term: int, me: threading.Thread, context: Context) -> bool:
        """Serves connections until overtaken or stopped; true when `context` is used."""
        ready = self._ready
        # Those that were ready at the last look; the others are asked before they come again.
        batch = 0
        while not self._stopped:
            if not batch or not ready:
                if self._log is not None:
                    self._log.flush()
                self._report()
                self._collect(0 if ready else self._timers.until_next(monotonic()))
                batch = len(ready)
                for timer in self._timers.due(monotonic()):
                    self._callbacks.fire(timer.fire)
                if self._finished():
                    self._wake_if_finished()
                continue
            now = monotonic()
            batch -= 1
            entry = ready.popleft()
            if entry.runner is not None:
                # Handed over since it was put here; its thread gives it back.
                entry.conn.signal()
                continue
            try:
                wanted = entry.conn.step(now)
                if wanted is _RUN:
                    self._requests += 1
                    if (
                        now < self._cautious_until
                        or self._queue.entries
                        or self._running >= self._places
                    ):
                        self._hand_over(entry, now)
                        continue
                    wanted, leading = self._run_here(entry, me, now, term)
                    if not leading:
                        return False
            except Exception:  # noqa: BLE001  the loop must survive its own faults
                self._faults.note("the engine failed while serving a connection")
                entry.conn.close()
                continue
            if wanted is not _INPUT or not entry.watched:
                self._settle(entry, wanted)
            if context:
                return True
        return False

    def _run_here(
        self, entry: Entry, me: threading.Thread, now: float, term: int
    ) -> tuple[Next, bool]:
        """Runs a request in the leading thread; false when the lead was lost over it."""
        entry.runner = me
        self._entered = now
        if not self._watching:
            self._watching = True
            self._alarm.set()
        wanted = self._run_safely(entry, now)
        with self._work:
            leading = self._term == term
            if leading:
                self._entered = 0.0
                entry.runner = None
            else:
                self._running -= 1
        if not leading:
            self._give_back(entry, wanted)
        return wanted, leading

    def _hand_over(self, entry: Entry, now: float) -> None:
        with self._work:
            taken = self._enqueue(entry, now)
            if taken:
                self._call_thread()
        if not taken:
            self._settle(entry, entry.conn.refuse(503, "The server is busy."))

    def _run_handed(self, entry: Entry) -> None:
        wanted = Context().run(self._run_safely, entry, monotonic())
        with self._work:
            self._running -= 1
        try:
            self._give_back(entry, wanted)
        except Exception:  # noqa: BLE001  the thread has others to serve
            self._faults.note("the engine failed behind a response")
            entry.runner = None
            entry.conn.close()

    def _run_safely(self, entry: Entry, now: float) -> Next:
        try:
            return entry.run(now)
        # The engine must survive its own faults, and what an application raises to end
        # a greenlet.
        except BaseException:  # noqa: BLE001
            self._faults.note("the engine failed while serving a connection")
            entry.conn.close()
            return Next.NOTHING

    def _room_again(self) -> None:
        """Only who leads may accept; every thread may notice that there is room."""
        if not self._resuming:
            self._resuming = True
            self.call_at(monotonic(), self._resume)

    def _resume(self) -> None:
        self._resuming = False
        self._resume_accepting()

    def _give_back(self, entry: Entry, wanted: Next) -> None:
        """Returns a connection to the leader, with nothing left unread in user space."""
        if self._log is not None:
            self._log.flush()
        entry.runner = None
        # From here on the connection is the leader's.
        if wanted is Next.AGAIN or wanted is _RUN:
            self._ready.append(entry)
            self._kick()
        elif wanted is not Next.NOTHING:
            # The leader may have closed it in this very moment, if it had just expired.
            with contextlib.suppress(OSError):
                self._watch_conn(entry, WRITABLE if wanted is _OUTPUT else READABLE)
        if self._draining:
            self._wake_if_finished()

    def spawn(self, function: Callable[[], object]) -> None:
        """Runs `function` in a thread of its own."""
        threading.Thread(target=function, name="wsgi-beside", daemon=True).start()

    def _withdraw(self, entry: Entry) -> bool:
        with self._work:
            return super()._withdraw(entry)

    def _interrupt(self, entry: Entry) -> None:
        """A thread cannot be stopped: the client is answered, a worker replaced."""
        replace = self._on_request_limit
        fate = "the worker will be replaced" if replace else "its thread goes on"
        if entry.conn.interrupt(self._where(entry), fate, answer=True) and replace:
            replace()

    def _where(self, entry: Entry) -> str:
        ident = getattr(entry.runner, "ident", None)
        return stack_of(None if ident is None else sys._current_frames().get(ident))
