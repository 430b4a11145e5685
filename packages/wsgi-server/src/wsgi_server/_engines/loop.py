"""What every engine does with connections: accept, watch, expire, drain, cut.

A loop knows which connections there are and when each is due. Who runs a request, and how
somebody is woken, is the business of the engine that inherits it.
"""

from __future__ import annotations

import heapq
import logging
import math
import os
import select
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from wsgi_server import hooks
from wsgi_server._connection.closing import LINGER_SECONDS
from wsgi_server._connection.connection import Connection
from wsgi_server._connection.endpoint import Endpoint
from wsgi_server._connection.state import State
from wsgi_server._logs.access import AccessLog, RequestLog
from wsgi_server._logs.logger import LoggerLog
from wsgi_server._system import unpatched

from .acceptor import Doors

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from wsgi_server._config.settings import Settings
    from wsgi_server._connection.stream import Stream
    from wsgi_server._net.listeners import Listener
    from wsgi_server._scoreboard.slots import Slot

LOG = logging.getLogger(__name__)


#: Connections accepted per listener and turn, so that sibling workers get theirs.
ACCEPT_BATCH: Final = 16
#: How precisely deadlines are kept, in seconds; one pass over all connections each.
RESOLUTION: Final = 0.1
#: Seconds without accepting after descriptors ran out.
ACCEPT_PAUSE: Final = 0.25

#: What a connection is watched for. Edge-triggered: registered once, never re-armed.
READABLE: Final = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
WRITABLE: Final = READABLE | select.EPOLLOUT
INPUT: Final = select.EPOLLIN
ENDED: Final = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR

#: The runner of a request that waits in the queue.
QUEUED: Final = object()

_IDLE, _READY, _CLOSED = State.IDLE, State.READY, State.CLOSED
_FLUSHING = State.FLUSHING


class Loop(ABC):
    """The connections of one worker."""

    #: Exceptions that end whoever runs a request, from outside. A thread cannot be ended.
    killed_by: tuple[type[BaseException], ...] = ()

    def __init__(
        self,
        settings: Settings,
        slot: Slot,
        *,
        worker_id: int = 0,
        request_limit: int | None = None,
        on_request_limit: Callable[[], object] | None = None,
    ) -> None:
        self._adopt(settings)
        self._slot = slot
        self._worker_id = worker_id
        self._request_limit = math.inf if request_limit is None else request_limit
        self._on_request_limit = on_request_limit
        self._log = _open_log(settings, worker_id)
        self._epoll = unpatched.epoll()
        self._sites: dict[int, Endpoint] = {}
        self._doors = Doors(
            self._epoll, has_room=self._has_room, come_back=self._come_back
        )
        self._conns: dict[int, Connection] = {}
        self._callbacks: dict[int, Callable[[], object]] = {}
        self._ready: deque[Connection] = deque()
        #: Connections whose request waits because `threads` requests are running.
        self._queue: deque[Connection] = deque()
        self._running = 0
        self._requests = 0
        self._sweep_timer: Any = None
        self._sweep_due = math.inf
        self._draining = False
        self._stopped = False
        #: The application's `on_drain` hooks are running.
        self._hooking = False
        # Reported by epoll when somebody should look into `_ready`: once for every time
        # that it is raised, so that lowering it costs nothing.
        self._baton = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._raised = False
        self._callbacks[self._baton] = self._lower_baton
        self._epoll.register(self._baton, select.EPOLLIN | select.EPOLLET)

    # -- what an engine adds ----------------------------------------------------------

    @abstractmethod
    def call_at(self, deadline: float, callback: Callable[[], object]) -> Any:
        """Calls `callback` in the loop at `deadline`; the result has `cancel`."""

    @abstractmethod
    def serve(
        self,
        listeners: Sequence[Listener],
        app: WSGIApplication,
        ready: Callable[[], object],
    ) -> None:
        """Accepts and answers until drained; calls `ready` once it can."""

    @abstractmethod
    def wait(self, conn: Stream, deadline: float, *, writable: bool) -> None:
        """Waits for the client of a running request. `TimeoutError` at `deadline`."""

    @abstractmethod
    def breathe(self) -> None:
        """Lets others run in the middle of a long transfer."""

    @abstractmethod
    def _resume(self, conn: Connection, *, timed_out: bool) -> None:
        """Wakes whoever waits for `conn`."""

    @abstractmethod
    def _interrupt(self, conn: Connection) -> None:
        """Deals with a request that exceeded `request_timeout`, once."""

    @abstractmethod
    def _where(self, conn: Connection) -> str:
        """Where the application stands that answers `conn`, for the log."""

    @abstractmethod
    def _wake_if_finished(self) -> None:
        """Lets `serve` return when there is nothing left to do."""

    def _run_drain_hooks(self) -> None:
        try:
            hooks.draining()
        finally:
            self._hooking = False
            self._wake_if_finished()

    def _adopt(self, settings: Settings) -> None:
        self._settings = settings
        self._places = settings.threads
        #: No deadline is set that comes sooner than this after the moment.
        self._shortest = min(
            LINGER_SECONDS,
            settings.header_timeout,
            settings.keepalive_timeout,
            settings.drain_idle_timeout or RESOLUTION,
            settings.body_timeout or math.inf,
            settings.request_timeout or math.inf,
            settings.write_timeout or math.inf,
            settings.client_socket_timeout or math.inf,
        )

    @abstractmethod
    def _spawn(self, function: Callable[[], object]) -> None:
        """Runs `function` beside the requests."""

    # -- the engine protocol ------------------------------------------------------------

    def watch(self, fd: int, callback: Callable[[], object]) -> None:
        """Calls `callback` in the loop whenever `fd` is readable."""
        self._callbacks[fd] = callback
        self._epoll.register(fd, select.EPOLLIN)

    def unwatch(self, fd: int) -> None:
        """Forgets `fd`. Harmless where it is not watched."""
        if self._callbacks.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def drain(self, deadline: float) -> None:
        """Stops accepting, finishes what was started, cuts what runs at `deadline`."""
        if self._draining:
            self.call_at(deadline, self._cut)
            return
        self._accept_all()
        self._draining = True
        if hooks.has_drain_hooks():
            self._hooking = True
            self._spawn(self._run_drain_hooks)
        self._doors.close_all()
        for site in self._sites.values():
            # Nobody may connect to a port that this worker alone still holds open.
            site.listener.sock.close()
        patience = min(deadline, monotonic() + self._settings.drain_idle_timeout)
        for site in self._sites.values():
            site.retire()
        for conn in list(self._conns.values()):
            conn.retire(patience)
        self.call_at(patience, self._sweep)
        self.call_at(deadline, self._cut)
        self._wake_if_finished()

    def replace(
        self, settings: Settings, listeners: Sequence[Listener], app: WSGIApplication
    ) -> None:
        """Serves `app` on `listeners` from now on; what runs is finished as it began.

        Raises `ConfigError`, with nothing changed, where the access log cannot be opened.
        """
        log = _open_log(settings, self._worker_id)
        if self._log is not None:
            self._log.close()
        self._log = log
        self._adopt(settings)
        old = self._sites
        self._doors.close_all()
        self._sites = {}
        self._open(listeners, app)
        successors = {_place(site): site for site in self._sites.values()}
        for site in old.values():
            # For those who stay: what runs, and who came to an address that is gone.
            site.retire()
            site.log = log
        retired = {id(site) for site in old.values()}
        for conn in list(self._conns.values()):
            if id(conn.site) in retired and conn.runner is None:
                conn.site = successors.get(_place(conn.site), conn.site)
        self._resume_accepting()

    def reopen_logs(self) -> None:
        """Opens the access log anew."""
        if self._log is not None:
            self._log.reopen()

    def forget(self, conn: Stream) -> None:
        """The connection is about to close its descriptor; epoll notices by itself."""
        self._conns.pop(conn.fd, None)
        if self._doors.starved:
            self._welcome()
        if self._draining:
            self._wake_if_finished()

    # -- connections --------------------------------------------------------------------

    def _settle(self, conn: Connection) -> None:
        """Puts a connection where its next event will find it."""
        state = conn.state
        if state is _CLOSED or conn.runner is not None:
            return
        if state is _FLUSHING:
            if conn.watched != WRITABLE:
                self._watch_conn(conn, WRITABLE)
            return
        if conn.signalled or state is _READY:
            self._ready.append(conn)
        if not conn.watched:
            self._watch_conn(conn, READABLE)

    def _enqueue(self, conn: Connection, now: float) -> bool:
        """All places are taken: the request waits, or false: it is sent away.

        Accepting pauses while the queue is half full, so that sibling workers take what
        comes next.
        """
        waiting = len(self._queue)
        if waiting >= self._settings.queue_size:
            conn.refuse(503, "The server is busy.")
            return False
        conn.runner = QUEUED
        conn.deadline = now + self._settings.queue_timeout
        if conn.deadline < self._sweep_due:
            self._sweep_at(conn.deadline)
        self._queue.append(conn)
        if waiting * 2 >= self._settings.queue_size:
            self._doors.starve("%d requests are waiting for a place", waiting)
        return True

    def _dequeue(self) -> Connection | None:
        """The request that waited longest, taken off the queue."""
        try:
            conn = self._queue.popleft()
        except IndexError:
            return None
        conn.deadline = math.inf
        if self._doors.starved and len(self._queue) * 4 <= self._settings.queue_size:
            self._welcome()
        return conn

    def _withdraw(self, conn: Connection) -> bool:
        """Takes `conn` off the queue; false when it has just been served."""
        try:
            self._queue.remove(conn)
        except ValueError:
            return False
        return True

    def _watch_conn(self, conn: Stream, wanted: int) -> None:
        before, conn.watched = conn.watched, wanted
        if before:
            self._epoll.modify(conn.fd, wanted)
        else:
            self._epoll.register(conn.fd, wanted)

    def _collect(self, timeout: float | None = 0) -> bool:
        """Fetches what is ready into `_ready`; false when that is nothing."""
        ready = self._ready
        conns = self._conns
        for fd, mask in self._epoll.poll(timeout):
            conn = conns.get(fd)
            if conn is None:
                if fd in self._doors:
                    self._accept(fd, ACCEPT_BATCH)
                elif fd in self._callbacks:
                    call_back(self._callbacks[fd])
                continue
            if mask & ENDED:
                # The end of input shares its edge with the last bytes: look again.
                conn.ended = True
            if conn.waiter is not None:
                if mask & INPUT:
                    # Perhaps a next request, while who waits wants to send.
                    conn.signalled = True
                self._resume(conn, timed_out=False)
            elif conn.runner is not None:
                conn.signalled = True
            else:
                ready.append(conn)
        return bool(ready)

    def _report(self) -> None:
        self._slot.update(monotonic(), self._requests, self._running, len(self._conns))
        if self._requests >= self._request_limit:
            self._request_limit = math.inf
            if self._on_request_limit is not None:
                self._on_request_limit()

    def _raise_baton(self) -> None:
        self._raised = True
        os.eventfd_write(self._baton, 1)

    def _lower_baton(self) -> None:
        self._raised = False

    # -- accepting --------------------------------------------------------------------

    def _open(self, listeners: Sequence[Listener], app: WSGIApplication) -> None:
        for listener in listeners:
            self._sites[self._doors.add(listener)] = Endpoint(
                listener,
                app,
                self._settings,
                self,
                self._log,
                worker_id=self._worker_id,
            )

    def _accept(self, fd: int, most: int) -> None:
        site = self._sites[fd]
        now = monotonic()
        if self._sweep_due is math.inf:
            self._sweep_at(now + self._shortest)
        for sock, peer in self._doors.admit(fd, most):
            conn = Connection(sock, peer, site, now)
            self._conns[conn.fd] = conn
            self._ready.append(conn)

    def _accept_all(self) -> None:
        """Takes what the kernel has completed, so that closing resets nobody."""
        if self._doors.are_open:
            for fd in list(self._doors):
                self._accept(fd, self._settings.backlog)
            self._kick()

    def _has_room(self) -> bool:
        most = self._settings.max_connections
        if len(self._conns) < most or self._shed():
            return True
        self._doors.starve("max_connections = %d reached", most)
        return False

    def _shed(self) -> bool:
        """Closes the connections that have been idle longest; false if none is."""
        idle = [
            conn
            for conn in list(self._conns.values())
            if conn.state is _IDLE and conn.runner is None
        ]
        for conn in heapq.nsmallest(ACCEPT_BATCH, idle, key=lambda conn: conn.deadline):
            conn.close()
        return bool(idle)

    def _welcome(self) -> None:
        """Something was closed or begun: there is room for more connections."""
        self._resume_accepting()

    def _come_back(self) -> None:
        self.call_at(monotonic() + ACCEPT_PAUSE, self._resume_accepting)

    def _resume_accepting(self) -> None:
        if not self._draining:
            self._doors.open()

    # -- deadlines ----------------------------------------------------------------------

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
        limit = self._settings.request_timeout
        soonest = now + self._shortest
        for conn in list(self._conns.values()):
            due = conn.deadline
            if limit is not None and conn.exchange is not None:
                overdue = conn.exchange.started + limit
                if overdue <= now:
                    if not conn.exchange.interrupted:
                        conn.exchange.interrupted = True
                        self._interrupt(conn)
                else:
                    due = min(due, overdue)
            if due <= now:
                self._expire(conn, now)
            elif due < soonest:
                soonest = due
        if self._doors.starved and len(self._queue) * 4 <= self._settings.queue_size:
            # Who was busy may be idle by now, and give way.
            self._welcome()
            soonest = min(soonest, now + ACCEPT_PAUSE)
        self._kick()
        self._report()
        if self._conns:
            self._sweep_at(max(soonest, now + RESOLUTION))

    def _expire(self, conn: Connection, now: float) -> None:
        if conn.waiter is not None:
            self._resume(conn, timed_out=True)
        elif conn.runner is QUEUED:
            if self._withdraw(conn):
                conn.runner = None
                conn.refuse(503, "The server is busy; the request waited too long.")
                self._settle(conn)
        elif conn.runner is None:
            conn.expire(now)
            self._settle(conn)

    def _kick(self) -> None:
        """From the hub: has somebody serve what was put into `_ready`."""
        if self._ready and not self._raised:
            self._raise_baton()

    # -- the end ------------------------------------------------------------------------

    def _cut(self) -> None:
        """The grace is over: names what still runs and drops it."""
        now = monotonic()
        for conn in list(self._conns.values()):
            if conn.exchange is not None:
                LOG.error(
                    "%s cut after %.1f s; it stands at\n%s",
                    conn.exchange,
                    now - conn.exchange.started,
                    self._where(conn),
                )
                conn.abort()
            else:
                conn.close()
        self._stopped = True
        self._wake_if_finished()

    def _finished(self) -> bool:
        return self._stopped or (
            self._draining
            and not self._conns
            and not self._running
            and not self._hooking
        )

    def _release(self) -> None:
        """Gives back everything that the loop holds."""
        self._doors.close_all()
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        for conn in list(self._conns.values()):
            conn.close()
        self._report()
        self._epoll.close()
        os.close(self._baton)
        if self._log is not None:
            self._log.close()


def _place(site: Endpoint) -> tuple[object, bool]:
    """What a connection must find again in a site to go on there."""
    return site.listener.address, site.tls is None


def call_back(callback: Callable[[], object]) -> None:
    """Calls `callback` in the loop, which outlives whatever that raises."""
    try:
        callback()
    except Exception:  # a loop that ends over it would hear no signal any more
        LOG.exception("a callback of the loop failed; the loop goes on")


def _open_log(settings: Settings, worker_id: int) -> RequestLog | None:
    if settings.access_logger is not None:
        return LoggerLog(
            settings.access_logger, settings.access_log_format, worker_id=worker_id
        )
    if settings.access_log is None:
        return None
    return AccessLog(
        settings.access_log, settings.access_log_format, worker_id=worker_id
    )
