"""A worker's life: set up, load, say so, serve, drain, leave.

`run` is called in the child right after the fork and never returns. The engine's loop waits
for everything: clients, signals, and the pipe that ends with the supervisor. The end of that
pipe is a signal as well, for the worker whose loop an application holds up.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
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
from wsgi_server._engines import create_engine
from wsgi_server._logs import rotation
from wsgi_server._logs import server as log
from wsgi_server._logs.nonblocking import has_room
from wsgi_server._scoreboard.slots import WorkerState
from wsgi_server._scoreboard.standing import Standing
from wsgi_server._system import forks
from wsgi_server._system.process import (
    has_ended,
    resident,
    set_title,
    signal_the_end_of,
)
from wsgi_server._system.signals import SignalPipe
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
)

if TYPE_CHECKING:
    from types import FrameType

    from _typeshed.wsgi import WSGIApplication

    from wsgi_server._config.settings import Settings
    from wsgi_server._engines import Engine
    from wsgi_server._scoreboard.slots import Slot

    from .service import Deployment

LOG = logging.getLogger(__name__)


#: Asks a worker for its stack. Handled by faulthandler, below Python: it also answers
#: where no bytecode runs any more.
DUMP_SIGNAL: Final = signal.SIGUSR2
#: Ends a worker that is still loading, by their default action; later they are noted.
FATAL: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
#: Never end a worker. All but USR1 are the supervisor's business: they arrive here when
#: somebody signals the whole process group.
HARMLESS: Final = (signal.SIGUSR1, signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU)
#: Sent by the kernel when the supervisor is gone. Ends a worker that is still loading, by
#: its default action; later it sets a limit.
ORPHANED: Final = signal.SIGIO

#: Seconds that a worker gets beyond its own deadline before it is ended.
MARGIN: Final = 2.0
#: The longest time between two signs of life of an idle loop, in seconds.
_BEAT: Final = 5.0


@dataclass(frozen=True)
class Assignment:
    """What one worker is to do, and its ties to the supervisor."""

    worker_id: int
    generation: int
    deployment: Deployment
    slot: Slot
    #: Written to by the worker; read by the supervisor, for which its end is our death.
    report: int
    #: This worker's own; brings its orders, and its end is the supervisor's death.
    life: int
    #: Goes to where its generation was configured; called before anything else.
    go: Callable[[], object]
    #: Called before the application is loaded.
    in_child: Callable[[], object] | None = None
    #: Called last, when everything is answered, with the seconds that are left for it.
    before_exit: Callable[[float], object] | None = None

    @property
    def descriptors(self) -> list[int]:
        """Those of the supervisor's that the worker keeps, and its ends of the pipes."""
        listeners = self.deployment.listeners
        sockets = [listener.sock.fileno() for listener in listeners]
        return [*sockets, self.report, self.life]


def run(
    job: Assignment, release: Callable[[], object], handled: Iterable[signal.Signals]
) -> NoReturn:
    """Lives a worker's life and ends the process.

    `release` lets signals through again, once this process handles them itself; `handled`
    are those that the supervisor's program handles.
    """
    status = int(ExitStatus.FAILURE)
    try:
        job.go()
        forks.leave_behind(job.descriptors)
        for signum in handled:
            signal.signal(signum, signal.SIG_DFL)
        # What the supervisor's program registered is for the supervisor to run.
        atexit._clear()
        status = int(_live(job, release))
    # The boundary to the process: nothing may fall back into the supervisor's stack.
    except BaseException:
        LOG.exception("worker %d failed", os.getpid())
    finally:
        with contextlib.suppress(Exception):
            _flush()
        os._exit(status)


def _live(job: Assignment, release: Callable[[], object]) -> ExitStatus:
    reporter = Reporter(job.report)
    job.slot.pid = os.getpid()
    faulthandler.register(DUMP_SIGNAL, file=job.report, all_threads=True)
    signals = SignalPipe(HARMLESS)
    signal.signal(ORPHANED, signal.SIG_DFL)
    signal_the_end_of(job.life)
    forks.on_fork(functools.partial(_on_fork, job, reporter))
    release()
    if has_ended(job.life):
        return ExitStatus.FAILURE  # before the kernel was asked to say so
    set_title(f"worker {job.worker_id} ({job.deployment.service.name})")
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
    if has_room(job.report):
        reporter.send(Forked(os.getpid()))
    faulthandler.unregister(DUMP_SIGNAL)
    signal.signal(ORPHANED, signal.SIG_DFL)
    for listener in job.deployment.listeners:
        listener.leave_behind(keep)
    forks.close((job.report, job.life), keep)


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
        hooks.started(job.worker_id)
        engine = create_engine(
            service.settings,
            job.slot,
            worker_id=job.worker_id,
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
        with forks.during(lambda _keep: engine.abandon()):
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
        self._signals.add(FATAL)
        signal.signal(ORPHANED, self._on_orphaned_signal)
        self._engine.watch(self._signals.fileno(), self._on_signals)
        self._orders = Orders(self._job.life)
        self._engine.watch(self._job.life, self._on_orders)
        self._beat()
        if self._settings.max_worker_lifetime is not None:
            self._engine.call_at(
                monotonic() + self._settings.max_worker_lifetime, self._on_age
            )
        self._engine.serve(self._job.deployment.listeners, app, self._on_ready)

    def _on_ready(self) -> None:
        self._job.slot.beat = monotonic()
        self._job.slot.state = WorkerState.READY
        self._reporter.send(Ready())

    def _on_signals(self) -> None:
        for signum in self._signals.take():
            if signum == signal.SIGTERM:
                self._drain(self._settings.graceful_timeout)
            elif signum in FATAL:
                self.hurried = True
                self._drain(0.0)
            elif signum == signal.SIGUSR1:
                rotation.reopen()
                self._engine.reopen_logs()

    def _on_orders(self) -> None:
        for order in self._orders.take():
            if "level" in order:
                logging.getLogger(order["logger"] or None).setLevel(order["level"])
            elif "stacks" in order:
                self._reporter.send(Stacks(self._engine.stacks()))
        if not self._orders.open:
            self._on_orphaned()

    def _on_orphaned(self) -> None:
        self._engine.unwatch(self._job.life)
        self._job.slot.standing = Standing.STOPPING
        self._drain(self._settings.graceful_timeout)
        # Last: the handler of a program may wait.
        LOG.warning("worker %d: the supervisor is gone, leaving", os.getpid())

    def _on_orphaned_signal(self, _signum: int, _frame: FrameType | None) -> None:
        """The signal handler for the supervisor's death; `_on_orphaned` does the rest.

        It does more than take a note, because the loop that would read one may never turn
        again and nobody is left who watches it. The timer is a native thread without an
        interpreter: no application can hold it up.
        """
        if has_ended(self._job.life):
            faulthandler.dump_traceback_later(
                self._settings.graceful_timeout + MARGIN,
                exit=True,
                file=log.descriptor(),
            )

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
