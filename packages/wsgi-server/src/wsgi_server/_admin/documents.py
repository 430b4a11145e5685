"""The `State` as documents: what `/status` answers, and the page and `top` are made of."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final

from wsgi_server._scoreboard.totals import Histogram, Reading

from . import health
from .events import Event
from .state import ListenerRow, Phase, ServiceRow, State, WorkerRow, WorkerState

#: Seconds of the past that are kept.
PAST: Final = 300


@dataclass
class _Point:
    """What happened within one second."""

    requests: float = 0.0
    errors: float = 0.0
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    busy: float = 0.0
    queue_p95: float | None = None


@dataclass
class History:
    """The last `PAST` seconds, one point each; whoever looks later sees them all."""

    points: deque[_Point] = field(default_factory=lambda: deque(maxlen=PAST))
    _last: tuple[float, Reading] | None = None

    def note(self, state: State) -> None:
        """Adds a point; called about once a second."""
        now = monotonic()
        total = _all(state.services)
        if self._last is not None and now > self._last[0]:
            since, before = self._last
            self.points.append(_point(total, before, now - since, state))
        self._last = now, total


def status(state: State, history: History, events: Sequence[Event]) -> dict[str, Any]:
    """Everything that can be seen at one moment."""
    ready, live = health.ready(state), health.live(state)
    return {
        "server": {
            "version": state.version,
            "python": state.python,
            "pid": state.pid,
            "uptime": round(state.uptime, 3),
            "forks": state.forks,
        },
        **headline(state),
        "ready": {"status": ready.well, "word": ready.word, "reason": ready.reason},
        "live": {"status": live.well, "word": live.word, "reason": live.reason},
        "generation": state.generation,
        "reloads": {
            "accepted": state.reloads_accepted,
            "failed": state.reloads_failed,
            "last_accepted": state.last_reload_accepted,
            "last_time": state.last_reload_time,
            "last_reason": state.last_reload_reason,
        },
        "services": [_service(one, state) for one in state.services],
        "workers": workers(state),
        "now": vars(history.points[-1]) if history.points else vars(_Point()),
        "history": {
            name: [getattr(point, name) for point in history.points]
            for name in vars(_Point())
        },
        "slow": slow(state),
        "events": [event(one) for one in events],
    }


def headline(state: State) -> dict[str, str]:
    """One word for what the server does, and a few more."""
    if state.boot_failure is not None:
        return {"phase": "FAILED START", "detail": state.boot_failure}
    if state.phase is Phase.DRAINING:
        left = sum(w.active for w in state.workers)
        seconds = "" if state.drain_left is None else f", {state.drain_left:.0f} s"
        return {"phase": "DRAINING", "detail": f"{left} left{seconds}"}
    if state.phase is Phase.RELOADING:
        have, wanted = state.reload_progress or (0, 0)
        return {"phase": "RELOADING", "detail": f"{have} of {wanted} ready"}
    if state.phase is Phase.BOOTING:
        return {"phase": "STARTING", "detail": "the first workers are not ready yet"}
    if not state.last_reload_accepted:
        return {"phase": "FAILED RELOAD", "detail": state.last_reload_reason}
    return {"phase": "SERVING", "detail": health.ready(state).reason}


def workers(state: State) -> list[dict[str, Any]]:
    """A row for each worker."""
    rows = sorted(state.workers, key=lambda w: (w.service, w.number, w.generation))
    return [_worker(row) for row in rows]


def slow(state: State) -> list[dict[str, Any]]:
    """The requests that take long now, the longest first."""
    found = [
        {
            "worker": row.number,
            "method": one.method,
            "path": one.path,
            "seconds": round(one.seconds, 1),
            "request_id": one.request_id,
        }
        for row in state.workers
        for one in row.slow
    ]
    return sorted(found, key=lambda one: -float(str(one["seconds"])))


def event(one: Event) -> dict[str, Any]:
    """An event."""
    return dict(vars(one))


def _worker(row: WorkerRow) -> dict[str, Any]:
    return {
        "number": row.number,
        "pid": row.pid,
        "service": row.service,
        "generation": row.generation,
        "state": row.state.value,
        "age": round(row.age, 1),
        "beat_age": round(row.beat_age, 3),
        "requests": row.requests,
        "active": row.active,
        "queued": row.queued,
        "threads": row.threads,
        "threads_busy": row.threads_busy,
        "connections": dict(row.connections),
        "resident": row.resident,
        "open_fds": row.open_fds,
        "ages": [round(age, 3) for age in row.ages],
        "slow": [vars(one) for one in row.slow],
    }


def _service(row: ServiceRow, state: State) -> dict[str, Any]:
    mine = [w for w in state.workers if w.service == row.name]
    return {
        "name": row.name,
        "engine": row.engine,
        "workers": {
            "wanted": row.wanted,
            **{kind.value: sum(w.state is kind for w in mine) for kind in WorkerState},
        },
        "listeners": [_listener(one) for one in row.listeners],
        "requests": int(row.totals.counters["requests"]),
        "application_errors": int(row.totals.counters["application_errors"]),
        "exits": dict(row.exits),
    }


def _listener(row: ListenerRow) -> dict[str, Any]:
    return dict(vars(row))


def _all(services: Sequence[ServiceRow]) -> Reading:
    total = Reading()
    for service in services:
        total.include(service.totals)
    return total


def _point(now: Reading, before: Reading, seconds: float, state: State) -> _Point:
    took = _between(now.duration, before.duration)
    waited = _between(now.queue, before.queue)
    places = sum(w.threads for w in state.workers)
    return _Point(
        requests=round(took.count / seconds, 2),
        errors=round((_errors(now) - _errors(before)) / seconds, 2),
        p50=took.quantile(0.5),
        p95=took.quantile(0.95),
        p99=took.quantile(0.99),
        busy=sum(w.threads_busy for w in state.workers) / places if places else 0.0,
        queue_p95=waited.quantile(0.95),
    )


def _between(now: Histogram, before: Histogram) -> Histogram:
    buckets = [a - b for a, b in zip(now.buckets, before.buckets, strict=True)]
    return Histogram(now.bounds, buckets, now.sum - before.sum)


def _errors(reading: Reading) -> int:
    """Answers that say that the server is at fault (5xx)."""
    durations: Mapping[Any, Histogram] = reading.durations
    return sum(one.count for key, one in durations.items() if key[1].startswith("5"))
