"""The floors that both engines have to reach, as one table, and whether they do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan

from contenders import EVENTLET, THREADS
from loads import Figures

#: "No slower than the fastest Python peer"; and than those that run threads.
PYTHON = (
    "eventlet.wsgi",
    "gunicorn gthread",
    "waitress 4",
    "waitress",
    "gevent",
    "cheroot",
)
THREADED = ("gunicorn gthread", "waitress 4", "waitress", "cheroot")


@dataclass(frozen=True)
class Floor:
    """`wanted` times the best of `peers`, or `wanted` of something with no peer.

    `what` names a figure. Of `rate`, `beside` and `p99` there must be at least `wanted`
    (for `p99` that is how many times shorter than the peers' it is), of the others at
    most. A rate without peers is compared with `bound`.
    """

    issue: int
    scenario: str
    server: str
    wanted: float
    peers: tuple[str, ...] = ()
    what: str = "rate"
    bound: float = nan

    @property
    def at_least(self) -> bool:
        return self.what in ("rate", "beside", "p99")

    def __str__(self) -> str:
        sign = "≥" if self.at_least else "≤"
        if len(self.peers) > 1:
            than = f"x the best of {', '.join(self.peers)}"
        elif self.peers:
            than = f"x {self.peers[0]}"
        else:
            than = "" if isnan(self.bound) else f"x {self.bound:,.0f} requests/s"
        name = {"kib": "KiB each", "beside": "x without"}.get(self.what, self.what)
        return f"{name} {sign} {self.wanted:g}{than}"


FLOORS = (
    Floor(3, "hello", EVENTLET, 6.0, ("eventlet.wsgi",)),
    Floor(3, "hello", EVENTLET, 1.1, ("granian",)),
    Floor(3, "hello", EVENTLET, 1.3, ("uWSGI",)),
    Floor(3, "hello", EVENTLET, 0.7, ("bjoern",)),
    Floor(3, "log", EVENTLET, 6.0, ("eventlet.wsgi",)),
    Floor(3, "log", EVENTLET, 2.0, ("granian",)),
    Floor(3, "log", EVENTLET, 1.5, ("uWSGI",)),
    Floor(3, "post", EVENTLET, 6.0, ("eventlet.wsgi",)),
    Floor(3, "post", EVENTLET, 1.0, ("granian",)),
    Floor(3, "connect", EVENTLET, 3.0, ("eventlet.wsgi",)),
    Floor(3, "connect", EVENTLET, 1.0, ("granian",)),
    Floor(3, "nap", EVENTLET, 1.8, ("eventlet.wsgi",)),
    Floor(3, "nap", EVENTLET, 3.0, ("eventlet.wsgi",), "p99"),
    Floor(3, "stream", EVENTLET, 1.0, PYTHON),
    Floor(3, "upload", EVENTLET, 1.0, PYTHON),
    Floor(3, "upload-chunked", EVENTLET, 1.0, PYTHON),
    Floor(3, "tls", EVENTLET, 2.5, ("eventlet.wsgi",)),
    Floor(3, "idle", EVENTLET, 1.5, what="kib"),
    Floor(3, "idle", EVENTLET, 0.9, what="beside"),
    Floor(3, "drip", EVENTLET, 0.95, what="beside"),
    Floor(5, "hello", THREADS, 2.5, ("waitress 4",)),
    Floor(5, "hello", THREADS, 4.0, ("gunicorn gthread",)),
    Floor(5, "hello", THREADS, 1.0, (EVENTLET,)),
    Floor(5, "nap", THREADS, 2.0, ("gunicorn gthread",)),
    Floor(5, "nap", THREADS, 1.0, ("gunicorn gthread",), "p99"),
    Floor(5, "post", THREADS, 1.0, THREADED),
    Floor(5, "connect", THREADS, 1.0, THREADED),
    Floor(5, "stream", THREADS, 1.0, THREADED),
    Floor(5, "upload", THREADS, 1.0, THREADED),
    Floor(5, "upload-chunked", THREADS, 1.0, THREADED),
    # 200 threads that sleep 100 ms each.
    Floor(5, "slow", THREADS, 0.9, bound=2000.0),
    Floor(5, "slow", THREADS, 0, what="errors"),
    Floor(5, "idle", THREADS, 0, what="threads"),
    Floor(5, "idle", THREADS, 1.5, what="kib"),
    Floor(18, "varied", EVENTLET, 1.0, ("granian",)),
    Floor(18, "varied", EVENTLET, 1.1, ("uWSGI threads",)),
    Floor(18, "varied", THREADS, 0.9, ("granian",)),
    Floor(18, "unique", EVENTLET, 0.85, ("granian",)),
    Floor(18, "unique", EVENTLET, 6.5, ("eventlet.wsgi",)),
    Floor(18, "unique", THREADS, 0.78, ("granian",)),
    Floor(18, "varied-log", EVENTLET, 2.0, ("granian",)),
    Floor(18, "varied-log", THREADS, 1.9, ("granian",)),
    Floor(18, "stack", f"{EVENTLET} + wsgi_api", 1.05, ("granian + Falcon",)),
    Floor(18, "stack", f"{EVENTLET} + wsgi_api", 1.1, ("uWSGI threads + Falcon",)),
    Floor(18, "stack", f"{EVENTLET} + wsgi_api", 6.0, ("gunicorn gthread + Flask",)),
    Floor(18, "stack", f"{THREADS} + wsgi_api", 0.95, ("granian + Falcon",)),
    *(
        Floor(18, "example", engine, wanted, peers)
        for engine in (EVENTLET, THREADS)
        for wanted, peers in (
            (1.5, ("gunicorn gthread",)),
            (1.1, ("granian",)),
            (1.1, ("uWSGI threads",)),
        )
    ),
)


@dataclass(frozen=True)
class Verdict:
    """A floor and what was seen; NaN where it was not measured."""

    floor: Floor
    seen: float
    #: The same ratio of CPU time for each request, which a busy machine changes less.
    by_cpu: float = nan

    @property
    def met(self) -> bool | None:
        """None where it cannot be told."""
        if isnan(self.seen):
            return None
        if self.floor.at_least:
            return self.seen >= self.floor.wanted
        return self.seen <= self.floor.wanted


def judge(scenario: str, medians: Mapping[str, Figures]) -> Sequence[Verdict]:
    """The floors of a scenario beside the medians of the servers that took part."""
    return [_verdict(f, medians) for f in FLOORS if f.scenario == scenario]


def _verdict(floor: Floor, medians: Mapping[str, Figures]) -> Verdict:
    ours = medians.get(floor.server)
    peers = [medians[name] for name in floor.peers if name in medians]
    if ours is None or (floor.peers and not peers):
        return Verdict(floor, nan)
    if floor.what == "p99":
        return Verdict(floor, _ratio(min(p.p99 for p in peers), ours.p99))
    if peers:
        best = max(peers, key=lambda peer: peer.rate)
        return Verdict(
            floor,
            _ratio(ours.rate, best.rate),
            _ratio(min(p.cpu for p in peers), ours.cpu),
        )
    if floor.what == "rate":
        return Verdict(floor, _ratio(ours.rate, floor.bound))
    seen: float = getattr(ours, floor.what)
    return Verdict(floor, seen, ours.beside_cpu if floor.what == "beside" else nan)


def _ratio(one: float, other: float) -> float:
    return one / other if other else nan
