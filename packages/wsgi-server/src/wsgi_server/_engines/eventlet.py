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

import errno
import heapq
import logging
import math
import os
import sys
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from greenlet import getcurrent, greenlet

from wsgi_server._accesslog import AccessLog
from wsgi_server._connection import LINGER_SECONDS, Connection, State
from wsgi_server._site import Site
from wsgi_server._wsgi import RequestTimeout

with warnings.catch_warnings():
    # Whoever chose this engine knows; the documentation says how to leave it.
    warnings.simplefilter("ignore", DeprecationWarning)
    from eventlet import hubs, patcher, sleep

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from wsgi_server._scoreboard import Slot
    from wsgi_server._settings import Settings
    from wsgi_server._sockets import Listener
    from wsgi_server._wsgi import Exchange

# A monkey-patched process has no epoll and a green socket; this loop needs the real ones.
select: Any = patcher.original("select")
socket: Any = patcher.original("socket")

LOG = logging.getLogger(__name__)

#: Seconds after which the hub gets its turn, however busy the connections are.
SLICE: Final = 0.005
#: Connections accepted per listener and turn, so that sibling workers get theirs.
ACCEPT_BATCH: Final = 16
#: How precisely deadlines are kept, in seconds; one pass over all connections each.
RESOLUTION: Final = 0.1
#: Seconds without accepting after descriptors ran out.
ACCEPT_PAUSE: Final = 0.25
#: Greenlets kept although nothing needs them.
SPARE: Final = 32

_TIMED_OUT: Final = object()
_NO_DESCRIPTORS: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_READ: Final = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
_WRITE: Final = _READ | select.EPOLLOUT
_ENDED: Final = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
_CLOSED, _IDLE = State.CLOSED, State.IDLE
_READY, _RUNNING = State.READY, State.RUNNING


class Pause:
    """A greenlet that waits for its client; `waiting` goes false when it moves on."""

    __slots__ = ("greenlet", "waiting")

    def __init__(self) -> None:
        self.greenlet = getcurrent()
        self.waiting = True

    def resume(self, outcome: object = None) -> None:
        """Switches to it, unless something else has woken it meanwhile."""
        if self.waiting:
            self.waiting = False
            self.greenlet.switch(outcome)


class EventletEngine:
    """The `eventlet` engine of one worker. See `wsgi_server._engines.Engine`."""

    def __init__(
        self,
        settings: Settings,
        slot: Slot,
        *,
        worker_id: int = 0,
        forked: bool = False,
        request_limit: int | None = None,
        on_request_limit: Callable[[], object] | None = None,
    ) -> None:
        if forked:
            _renew_hub()
        self._settings = settings
        self._slot = slot
        self._worker_id = worker_id
        self._request_limit = math.inf if request_limit is None else request_limit
        self._on_request_limit = on_request_limit
        self._log = _open_log(settings, worker_id)
        self._hub = hubs.get_hub()
        self._epoll = select.epoll()
        self._sites: dict[int, Site] = {}
        self._doors: dict[int, Any] = {}
        self._conns: dict[int, Connection] = {}
        self._ready: deque[Connection] = deque()
        #: Connections whose request waits because `threads` requests are running.
        self._queue: deque[Connection] = deque()
        self._idle: list[greenlet] = []
        self._running = 0
        self._requests = 0
        self._slice_end = 0.0
        self._watched: dict[int, Any] = {}
        self._sweep_timer: Any = None
        self._sweep_due = math.inf
        #: The shortest time after which an idle connection may expire.
        self._shortest = min(
            settings.header_timeout, settings.keepalive_timeout, LINGER_SECONDS
        )
        self._accepting = False
        self._starved = False
        self._draining = False
        self._stopped = False
        self._main: greenlet | None = None
        # Readable while `_ready` holds work and an application runs, so that the hub
        # puts another greenlet to it if that application waits.
        self._baton = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._raised = False
        self._epoll.register(self._baton, select.EPOLLIN)

    # -- the engine protocol ----------------------------------------------------------

    def watch(self, fd: int, callback: Callable[[], object]) -> None:
        """Calls `callback` in the loop whenever `fd` is readable."""

        def readable(_fd: int) -> None:
            callback()

        self._watched[fd] = self._hub.add(
            self._hub.READ, fd, readable, _ignore_throw, None
        )

    def unwatch(self, fd: int) -> None:
        """Forgets `fd`."""
        listener = self._watched.pop(fd, None)
        if listener is not None:
            self._hub.remove(listener)

    def call_at(self, deadline: float, callback: Callable[[], object]) -> None:
        """Calls `callback` in the loop at `deadline`, once."""
        self._hub.schedule_call_global(max(0.0, deadline - monotonic()), callback)

    def serve(
        self,
        listeners: Sequence[Listener],
        app: WSGIApplication,
        ready: Callable[[], object],
    ) -> None:
        """Accepts and answers until drained; calls `ready` once it can."""
        self._main = getcurrent()
        self._open(listeners, app)
        self.watch(self._epoll.fileno(), self._on_ready)
        self._resume_accepting()
        ready()
        try:
            while not self._finished():
                self._hub.switch()
        finally:
            self._shut_down()

    def drain(self, deadline: float) -> None:
        """Stops accepting, finishes what was started, cuts what runs at `deadline`."""
        if self._draining:
            self.call_at(deadline, self._cut)
            return
        self._accept_all()
        self._draining = True
        self._close_doors()
        for site in self._sites.values():
            # Nobody may connect to a port that this worker alone still holds open.
            site.listener.sock.close()
        patience = min(deadline, monotonic() + self._settings.drain_idle_timeout)
        for site in self._sites.values():
            site.draining = True
        for conn in self._conns.values():
            conn.retire(patience)
        self.call_at(patience, self._sweep)
        self.call_at(deadline, self._cut)
        self._wake_main_if_finished()

    def replace(self, listeners: Sequence[Listener], app: WSGIApplication) -> None:
        """Serves `app` on `listeners` from now on; what runs is finished as it began."""
        old = self._sites
        self._close_doors()
        self._sites = {}
        self._open(listeners, app)
        by_address = {site.listener.address: site for site in self._sites.values()}
        retired = {id(site) for site in old.values()}
        for conn in self._conns.values():
            if id(conn.site) in retired:
                successor = by_address.get(conn.site.listener.address)
                if successor is None:
                    conn.site.draining = True
                elif conn.state is not _RUNNING:
                    conn.site = successor
        self._resume_accepting()

    def reopen_logs(self) -> None:
        """Opens the access log anew."""
        if self._log is not None:
            self._log.reopen()

    # -- what a connection asks for --------------------------------------------------

    def wait(self, conn: Connection, deadline: float, *, writable: bool) -> None:
        """Lets others run until the client moves. Raises `TimeoutError` at `deadline`."""
        wanted = _WRITE if writable else conn.watched or _READ
        if conn.watched != wanted:
            self._watch_conn(conn, wanted)
        pause = conn.waiter = Pause()
        conn.deadline = deadline
        if deadline < self._sweep_due:
            self._sweep_at(deadline)
        try:
            outcome = self._hub.switch()
        finally:
            pause.waiting = False
            conn.waiter = None
            conn.deadline = math.inf
        if outcome is _TIMED_OUT:
            raise TimeoutError

    def breathe(self) -> None:
        """Lets others run."""
        sleep(0)

    def forget(self, conn: Connection) -> None:
        """The connection is about to close its descriptor; epoll notices by itself."""
        self._conns.pop(conn.fd, None)
        if self._starved:
            self._resume_accepting()
        if self._draining:
            self._wake_main_if_finished()

    # -- the loop -----------------------------------------------------------------------

    def _on_ready(self) -> None:
        """In the hub: something happened, and nobody is at work."""
        self._slice_end = monotonic() + SLICE
        worker = self._idle.pop() if self._idle else greenlet(self._work)
        worker.parent = self._hub.greenlet
        worker.switch()

    def _work(self) -> None:
        """The body of every greenlet: serve what is ready, then wait to be needed."""
        me = getcurrent()
        while True:
            try:
                self._serve_ready(me)
            except Exception:  # the engine must survive its own faults
                LOG.exception("the engine failed while serving a connection")
            self._report()
            self._idle.append(me)
            if self._hub.switch() is _TIMED_OUT:
                return

    def _serve_ready(self, me: greenlet) -> None:
        ready = self._ready
        while True:
            if not ready:
                if self._raised:
                    self._raised = False
                    os.eventfd_read(self._baton)
                if not self._collect():
                    return
                continue
            conn = ready.popleft()
            try:
                if conn.step(monotonic()):
                    if self._running >= self._settings.threads:
                        self._queue.append(conn)
                        continue
                    if ready and not self._raised:
                        self._raise_baton()
                    self._run(conn, me)
                self._settle(conn)
            except BaseException:
                conn.close()
                raise

    def _run(self, conn: Connection, me: greenlet) -> None:
        self._running += 1
        self._requests += 1
        conn.runner = me
        try:
            conn.run(monotonic())
        finally:
            conn.runner = None
            self._running -= 1
            if self._queue:
                self._ready.append(self._queue.popleft())
            if self._draining:
                self._wake_main_if_finished()

    def _settle(self, conn: Connection) -> None:
        """Puts a connection where its next event will find it."""
        state = conn.state
        if state is _CLOSED or state is _RUNNING:
            return
        if conn.signalled or state is _READY:
            self._ready.append(conn)
        if not conn.watched:
            self._watch_conn(conn, _READ)

    def _collect(self) -> bool:
        """Fetches what is ready; false when there is nothing or the hub is due."""
        self._flush_log()
        if monotonic() >= self._slice_end:
            return False
        events = self._epoll.poll(0)
        if not events:
            return False
        ready = self._ready
        for fd, mask in events:
            conn = self._conns.get(fd)
            if conn is None:
                if fd in self._sites:
                    self._accept(fd, ACCEPT_BATCH)
            elif conn.waiter is not None:
                pause, conn.waiter = conn.waiter, None
                self._hub.schedule_call_global(0, pause.resume)
            elif conn.state is _RUNNING:
                conn.signalled = True
            else:
                if mask & _ENDED:
                    # The end of input shares its edge with the last bytes: look again.
                    conn.ended = True
                ready.append(conn)
        return bool(ready)

    def _report(self) -> None:
        self._slot.update(monotonic(), self._requests, self._running, len(self._conns))
        if self._requests >= self._request_limit:
            self._request_limit = math.inf
            if self._on_request_limit is not None:
                self._on_request_limit()

    def _flush_log(self) -> None:
        if self._log is not None:
            self._log.flush()

    def _raise_baton(self) -> None:
        self._raised = True
        os.eventfd_write(self._baton, 1)

    # -- accepting --------------------------------------------------------------------

    def _open(self, listeners: Sequence[Listener], app: WSGIApplication) -> None:
        for listener in listeners:
            # A descriptor of our own, and never a green socket.
            fd = os.dup(listener.sock.fileno())
            door = socket.SocketType(
                listener.sock.family, socket.SOCK_STREAM, listener.sock.proto, fd
            )
            door.setblocking(False)
            site = Site(
                listener,
                app,
                self._settings,
                self,
                self._log,
                worker_id=self._worker_id,
            )
            self._sites[fd] = site
            self._doors[fd] = door

    def _resume_accepting(self) -> None:
        self._starved = False
        if not self._accepting and not self._draining:
            self._accepting = True
            for fd in self._doors:
                # One worker is woken for a connection, not all of them.
                self._epoll.register(fd, select.EPOLLIN | select.EPOLLEXCLUSIVE)

    def _pause_accepting(self) -> None:
        if self._accepting:
            self._accepting = False
            for fd in self._doors:
                self._epoll.unregister(fd)

    def _close_doors(self) -> None:
        self._pause_accepting()
        for door in self._doors.values():
            door.close()
        self._doors.clear()

    def _accept(self, fd: int, most: int) -> bool:
        """Accepts up to `most` connections; true when there may be more."""
        door, site = self._doors[fd], self._sites[fd]
        now = monotonic()
        for _ in range(most):
            if len(self._conns) >= self._settings.max_connections and not self._shed():
                self._starve("max_connections = %d reached", len(self._conns))
                return False
            try:
                # The C-level socket costs a third of the Python class, per connection.
                new, address = door._accept()
            except BlockingIOError:
                return False
            except OSError as exc:
                if exc.errno in _NO_DESCRIPTORS:
                    self._starve("cannot accept: %s", exc.strerror)
                    self.call_at(now + ACCEPT_PAUSE, self._resume_accepting)
                    return False
                # The client took its connection back before we came to it.
                LOG.debug("accept: %s", exc)
                continue
            sock = socket.SocketType(door.family, socket.SOCK_STREAM, door.proto, new)
            sock.setblocking(False)
            peer = (address[0], str(address[1])) if type(address) is tuple else ("", "")
            self._conns[new] = conn = Connection(sock, peer, site, now)
            self._ready.append(conn)
        if self._sweep_due is math.inf:
            self._sweep_at(now + self._shortest)
        return True

    def _accept_all(self) -> None:
        """Takes what the kernel has completed, so that closing resets nobody."""
        if self._accepting:
            for fd in list(self._doors):
                while self._accept(fd, ACCEPT_BATCH):
                    continue
            self._kick()

    def _shed(self) -> bool:
        """Closes the connections that have been idle longest; false if none is."""
        idle = [conn for conn in self._conns.values() if conn.state is _IDLE]
        for conn in heapq.nsmallest(ACCEPT_BATCH, idle, key=lambda conn: conn.deadline):
            conn.close()
        return bool(idle)

    def _starve(self, reason: str, detail: object) -> None:
        """Stops accepting until something is closed; one log line an episode."""
        if not self._starved:
            LOG.warning("accepting pauses: " + reason, detail)  # noqa: G003
            self._starved = True
        self._pause_accepting()

    # -- deadlines ----------------------------------------------------------------------

    def _sweep_at(self, when: float) -> None:
        if when < self._sweep_due:
            if self._sweep_timer is not None:
                self._sweep_timer.cancel()
            self._sweep_due = when
            delay = max(when - monotonic(), 0.0)
            self._sweep_timer = self._hub.schedule_call_global(delay, self._sweep)

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
                    self._interrupt(conn)
                else:
                    due = min(due, overdue)
            if due <= now:
                self._expire(conn, now)
            elif due < soonest:
                soonest = due
        if len(self._idle) > SPARE:
            spare = self._idle.pop(0)
            self._hub.schedule_call_global(0, spare.switch, _TIMED_OUT)
        self._kick()
        self._report()
        if self._conns:
            self._sweep_at(max(soonest, now + RESOLUTION))

    def _expire(self, conn: Connection, now: float) -> None:
        if conn.waiter is not None:
            pause, conn.waiter = conn.waiter, None
            self._hub.schedule_call_global(0, pause.resume, _TIMED_OUT)
        elif conn.state is not _RUNNING:
            conn.expire(now)
            self._settle(conn)

    def _interrupt(self, conn: Connection) -> None:
        """Raises `RequestTimeout` in an application that took too long, once."""
        exchange, runner = conn.exchange, conn.runner
        if exchange is None or runner is None or exchange.interrupted:
            return
        exchange.interrupted = True
        LOG.error(
            "%s exceeded request_timeout; it stands at\n%s", exchange, _where(runner)
        )
        self._hub.schedule_call_global(0, self._throw, exchange, conn)

    def _throw(self, exchange: Exchange, conn: Connection) -> None:
        if conn.exchange is exchange and conn.runner is not None:
            conn.runner.throw(RequestTimeout())

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
                    _where(conn.runner),
                )
                conn.abort()
            else:
                conn.close()
        self._stopped = True
        self._wake_main_if_finished()

    def _finished(self) -> bool:
        return self._stopped or (
            self._draining and not self._conns and not self._running
        )

    def _wake_main_if_finished(self) -> None:
        if self._main is not None and self._finished():
            main, self._main = self._main, None
            self._hub.schedule_call_global(0, main.switch)

    def _shut_down(self) -> None:
        self._main = None
        self._close_doors()
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        for conn in list(self._conns.values()):
            conn.close()
        self.unwatch(self._epoll.fileno())
        self._idle.clear()
        self._report()
        self._epoll.close()
        os.close(self._baton)
        if self._log is not None:
            self._log.close()

    def _watch_conn(self, conn: Connection, wanted: int) -> None:
        if conn.watched:
            self._epoll.modify(conn.fd, wanted)
        else:
            self._epoll.register(conn.fd, wanted)
        conn.watched = wanted


def _open_log(settings: Settings, worker_id: int) -> AccessLog | None:
    if settings.access_log is None:
        return None
    return AccessLog(
        settings.access_log, settings.access_log_format, worker_id=worker_id
    )


def _where(runner: greenlet | None) -> str:
    """The innermost frames of a greenlet that is not running."""
    if runner is None or runner.gr_frame is None:
        return "  (unknown)"
    return "".join(traceback.format_stack(runner.gr_frame, limit=None)[-4:]).rstrip()


def _renew_hub() -> None:
    """After a fork: a hub of our own, where the parent's would share its epoll set."""
    hub = getattr(hubs._threadlocal, "hub", None)
    if hub is not None:
        hubs.use_hub(sys.modules[type(hub).__module__])


def _ignore_throw(*_: object) -> None:
    """A hub throws into listeners whose descriptor was reopened; ours never is."""
