"""What every engine does with connections: accept, watch, expire, drain, cut.

A loop knows which connections there are and when each is due. Who runs a request, and how
somebody is woken, is the business of the engine that inherits it.
"""

from __future__ import annotations

import logging
import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from wsgi_server import hooks
from wsgi_server._connection.endpoint import Endpoint
from wsgi_server._connection.patience import LINGER_SECONDS
from wsgi_server._connection.probed import client_class
from wsgi_server._connection.scheduler import Next
from wsgi_server._logs.logger import open_request_log
from wsgi_server._scoreboard.slots import Slot

from .acceptor import Acceptor
from .callbacks import Callbacks
from .display import Display, SlowRequests, stacks
from .entry import ENDED, READABLE, WRITABLE, Entry, longest_idle
from .faults import Faults
from .pollers import make_flag, open_poller
from .request_queue import QUEUED, RequestQueue

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from wsgi_server._config.settings import Settings
    from wsgi_server._net.listeners import Listener

LOG = logging.getLogger(__name__)

#: Connections accepted per listener and turn, so that sibling workers get theirs.
ACCEPT_BATCH: Final = 16
#: How precisely deadlines are kept, in seconds; one pass over all connections each.
RESOLUTION: Final = 0.1
#: Seconds without accepting after descriptors ran out.
ACCEPT_PAUSE: Final = 0.25

_AGAIN, _RUN, _OUTPUT, _NOTHING = Next.AGAIN, Next.RUN, Next.OUTPUT, Next.NOTHING


class Loop(ABC):
    """The connections of one worker."""

    #: Exceptions that end whoever runs a request, from outside. A thread cannot be ended.
    killed_by: tuple[type[BaseException], ...] = ()
    _open_poller = staticmethod(open_poller)

    def __init__(
        self,
        settings: Settings,
        slot: Slot,
        *,
        worker_id: int = 0,
        request_limit: int | None = None,
        on_request_limit: Callable[[], object] | None = None,
    ) -> None:
        self._queue = RequestQueue(settings.queue_size, settings.queue_timeout)
        self._entries: dict[int, Entry] = {}
        self._display = Display(slot, self._entries, self._queue, self.call_at)
        self._slow = SlowRequests(self._display)
        self._follow(settings)
        self._slot = slot
        self._worker_id = worker_id
        self._request_limit = math.inf if request_limit is None else request_limit
        self._on_request_limit = on_request_limit
        self._log = open_request_log(settings, worker_id, slot.generation)
        self._poller, make = self._open_poller()
        self._acceptor = Acceptor(
            self._poller, make, has_room=self._has_room, come_back=self._come_back
        )
        self._faults = Faults()
        self._callbacks = Callbacks(self._poller, self._faults, self.call_at)
        self._ready: deque[Entry] = deque()
        self._running = self._requests = 0
        self._sweep_timer: Any = None
        self._sweep_due = math.inf
        self._draining = False
        self._stopped = False
        self._hooking = False  # the application's `on_drain` hooks are running
        self._flag = make_flag(self._poller)

    @abstractmethod
    def call_at(self, deadline: float, callback: Callable[[], object]) -> Any:
        """Calls `callback` in the loop at `deadline`; the result has `cancel`."""

    @abstractmethod
    def wait(self, fd: int, deadline: float, *, writable: bool) -> None:
        """Waits for the client of a running request. `TimeoutError` at `deadline`."""

    @abstractmethod
    def breathe(self) -> None:
        """Lets others run in the middle of a long transfer."""

    @abstractmethod
    def _interrupt(self, entry: Entry) -> None:
        """Deals with a request that exceeded `request_timeout`, once."""

    @abstractmethod
    def _where(self, entry: Entry) -> str:
        """Where the application stands that answers `entry`, for the log."""

    @abstractmethod
    def _wake_if_finished(self) -> None:
        """Lets `serve` return when there is nothing left to do."""

    @abstractmethod
    def spawn(self, function: Callable[[], object]) -> None:
        """Runs `function` beside the requests."""

    def watch(self, fd: int, callback: Callable[[], object]) -> None:
        """Calls `callback` in the loop whenever `fd` is readable."""
        self._callbacks.add(fd, callback)

    def unwatch(self, fd: int) -> None:
        """Forgets `fd`. Harmless where it is not watched."""
        self._callbacks.remove(fd)

    def drain(self, deadline: float, *, retiring: bool) -> None:
        """Stops accepting, finishes what was started, cuts what runs at `deadline`."""
        if not self._draining:
            self._accept_all()
            self._draining = True
            if hooks.has_drain_hooks():
                self._hooking = True
                self.spawn(self._run_drain_hooks)
            for endpoint in self._acceptor.endpoints:
                # Nobody may connect to a port that this worker alone still holds open.
                endpoint.listener.sock.close()
            self._acceptor.close_all()
        now = monotonic()
        entries = list(self._entries.values())
        for endpoint in {entry.conn.endpoint for entry in entries}:
            endpoint.retire() if retiring else endpoint.stop(now)
        for entry in entries:
            entry.conn.retire(now)
        self._sweep_at(now)
        self.call_at(deadline, self._cut)
        self._wake_if_finished()

    def replace(
        self, settings: Settings, listeners: Sequence[Listener], app: WSGIApplication
    ) -> None:
        """Serves `app` on `listeners` from now on; what runs is finished as it began.

        Raises `ConfigError`, with nothing changed, where the access log cannot be opened.
        """
        log = open_request_log(settings, self._worker_id, self._slot.generation)
        if self._log is not None:
            self._log.close()
        self._log = log
        self._follow(settings)
        old = self._acceptor.endpoints
        self._acceptor.close_all()
        self._open(listeners, app)
        successors = {new.place: new for new in self._acceptor.endpoints}
        for endpoint in old:
            # For those who stay: what runs, and who came to an address that is gone.
            endpoint.retire()
            endpoint.log = log
        for entry in list(self._entries.values()):
            before = entry.conn.endpoint
            if before in old and entry.runner is None:
                entry.conn.move_to(successors.get(before.place, before))
        self._resume_accepting()

    def stacks(self) -> str:
        """Where each request and each thread stands, for people."""
        return stacks([*self._entries.values()], self._where, monotonic())

    def reopen_logs(self) -> None:
        """Opens the access log anew."""
        if self._log is not None:
            self._log.reopen()

    def abandon(self) -> None:
        """In a process that the application forked: closes everything, quietly."""
        self._slot = Slot.local()
        self._display = Display(self._slot, {}, (), self.call_at)
        for entry in self._entries.values():
            entry.conn.abandon()
        self._acceptor.abandon()
        self._poller.close()
        self._flag.close()

    def forget(self, fd: int) -> None:
        """The connection is about to close its descriptor; so does its poller."""
        self._entries.pop(fd, None)
        if self._acceptor.paused:
            self._room_again()
        if self._draining:
            self._wake_if_finished()

    def _follow(self, settings: Settings) -> None:
        self._settings = settings
        self._client = client_class(settings)
        self._places = settings.threads
        self._queue.resize(settings.queue_size, settings.queue_timeout)
        self._slow.limit = settings.slow_request_time
        self._display.follow(settings)
        #: No deadline is set that comes sooner than this after the moment.
        self._shortest = min(
            LINGER_SECONDS,
            settings.header_timeout,
            settings.keepalive_timeout,
            settings.drain_idle_timeout or RESOLUTION,
            *filter(None, (settings.body_timeout, settings.request_timeout)),
            *filter(None, (settings.write_timeout, settings.client_socket_timeout)),
            settings.slow_request_time or math.inf,
        )

    def _run_drain_hooks(self) -> None:
        try:
            hooks.draining()
        finally:
            self._hooking = False
            self._wake_if_finished()

    def _settle(self, entry: Entry, wanted: Next) -> None:
        """Puts a connection where its next event will find it."""
        if wanted is _NOTHING:
            return
        if wanted is _OUTPUT:
            if entry.watched != WRITABLE:
                self._watch_conn(entry, WRITABLE)
            return
        if wanted is _AGAIN or wanted is _RUN:
            self._ready.append(entry)
        if not entry.watched:
            self._watch_conn(entry, READABLE)

    def _enqueue(self, entry: Entry, now: float) -> bool:
        """All places are taken: the request waits, or false: there is no room for it."""
        queue = self._queue
        if queue.is_full:
            return False
        queue.put(entry, now)
        if entry.due < self._sweep_due:
            self._sweep_at(entry.due)
        # Where probes come in with the requests, being busy must not keep them out.
        if queue.is_filling and not self._settings.health_on_service:
            count = len(queue)
            are = "request is" if count == 1 else "requests are"
            self._acceptor.pause(f"{count} {are} waiting for a place")
        return True

    def _dequeue(self) -> Entry | None:
        """The request that waited longest, taken off the queue."""
        entry = self._queue.take()
        if entry is not None and self._acceptor.paused and self._queue.is_clearing:
            self._room_again()
        return entry

    def _watch_conn(self, entry: Entry, wanted: int) -> None:
        before, entry.watched = entry.watched, wanted
        if before:
            self._poller.modify(entry.conn.fd, wanted)
        else:
            self._poller.register(entry.conn.fd, wanted)

    def _collect(self, timeout: float | None = 0) -> bool:
        """Fetches what is ready into `_ready`; false when that is nothing."""
        ready = self._ready
        entries = self._entries
        for fd, mask in self._poller.poll(timeout):
            entry = entries.get(fd)
            if entry is None:
                if fd in self._acceptor:
                    self._accept(fd, ACCEPT_BATCH)
                elif fd == self._flag.fd:
                    self._flag.lower()
                elif fd in self._callbacks:
                    self._callbacks.call(fd)
                continue
            if mask & ENDED:
                # The end of input shares its edge with the last bytes: look again.
                entry.conn.end()
            if entry.runner is None:
                ready.append(entry)
            else:
                self._disturb(entry, mask)
        return bool(ready)

    def _disturb(self, entry: Entry, mask: int) -> None:
        """Something happened on a connection that is not the loop's now."""
        entry.conn.signal()

    def _report(self) -> None:
        now = monotonic()
        self._slot.update(now, self._requests, self._running, len(self._entries))
        if self._display.recorder is not None:
            self._display.turn(now)
        if self._requests >= self._request_limit:
            self._request_limit = math.inf
            if self._on_request_limit is not None:
                self._on_request_limit()

    def _kick(self) -> None:
        """Has somebody serve what was put into `_ready`."""
        if self._ready and not self._flag.raised:
            self._flag.wave()

    def _open(self, listeners: Sequence[Listener], app: WSGIApplication) -> None:
        self._display.log = self._log
        for listener in listeners:
            endpoint = Endpoint(listener, app, self._settings, self._log, self._slot)
            endpoint.recorder = self._display.recorder
            endpoint.note_slow = self._slow.ended
            self._acceptor.add(endpoint)

    def _accept(self, fd: int, most: int) -> None:
        now = monotonic()
        if self._sweep_timer is None:
            self._sweep_at(now + self._shortest)
        try:
            for sock, peer, endpoint in self._acceptor.accept(fd, most):
                conn = self._client(sock, peer, endpoint, self, now)
                entry = self._entries[conn.fd] = Entry(conn)
                self._ready.append(entry)
        except Exception:  # noqa: BLE001  who is connected is served whatever fails here
            self._acceptor.suspend()
            self._come_back(self._faults.note("a client could not be accepted"))

    def _accept_all(self) -> None:
        """Takes what the kernel has completed, so that closing resets nobody."""
        if self._acceptor.accepting:
            for fd in self._acceptor:
                self._accept(fd, self._settings.backlog)
            self._kick()

    def _has_room(self) -> bool:
        most = self._settings.max_connections
        if len(self._entries) < most or self._shed():
            return True
        self._acceptor.pause(f"max_connections = {most} reached")
        return False

    def _shed(self) -> bool:
        """Closes the connections that have been idle longest; false if none is."""
        for conn in (longest := longest_idle(self._entries, ACCEPT_BATCH)):
            conn.close()
        return bool(longest)

    def _room_again(self) -> None:
        """Something was closed or begun: there is room for more connections."""
        self._resume_accepting()

    def _come_back(self, rest: float = ACCEPT_PAUSE) -> None:
        self.call_at(monotonic() + rest, self._resume_accepting)

    def _resume_accepting(self) -> None:
        if not self._draining:
            self._acceptor.resume()

    def _sweep_at(self, when: float) -> None:
        if when < self._sweep_due:
            if self._sweep_timer is not None:
                self._sweep_timer.cancel()
            self._sweep_due = when
            self._sweep_timer = self.call_at(when, self._sweep)

    def _sweep(self) -> None:
        """Ends what is overdue and comes back when the next deadline may be due."""
        now = monotonic()
        self._sweep_due = math.inf
        self._sweep_timer = None
        soonest = now + self._shortest
        for entry in list(self._entries.values()):
            try:
                due = self._enforce(entry, now)
            except Exception:  # noqa: BLE001  the others have deadlines as well
                self._faults.note("the deadline of a connection could not be kept")
                entry.conn.close()
            else:
                soonest = min(soonest, due)
        if self._acceptor.paused and self._queue.is_clearing:
            # Who was busy may be idle by now, and give way.
            self._room_again()
            soonest = min(soonest, now + ACCEPT_PAUSE)
        self._kick()
        self._report()
        if self._entries:
            self._sweep_at(max(soonest, now + RESOLUTION))

    def _enforce(self, entry: Entry, now: float) -> float:
        """Ends what is overdue on a connection; else when something will be."""
        overdue = entry.conn.request_due(now)
        if overdue <= now:
            self._interrupt(entry)
            overdue = math.inf
        due = entry.conn.deadline
        if entry.runner is not None:
            due = min(overdue, entry.due, self._slow.look(entry, now, self._where))
        if due > now:
            return due
        self._expire(entry, now)
        return math.inf

    def _expire(self, entry: Entry, now: float) -> None:
        if entry.runner is QUEUED:
            if self._withdraw(entry):
                detail = "The server is busy; the request waited too long."
                self._settle(entry, entry.conn.refuse(503, detail))
        elif entry.runner is None:
            self._settle(entry, entry.conn.expire(now))

    def _withdraw(self, entry: Entry) -> bool:
        """Takes a request off the queue; false when its turn has just come."""
        return self._queue.remove(entry)

    def _cut(self) -> None:
        """The grace is over: names what still runs and drops it."""
        now = monotonic()
        try:
            for entry in list(self._entries.values()):
                entry.conn.cut(now, self._where(entry))
        finally:
            self._stopped = True
            self._wake_if_finished()

    def _finished(self) -> bool:
        return self._stopped or (
            self._draining
            and not self._entries
            and not self._running
            and not self._hooking
        )

    def _release(self) -> None:
        """Gives back everything that the loop holds."""
        self._acceptor.close_all()
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        for entry in list(self._entries.values()):
            entry.conn.close()
        self._report()
        self._poller.close()
        self._flag.close()
        if self._log is not None:
            self._log.close()
