"""What the process shows of itself, and what it lets an operator do."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from wsgi_server._scoreboard.totals import Reading

from .events import Event

#: Why a worker ended (a label of `wsgi_server_worker_exits_total`).
EXITS: Final = (
    *("reload", "scale", "max_requests", "max_lifetime", "max_rss"),
    *("timeout", "crash", "signal", "load_failed"),
)


class Phase(enum.Enum):
    """Where the server is in its life."""

    #: The first generation is not ready yet.
    BOOTING = "booting"
    SERVING = "serving"
    RELOADING = "reloading"
    #: It was told to stop and finishes what was started.
    DRAINING = "draining"


class WorkerState(enum.Enum):
    """Where a worker is in its life."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


@dataclass(frozen=True)
class Running:
    """A request that takes long."""

    method: str
    #: Without the query, which may hold secrets.
    path: str
    seconds: float
    request_id: str = ""


@dataclass(frozen=True)
class WorkerRow:
    """One worker now. Times are seconds, sizes bytes."""

    #: From 1, and the same for whoever replaces it; 0 where nothing is forked.
    number: int
    pid: int
    service: str
    generation: int
    state: WorkerState
    age: float
    beat_age: float
    requests: int
    active: int
    queued: int
    threads: int
    threads_busy: int
    connections: Mapping[str, int]
    resident: int | None = None
    open_fds: int | None = None
    #: Seconds that each request has run, as far as they are known.
    ages: Sequence[float] = ()
    slow: Sequence[Running] = ()


@dataclass(frozen=True)
class ListenerRow:
    """A listening socket."""

    url: str
    #: Connections that wait to be accepted, where the system says so.
    backlog: int | None
    backlog_limit: int
    #: When its certificate ends (seconds since the epoch), with TLS.
    not_after: float | None = None


@dataclass(frozen=True)
class ServiceRow:
    """A service of the present generation."""

    name: str
    engine: str
    wanted: int
    listeners: Sequence[ListenerRow]
    totals: Reading
    #: Workers that were started, and that ended, by one of `EXITS`.
    starts: int = 0
    exits: Mapping[str, int] = field(default_factory=dict)
    #: Requests and CPU seconds of each worker's number, whoever had it.
    requests_by_number: Mapping[int, float] = field(default_factory=dict)
    cpu_by_number: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class State:
    """The server at one moment."""

    phase: Phase
    version: str
    python: str
    pid: int
    #: Seconds since it was started, and until what is drained must have left.
    uptime: float
    drain_left: float | None
    generation: int
    #: Workers of the coming generation that are ready, and wanted.
    reload_progress: tuple[int, int] | None
    reloads_accepted: int
    reloads_failed: int
    #: Whether the last reload was accepted, when (since the epoch), and why not.
    last_reload_accepted: bool
    last_reload_time: float
    last_reload_reason: str
    #: Why the first generation was given up.
    boot_failure: str | None
    #: Whether the first generation has been ready once.
    started: bool
    #: Whether an operator asked for it to be not ready (`POST /drain`).
    held: bool
    #: Seconds; None where nobody watches the workers.
    worker_timeout: float | None
    worker_ready_timeout: float
    services: Sequence[ServiceRow]
    workers: Sequence[WorkerRow]
    #: False where one process serves by itself (`workers = 0`).
    forks: bool = True
    #: Seconds since any worker that serves, or has served, last moved.
    silence: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What became of an order."""

    done: bool
    #: What happened, or why not.
    detail: str
    facts: Mapping[str, Any] = field(default_factory=dict)


#: Told an outcome when there is one, at once or later.
Tell = Callable[[Outcome], object]


class Server(Protocol):
    """What the process offers. Every order is answered through `tell`, once."""

    def state(self, *, brief: bool = False) -> State:
        """The server now; in `brief` without what its services and workers have counted.

        Probes ask for no more, and are answered as soon with a hundred workers.
        """

    def events(self) -> Sequence[Event]:
        """The last events, oldest first."""

    def config(self) -> Mapping[str, Any]:
        """The effective options with their source, secrets masked."""

    def reload(self, tell: Tell) -> None:
        """As SIGHUP; tells when the transaction has ended."""

    def scale(self, tell: Tell, *, workers: int | None, by: int | None) -> None:
        """As SIGTTIN and SIGTTOU, to a number or by one."""

    def restart(self, tell: Tell, number: int) -> None:
        """Replaces a worker; tells when its successor has been asked for."""

    def log_level(
        self, tell: Tell, level: str, logger: str, seconds: float | None
    ) -> None:
        """Sets a logger's level here and in the workers; for so long, where given."""

    def hold(self, tell: Tell, *, held: bool) -> None:
        """From now on the server says that it is not ready, or no more."""

    def stop(self, tell: Tell, *, graceful: bool) -> None:
        """As SIGTERM, or as SIGINT."""

    def reopen_logs(self, tell: Tell) -> None:
        """As SIGUSR1."""

    def upgrade(self, tell: Tell) -> None:
        """As SIGUSR2."""

    def stacks(self, tell: Tell, number: int | None) -> None:
        """Tells where the threads and greenlets of one worker, or of all, stand."""
