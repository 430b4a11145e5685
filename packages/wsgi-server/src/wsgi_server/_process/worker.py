"""A worker's life: set up, load, say so, serve, drain, leave.

`run` is called in the child right after the fork and never returns. The engine's loop waits
for everything: clients, signals, and the pipe that ends with the supervisor. The end of that
pipe is a signal as well, for the worker whose loop an application holds up.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import logging
import math
import os
import random
import signal
import sys
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Final, NoReturn

from wsgi_server import hooks, pools
from wsgi_server._engines import create_engine, serve
from wsgi_server._logs import rotation
from wsgi_server._logs import server as log
from wsgi_server._scoreboard.slots import WorkerState
from wsgi_server._scoreboard.standing import Standing
from wsgi_server._system import forks
from wsgi_server._system.platform import HAS_FORK
from wsgi_server._system.process import resident, set_title
from wsgi_server._system.signals import Signal, SignalPipe
from wsgi_server.errors import ExitStatus, LoadError, ServerError

from .service import load, not_loaded
from .worker_pipe import (
    Answered,
    Due,
    Failed,
    Forked,
    Leaving,
    Orders,
    Ready,
    Reporter,
    Stacks,
    Ties,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from wsgi_server._config.settings import Settings
    from wsgi_server._engines import Engine
    from wsgi_server._scoreboard.slots import Slot

    from .service import Deployment

LOG = logging.getLogger(__name__)


#: Ends a worker that is still loading, by their default action; later they are noted.
FATAL: Final = (Signal.SIGTERM, Signal.SIGINT, Signal.SIGQUIT)
#: Never end a worker. All but USR1 are the supervisor's business: they arrive here when
#: somebody signals the whole process group.
HARMLESS: Final = (Signal.SIGUSR1, Signal.SIGHUP, Signal.SIGTTIN, Signal.SIGTTOU)
#: Seconds that a worker gets beyond its own deadline before it is ended.
MARGIN: Final = 2.0
#: The longest time between two signs of life of an idle loop, in seconds.
_BEAT: Final = 5.0


@dataclass(frozen=True)
class Assignment:
    """What one worker is to do, and its ties to the supervisor."""

    deployment: Deployment
    #: Where its number and its generation stand.
    slot: Slot
    ties: Ties
    #: Goes to where its generation was configured; called before anything else.
    go: Callable[[], object]
    #: Called before the application is loaded.
    in_child: Callable[[], object] | None = None
    #: Called last, when everything is answered, with the seconds that are left for it.
    before_exit: Callable[[float], object] | None = None

    @property
    def descriptors(self) -> list[int]:
        """Those of the supervisor's that the worker keeps, and its ties."""
        listeners = self.deployment.listeners
        sockets = [listener.sock.fileno() for listener in listeners]
        return [*sockets, *self.ties.descriptors]


def run(
    job: Assignment, release: Callable[[], object], handled: Iterable[Signal]
) -> NoReturn:
    """Lives a worker's life and ends the process.

    `release` lets signals through again, once this process handles them itself; `handled`
    are those that the supervisor's program handles.
    """

    def leave_supervisor() -> None:
        job.go()
        forks.leave_behind(job.descriptors)
        for signum in handled:
            signal.signal(signum, signal.SIG_DFL)
        # What the supervisor's program registered is for the supervisor to run.
        atexit._clear()

    end_with(job, leave_supervisor, release)


def end_with(
    job: Assignment,
    begin: Callable[[], object] = lambda: None,
    release: Callable[[], object] = lambda: None,
) -> NoReturn:
    """Lives a worker's life, from `begin` on, in a process that has no other."""
    status = int(ExitStatus.FAILURE)
    try:
        begin()
        status = int(_live(job, release))
    # The boundary to the process: nothing may fall back into the supervisor's stack.
    except BaseException:
        LOG.exception("worker %d failed", os.getpid())
    finally:
        with contextlib.suppress(Exception):
            _flush()
        os._exit(status)


def _live(job: Assignment, release: Callable[[], object]) -> ExitStatus:
    reporter = Reporter(job.ties.send)
    job.slot.pid = os.getpid()
    signals = SignalPipe(HARMLESS)
    job.ties.begin()
    forks.on_fork(functools.partial(_on_fork, job, reporter))
    release()
    if job.ties.has_ended():
        return ExitStatus.FAILURE  # before the kernel was asked to say so
    set_title(f"worker {job.slot.worker_id} ({job.deployment.service.name})")
    try:
        process = _serve(job, signals, reporter)
    except ServerError as exc:
        cause = exc.__cause__
        if cause is not None and not isinstance(cause, OSError):
            LOG.error("%s", exc, exc_info=cause)  # noqa: TRY400  where it comes from
        reporter.send(Failed(str(exc), exc.exit_status))
        return exc.exit_status
    if job.before_exit is not None and not process.hurried:
        job.before_exit(remaining(process.leave_by))
    reporter.send(Answered())
    atexit._run_exitfuncs()
    return ExitStatus.OK


def _on_fork(job: Assignment, reporter: Reporter, keep: Collection[int]) -> None:
    """In a process that the application forked: tells of it, and has no ties to us."""
    if job.ties.has_room():
        reporter.send(Forked(os.getpid()))
    for listener in job.deployment.listeners:
        listener.leave_behind(keep)
    job.ties.leave_behind(keep)


def _serve(job: Assignment, signals: SignalPipe, reporter: Reporter) -> WorkerProcess:
    """Loads and serves. Raises `ServerError` where it comes to nothing."""
    service = job.deployment.service
    if service.settings.gc_freeze:
        # A collection writes to whatever it looks at: no page would stay shared.
        gc.freeze()
    app = _prepare(job)
    process: WorkerProcess | None = None

    def serve() -> None:
        nonlocal process
        if process is not None:
            raise RuntimeError("this worker has served and is to leave")
        hooks.started(job.slot.worker_id)
        engine = create_engine(
            service.settings,
            job.slot,
            worker_id=job.slot.worker_id,
            request_limit=_request_limit(service.settings),
            on_request_limit=lambda: reporter.send(
                Due("max_requests", f"{job.slot.requests} requests")
            ),
        )
        process = WorkerProcess(job, engine, signals, reporter)
        if service.settings.gc_freeze:
            # What loading has left behind would be kept for ever.
            gc.collect()
            gc.freeze()
        process.serve(app)
        hooks.ended()
        if process.hurried:
            # What the service would do now would take its time.
            raise SystemExit(ExitStatus.OK)

    try:
        service.around(serve)
    except ServerError:
        raise
    # The boundary to what a subclass does around it, which may also call sys.exit().
    except (Exception, SystemExit) as exc:
        if process is None:
            raise not_loaded(service, exc) from exc
        if not process.hurried:
            raise
    if process is None:
        raise LoadError("run_server returned without calling super().run_server()")
    return process


def _prepare(job: Assignment) -> WSGIApplication:
    """Makes this process the worker that it is to be, and loads its application."""
    settings = job.deployment.service.settings
    os.umask(settings.umask)
    job.deployment.identity.assume()
    pools.renew(green=settings.engine == "eventlet")
    if job.in_child is not None:
        job.in_child()
    if job.deployment.app is not None:
        return job.deployment.app
    return load(job.deployment.service)


class WorkerProcess:
    """The worker while it serves: what it does about signals and time."""

    def __init__(
        self, job: Assignment, engine: Engine, signals: SignalPipe, reporter: Reporter
    ) -> None:
        self._job = job
        self._settings = job.deployment.service.settings
        self._engine = engine
        self._signals = signals
        self._reporter = reporter
        self._big = False
        #: Told to go at once.
        self.hurried = False
        #: When what was started must be finished.
        self.leave_by = math.inf

    def serve(self, app: WSGIApplication) -> None:
        """Serves until drained."""
        if HAS_FORK:
            self._signals.add(FATAL)
        ties = self._job.ties
        ties.limit(self._settings.graceful_timeout + MARGIN)
        self._engine.watch(self._signals.fileno(), self._on_signals)
        self._orders = Orders(ties.receive)
        self._engine.watch(ties.fileno(), self._on_orders)
        self._beat()
        if self._settings.max_worker_lifetime is not None:
            self._engine.call_at(
                monotonic() + self._settings.max_worker_lifetime, self._on_age
            )
        serve(self._engine, self._job.deployment.listeners, app, self._on_ready)

    def _on_ready(self) -> None:
        self._job.slot.beat = monotonic()
        self._job.slot.state = WorkerState.READY
        self._reporter.send(Ready())

    def _on_signals(self) -> None:
        for signum in self._signals.take():
            if signum == Signal.SIGTERM:
                self._drain(self._settings.graceful_timeout)
            elif signum in FATAL:
                self.hurried = True
                self._drain(0.0)
            elif signum == Signal.SIGUSR1:
                rotation.reopen()
                self._engine.reopen_logs()

    def _on_orders(self) -> None:
        for order in self._orders.take():
            if "level" in order:
                logging.getLogger(order["logger"] or None).setLevel(order["level"])
            elif "signal" in order:
                self._signals.send(Signal(order["signal"]))
            elif "stacks" in order:
                self._reporter.send(Stacks(self._engine.stacks()))
        if not self._orders.open:
            self._on_orphaned()

    def _on_orphaned(self) -> None:
        self._engine.unwatch(self._job.ties.fileno())
        self._job.slot.standing = Standing.STOPPING
        self._drain(self._settings.graceful_timeout)
        # Last: the handler of a program may wait.
        LOG.warning("worker %d: the supervisor is gone, leaving", os.getpid())

    def _on_age(self) -> None:
        self._reporter.send(
            Due("max_lifetime", f"{self._settings.max_worker_lifetime:g} s of age")
        )

    def _drain(self, limit: float) -> None:
        if self._job.slot.state is not WorkerState.DRAINING:
            self._job.slot.state = WorkerState.DRAINING
            self._reporter.send(Leaving())
        self.leave_by = min(self.leave_by, monotonic() + limit)
        slot = self._job.slot
        # Otherwise something newer serves.
        retiring = slot.standing is not Standing.STOPPING
        self._engine.drain(self.leave_by, retiring=retiring)

    def _beat(self) -> None:
        now = monotonic()
        self._job.slot.beat = now
        most = self._settings.max_worker_rss
        if most is not None and not self._big:
            size = resident()
            self._job.slot.rss = size
            if size > most:
                self._big = True
                self._reporter.send(Due("max_rss", f"{size} bytes of memory"))
        timeout = self._settings.worker_timeout
        self._engine.call_at(
            now + (_BEAT if timeout is None else min(_BEAT, timeout / 5)), self._beat
        )


def remaining(leave_by: float) -> float:
    """The seconds that `before_exit` has: a moment even where draining took them all."""
    return max(MARGIN / 4, leave_by - monotonic())


def _request_limit(settings: Settings) -> int | None:
    if settings.max_requests is None:
        return None
    # Not a secret: workers that were started together should not be replaced together.
    jitter = random.SystemRandom().randint(0, settings.max_requests_jitter)
    return settings.max_requests + jitter


def _flush() -> None:
    log.say_farewell()
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        # None under pythonw and friends; a broken pipe has no reader left to care.
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
