"""Every metric of the server: its name, kind, labels and help, and where its samples are.

The page of the documentation that lists them is made of this table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from wsgi_server._scoreboard.counts import CLOSINGS, METHODS, OTHER, REJECTIONS
from wsgi_server._scoreboard.totals import Histogram

from .state import EXITS, ListenerRow, ServiceRow, State, WorkerRow, WorkerState

#: The states of `wsgi_server_connections`.
CONNECTION_STATES: Final = ("reading", "running", "writing", "idle", "draining")

#: Label values, and a number or a histogram.
Sample = tuple[Sequence[str], float | Histogram]


class Seen(NamedTuple):
    """What samples are taken of: the server, and the service where there is one."""

    state: State
    service: ServiceRow
    workers: Sequence[WorkerRow]


class Label(NamedTuple):
    """A label: its name, and the values that it can have or what they are."""

    name: str
    values: tuple[str, ...] | str


@dataclass(frozen=True)
class Metric:
    """One family, under the name that Prometheus shows."""

    name: str
    #: `counter`, `gauge`, `histogram` or `info`.
    kind: str
    help: str
    #: When it moves, for people.
    moves: str
    samples: Callable[[Seen], Iterable[Sample]]
    #: Beside `service`, which stands in front where a server has several.
    labels: tuple[Label, ...] = ()
    #: Whether it is about one service or about all of the server.
    per_service: bool = True


def _one(number: Callable[[Seen], float]) -> Callable[[Seen], Iterable[Sample]]:
    return lambda seen: [((), number(seen))]


def _counter(name: str) -> Callable[[Seen], Iterable[Sample]]:
    return _one(lambda seen: seen.service.totals.counters[name])


def _counters(prefix: str, names: Sequence[str]) -> Callable[[Seen], Iterable[Sample]]:
    return lambda seen: [
        ((name,), seen.service.totals.counters[f"{prefix}_{name}"]) for name in names
    ]


def _sum(number: Callable[[WorkerRow], int]) -> Callable[[Seen], Iterable[Sample]]:
    return _one(lambda seen: sum(map(number, seen.workers)))


def _by_listener(
    number: Callable[[ListenerRow], float | None],
) -> Callable[[Seen], Iterable[Sample]]:
    return lambda seen: [
        ((one.url,), value)
        for one in seen.service.listeners
        if (value := number(one)) is not None
    ]


def _by_number(
    numbers: Callable[[ServiceRow], Mapping[int, float]],
) -> Callable[[Seen], Iterable[Sample]]:
    return lambda seen: [
        ((str(number),), value)
        for number, value in sorted(numbers(seen.service).items())
    ]


def _by_worker(
    value: Callable[[WorkerRow], float | None],
) -> Callable[[Seen], Iterable[Sample]]:
    def samples(seen: Seen) -> Iterable[Sample]:
        # Two have one number while a new one takes over: the newer one counts.
        rows = {w.number: w for w in sorted(seen.workers, key=lambda w: w.generation)}
        for number, worker in sorted(rows.items()):
            found = value(worker)
            if found is not None:
                yield (str(number),), found

    return samples


def _durations(seen: Seen) -> Iterable[Sample]:
    return sorted(seen.service.totals.durations.items(), key=lambda item: item[0])


_LISTENER: Final = Label("listener", "its URL")
_WORKER: Final = Label("worker", "its number, which its successor inherits")

METRICS: Final[tuple[Metric, ...]] = (
    Metric(
        "http_server_request_duration_seconds",
        "histogram",
        "From a request's head to the last byte of its response.",
        "when the last byte of a response is sent, or the request ends otherwise",
        _durations,
        (
            Label("http_request_method", (*sorted(METHODS), OTHER)),
            Label(
                "http_response_status_code",
                "three digits, or `_OTHER` where too many kinds came",
            ),
            Label("url_scheme", ("http", "https")),
            Label(
                "http_route",
                "with `metrics_by_route` the template that `wsgi_server.route` in the environ names, "
                "else empty",
            ),
            Label("error_type", "`timeout`, `client_gone`, an exception, or empty"),
        ),
    ),
    Metric(
        "wsgi_server_request_queue_duration_seconds",
        "histogram",
        "From a request's head to its application: the signal to scale by.",
        "when a request has ended; nearly 0 where it found a free place",
        lambda seen: [((), seen.service.totals.queue)],
    ),
    Metric(
        "wsgi_server_requests_active",
        "gauge",
        "Requests that run.",
        "with each request that begins and ends",
        _sum(lambda worker: worker.active),
    ),
    Metric(
        "wsgi_server_requests_queued",
        "gauge",
        "Requests that wait for a free place.",
        "while all places of a worker are busy",
        _sum(lambda worker: worker.queued),
    ),
    Metric(
        "wsgi_server_threads",
        "gauge",
        "Places for requests, threads or greenlets.",
        "with the number of workers and their pool sizes",
        _sum(lambda worker: worker.threads),
    ),
    Metric(
        "wsgi_server_threads_busy",
        "gauge",
        "Places that a request occupies.",
        "with each request that begins and ends",
        _sum(lambda worker: worker.threads_busy),
    ),
    Metric(
        "wsgi_server_threads_busy_seconds_total",
        "counter",
        "Time that requests have occupied places.",
        "when a request has ended, by its duration",
        _counter("threads_busy_seconds"),
    ),
    Metric(
        "wsgi_server_request_body_bytes_total",
        "counter",
        "Body bytes of requests, as far as Content-Length announced them.",
        "when a request has ended; chunked bodies are not in it",
        _counter("request_body_bytes"),
    ),
    Metric(
        "wsgi_server_response_body_bytes_total",
        "counter",
        "Body bytes of responses.",
        "when a request has ended",
        _counter("response_body_bytes"),
    ),
    Metric(
        "wsgi_server_requests_rejected_total",
        "counter",
        "Requests that the server answered before any application.",
        "when the server itself answers a request with 4xx or 503",
        _counters("rejected", REJECTIONS),
        (Label("reason", REJECTIONS),),
    ),
    Metric(
        "wsgi_server_slow_requests_total",
        "counter",
        "Requests that took slow_request_time or more.",
        "when a request passes the threshold",
        _counter("slow_requests"),
    ),
    Metric(
        "wsgi_server_request_timeouts_total",
        "counter",
        "Requests that took request_timeout or more.",
        "when such a request is ended",
        _counter("request_timeouts"),
    ),
    Metric(
        "wsgi_server_application_errors_total",
        "counter",
        "Requests that ended in an exception of the application.",
        "when an exception leaves the application or its response",
        _counter("application_errors"),
    ),
    Metric(
        "wsgi_server_client_disconnects_total",
        "counter",
        "Requests whose client left before the end of the response.",
        "when a response cannot be sent to its end",
        _counter("client_disconnects"),
    ),
    Metric(
        "wsgi_server_access_log_lines_dropped_total",
        "counter",
        "Access lines that the log did not take.",
        "when the log is read too slowly, or its disk is full",
        _counter("access_log_lines_dropped"),
    ),
    Metric(
        "wsgi_server_connections",
        "gauge",
        "Connections that are open.",
        "with each connection that changes its state",
        lambda seen: [
            ((kind,), sum(w.connections.get(kind, 0) for w in seen.workers))
            for kind in CONNECTION_STATES
        ],
        (Label("state", CONNECTION_STATES),),
    ),
    Metric(
        "wsgi_server_connections_accepted_total",
        "counter",
        "Connections that were accepted.",
        "when a worker accepts one",
        _counter("connections_accepted"),
    ),
    Metric(
        "wsgi_server_connections_closed_total",
        "counter",
        "Connections that were closed.",
        "when a connection ends, for whatever reason",
        _counters("closed", CLOSINGS),
        (Label("reason", CLOSINGS),),
    ),
    Metric(
        "wsgi_server_listen_backlog",
        "gauge",
        "Connections that wait to be accepted.",
        "while workers do not accept as fast as clients come",
        _by_listener(lambda listener: listener.backlog),
        (_LISTENER,),
    ),
    Metric(
        "wsgi_server_listen_backlog_limit",
        "gauge",
        "Connections that may wait to be accepted.",
        "with the option backlog and the system's somaxconn",
        _by_listener(lambda listener: listener.backlog_limit),
        (_LISTENER,),
    ),
    Metric(
        "wsgi_server_workers",
        "gauge",
        "Worker processes.",
        "when a worker starts, becomes ready, drains or ends",
        lambda seen: [
            ((kind.value,), sum(w.state is kind for w in seen.workers))
            for kind in WorkerState
        ],
        (Label("state", tuple(kind.value for kind in WorkerState)),),
    ),
    Metric(
        "wsgi_server_workers_wanted",
        "gauge",
        "Worker processes that there should be.",
        "at a reload and when an operator scales",
        _one(lambda seen: seen.service.wanted),
    ),
    Metric(
        "wsgi_server_worker_starts_total",
        "counter",
        "Workers that were started.",
        "when a worker is forked",
        _one(lambda seen: seen.service.starts),
    ),
    Metric(
        "wsgi_server_worker_exits_total",
        "counter",
        "Workers that ended.",
        "when a worker has ended and was reaped",
        lambda seen: [
            ((reason,), seen.service.exits.get(reason, 0)) for reason in EXITS
        ],
        (Label("reason", EXITS),),
    ),
    Metric(
        "wsgi_server_worker_requests_total",
        "counter",
        "Requests of a worker's number, whoever had it.",
        "when a request of that worker has ended",
        _by_number(lambda service: service.requests_by_number),
        (_WORKER,),
    ),
    Metric(
        "wsgi_server_worker_cpu_seconds_total",
        "counter",
        "CPU time of a worker's number, whoever had it.",
        "while the worker computes",
        _by_number(lambda service: service.cpu_by_number),
        (_WORKER,),
    ),
    Metric(
        "wsgi_server_worker_resident_memory_bytes",
        "gauge",
        "Resident memory of a worker.",
        "with what the worker holds in memory; read at the scrape",
        _by_worker(lambda worker: worker.resident),
        (_WORKER,),
    ),
    Metric(
        "wsgi_server_worker_open_fds",
        "gauge",
        "Open descriptors of a worker.",
        "with connections and files; read at the scrape",
        _by_worker(lambda worker: worker.open_fds),
        (_WORKER,),
    ),
    Metric(
        "wsgi_server_worker_beat_age_seconds",
        "gauge",
        "Time since a worker's loop last turned.",
        "up while the worker's loop stands still; near 0 else",
        _by_worker(lambda worker: worker.beat_age),
        (_WORKER,),
    ),
    Metric(
        "wsgi_server_tls_certificate_not_after_timestamp_seconds",
        "gauge",
        "When the certificate of a listener ends.",
        "when a reload reads a new certificate",
        _by_listener(lambda listener: listener.not_after),
        (_LISTENER,),
    ),
    Metric(
        "wsgi_server_reloads_total",
        "counter",
        "Reloads that have ended.",
        "when a reload has ended, whichever way",
        lambda seen: [
            (("accepted",), seen.state.reloads_accepted),
            (("failed",), seen.state.reloads_failed),
        ],
        (Label("result", ("accepted", "failed")),),
        per_service=False,
    ),
    Metric(
        "wsgi_server_config_last_reload_successful",
        "gauge",
        "Whether the last reload was accepted.",
        "when a reload has ended; 1 before the first",
        _one(lambda seen: float(seen.state.last_reload_accepted)),
        per_service=False,
    ),
    Metric(
        "wsgi_server_config_last_reload_success_timestamp_seconds",
        "gauge",
        "When the configuration that is served was read.",
        "when a reload is accepted",
        _one(lambda seen: seen.state.last_reload_time),
        per_service=False,
    ),
    Metric(
        "wsgi_server_generation",
        "gauge",
        "The configuration that is served, counted from 1.",
        "when a reload is accepted",
        _one(lambda seen: seen.state.generation),
        per_service=False,
    ),
    Metric(
        "wsgi_server_info",
        "info",
        "The server.",
        "never while the server runs",
        lambda seen: [
            ((seen.state.version, seen.state.python, seen.service.engine), 1)
        ],
        (
            Label("version", "of wsgi-server"),
            Label("python", "its version"),
            Label("engine", "of the first service"),
        ),
        per_service=False,
    ),
)
