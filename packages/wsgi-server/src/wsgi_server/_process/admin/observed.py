"""The process as the admin side sees it: workers, services, totals, and what happened.

Everything here is read from what the process knows anyway, when somebody asks. Only what
would be lost with a worker is kept: its counts, its CPU time, why it ended.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from wsgi_server import __version__
from wsgi_server._admin.events import Events
from wsgi_server._admin.state import (
    ListenerRow,
    Phase,
    Running,
    ServiceRow,
    State,
    WorkerRow,
    WorkerState,
)
from wsgi_server._scoreboard.running import Named
from wsgi_server._scoreboard.slots import WorkerState as SlotState
from wsgi_server._scoreboard.totals import Totals
from wsgi_server._system import process

if TYPE_CHECKING:
    from wsgi_server._net.listeners import Listener
    from wsgi_server._process.generation import Generation
    from wsgi_server._process.reload import Reload
    from wsgi_server._process.service import Deployment
    from wsgi_server._process.workers import Worker
    from wsgi_server._scoreboard.slots import Slot

_STATES: Final[Mapping[SlotState, WorkerState]] = {
    SlotState.STARTING: WorkerState.STARTING,
    SlotState.READY: WorkerState.READY,
    SlotState.DRAINING: WorkerState.DRAINING,
}
#: Whose loggers say what happens.
_PROCESS: Final = "wsgi_server._process"
_LEVELS: Final = ((logging.ERROR, "error"), (logging.WARNING, "warning"))


@dataclass(frozen=True)
class Seen:
    """A worker, or the one process that has none, as far as it is seen here."""

    pid: int
    number: int
    service: str
    generation: int
    threads: int
    slot: Slot


@dataclass
class _Record:
    """What is kept of a service beyond its workers."""

    totals: Totals = field(default_factory=Totals)
    starts: int = 0
    exits: Counter[str] = field(default_factory=Counter)
    requests: Counter[int] = field(default_factory=Counter)
    cpu: defaultdict[int, float] = field(default_factory=lambda: defaultdict(float))


class Observed:
    """Makes a `State` whenever one is asked for.

    `phase` says where the server is, and until when it drains (monotonic seconds);
    `workers` which there are; `boot_failure` why the first generation was given up.
    """

    def __init__(
        self,
        present: Callable[[], Generation],
        reload: Reload,
        *,
        phase: Callable[[], tuple[Phase, float | None]],
        workers: Callable[[], Iterable[Seen]],
        boot_failure: Callable[[], str | None],
    ) -> None:
        self.events = Events()
        #: Whether an operator asked for it to be not ready.
        self.held = False
        self._present = present
        self._reload = reload
        self._phase = phase
        self._workers = workers
        self._boot_failure = boot_failure
        self._begun = monotonic()
        self._served_since = time.time()
        self._accepted = 0
        self._started = False
        #: When a worker that serves has last moved (monotonic seconds).
        self._moved = self._begun
        self._records: defaultdict[str, _Record] = defaultdict(_Record)
        self._urls: dict[str, str] = {}
        self._handler = _Notes(self.events)
        logging.getLogger(_PROCESS).addHandler(self._handler)

    def close(self) -> None:
        """Notes no more events."""
        logging.getLogger(_PROCESS).removeHandler(self._handler)

    def began(self, service: str) -> None:
        """A worker was started."""
        self._records[service].starts += 1

    def ended(self, seen: Seen, reason: str, cpu: float) -> None:
        """A worker has ended; its slot is about to be free. `cpu` is its time in all."""
        record = self._records[seen.service]
        record.exits[reason] += 1
        record.requests[seen.number] += seen.slot.requests
        record.cpu[seen.number] += cpu
        self._note_beat(seen)
        if seen.slot.counts is not None:
            record.totals.retire(seen.slot.counts)

    def state(self, *, brief: bool = False) -> State:
        """The server now; in `brief` without what its services and workers have counted."""
        now = monotonic()
        present = self._present()
        phase, until = self._phase()
        seen = list(self._workers())
        rows = [_row(one, now, brief=brief) for one in seen]
        if phase is Phase.BOOTING:
            self._moved = now
        elif phase is not Phase.DRAINING:
            self._started = True
        for one in seen:
            self._note_beat(one)
        if self._reload.accepted != self._accepted:
            self._accepted = self._reload.accepted
            self._served_since = time.time()
        settings = present.settings
        coming = self._reload.coming
        return State(
            phase=phase,
            version=__version__,
            python=platform.python_version(),
            pid=os.getpid(),
            uptime=now - self._begun,
            drain_left=None if until is None else max(0.0, until - now),
            generation=present.number,
            reload_progress=None if coming is None else _progress(coming, rows),
            reloads_accepted=self._reload.accepted,
            reloads_failed=self._reload.given_up,
            last_reload_accepted=not self._reload.last_failure,
            last_reload_time=self._served_since,
            last_reload_reason=self._reload.last_failure,
            boot_failure=self._boot_failure(),
            started=self._started,
            held=self.held,
            worker_timeout=settings.worker_timeout,
            worker_ready_timeout=settings.worker_ready_timeout,
            services=tuple(
                self._service(name, one, [s for s in seen if s.service == name])
                for name, one in present.deployments.items()
                if not brief
            ),
            workers=tuple(rows),
            forks=present.forks,
            # One process that answers by itself moves.
            silence=max(0.0, now - self._moved) if present.forks else 0.0,
        )

    def _note_beat(self, seen: Seen) -> None:
        if seen.slot.state in (SlotState.READY, SlotState.DRAINING):
            self._moved = max(self._moved, seen.slot.beat)

    def _service(
        self, name: str, deployment: Deployment, seen: list[Seen]
    ) -> ServiceRow:
        record = self._records[name]
        requests = Counter(record.requests)
        cpu = dict(record.cpu)
        for one in seen:
            requests[one.number] += one.slot.requests
            cpu[one.number] = cpu.get(one.number, 0.0) + process.cpu_seconds(one.pid)
        settings = deployment.service.settings
        return ServiceRow(
            name=name,
            engine=settings.engine,
            wanted=deployment.wanted if settings.workers else 0,
            listeners=tuple(
                self._listener(item, settings.backlog) for item in deployment.listeners
            ),
            totals=record.totals.read(
                one.slot.counts for one in seen if one.slot.counts is not None
            ),
            starts=record.starts,
            exits=dict(record.exits),
            requests_by_number=dict(requests),
            cpu_by_number=cpu,
        )

    def _listener(self, listener: Listener, limit: int) -> ListenerRow:
        if listener.sock.fileno() >= 0:
            self._urls[listener.key] = listener.url
        return ListenerRow(
            # While it drains, this process has closed its own.
            url=self._urls.get(listener.key, str(listener.source)),
            backlog=listener.waiting(),
            backlog_limit=limit,
            not_after=listener.not_after,
        )


def seen(worker: Worker) -> Seen:
    """A worker of the supervisor's as it is seen here."""
    return Seen(
        worker.pid,
        worker.worker_id,
        worker.service,
        worker.generation,
        worker.settings.threads,
        worker.slot,
    )


class _Notes(logging.Handler):
    """Keeps what the process says of itself as events."""

    def __init__(self, events: Events) -> None:
        super().__init__(logging.INFO)
        self._events = events

    def emit(self, record: logging.LogRecord) -> None:
        level = next((name for at, name in _LEVELS if record.levelno >= at), "info")
        self._events.note(level, record.getMessage().partition("\n")[0])


def _progress(coming: Generation, rows: Iterable[WorkerRow]) -> tuple[int, int]:
    ready = sum(
        row.generation == coming.number and row.state is WorkerState.READY
        for row in rows
    )
    return ready, sum(one.wanted for one in coming.deployments.values())


def _row(seen: Seen, now: float, *, brief: bool) -> WorkerRow:
    slot = seen.slot
    begun: list[float] = []
    named: list[Named] = []
    if slot.running is not None and not brief:
        begun, named = slot.running.read()
    facts: dict[str, Any] = {}
    if not brief:
        # It may end while it is looked at.
        with contextlib.suppress(OSError):
            facts["resident"] = process.resident(seen.pid)
            facts["open_fds"] = process.open_fds(seen.pid)
    return WorkerRow(
        number=seen.number,
        pid=seen.pid,
        service=seen.service,
        generation=seen.generation,
        state=_STATES.get(slot.state, WorkerState.STARTING),
        age=now - slot.started,
        beat_age=max(0.0, now - slot.beat),
        requests=slot.requests,
        active=slot.in_flight,
        queued=slot.queued,
        threads=seen.threads,
        threads_busy=min(seen.threads, slot.in_flight),
        connections=slot.connection_states,
        ages=[max(0.0, now - begin) for begin in begun],
        slow=[
            Running(one.method, one.path, now - one.since, one.request_id)
            for one in named
        ],
        **facts,
    )
