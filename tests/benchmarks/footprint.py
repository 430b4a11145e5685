"""What a server weighs, how long it takes to its first answer, and how long to reload.

    python tests/benchmarks/footprint.py --rounds 3 --json FILE

Memory is the proportional set size (PSS) of the supervisor with all of its workers, after
they have answered a few hundred requests. A reload counts from the signal until no worker
of before is left and the next request is answered.
"""

from __future__ import annotations

import argparse
import http.client
import os
import signal
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from math import nan
from pathlib import Path

import processes
from contenders import EVENTLET, SERVERS, THREADS
from results import Results
from running import Server, Setup, Target, running
from services import EXAMPLE, prepare_example

NAMES = (EVENTLET, THREADS, "gunicorn gthread", "uWSGI threads", "granian")
APPS = {
    app: [server for server in servers if server.name in NAMES]
    for app, servers in (("hello", SERVERS), ("example", EXAMPLE))
}
CONNECTIONS = 32
REQUESTS = 10
#: Its reload executes itself anew, and from a wheel it does not find itself.
CANNOT_RELOAD = ("uWSGI threads",)
#: Seconds that a reload may take; one that takes longer is told as none.
PATIENCE = 20.0
TURN = 0.002


@dataclass(frozen=True)
class Footprint:
    """One server with one application; the medians of the rounds."""

    app: str
    server: str
    workers: int
    preload: bool
    mib: float
    #: Seconds.
    start: float
    reload: float


def main() -> int:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("apps", nargs="*", help=f"of {', '.join(APPS)}")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--workers", type=int, nargs="+", default=[2, 8])
    parser.add_argument("--only", default="", help="part of the servers' names")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    print("| application | server | workers | preload | PSS MiB | start s | reload s |")
    print("| --- | --- | ---: | --- | ---: | ---: | ---: |")
    found = []
    for app in args.apps or APPS:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            if app == "example":
                prepare_example(folder)
            for workers in args.workers:
                for preload in (False, True):
                    setup = Setup(workers=workers, preload=preload)
                    for server in APPS[app]:
                        if args.only in server.name and not server.why_not(setup):
                            one = _weigh(app, server, setup, folder, args.rounds)
                            print(_row(one), flush=True)
                            found.append(one)
    if args.json:
        results = Results(args.json)
        for one in found:
            how = "preload" if one.preload else "apart"
            name = f"{one.app}, {one.server}, {one.workers}, {how}"
            results.add("footprint", name, asdict(one))
    return 0


def _weigh(
    app: str, server: Server, setup: Setup, folder: Path, rounds: int
) -> Footprint:
    seen = []
    for _ in range(rounds):
        with running(server, folder, setup) as target:
            _ask(target, server.ready)
            kib = processes.proportional_kib(target.pid)
            reload = nan
            if server.name not in CANNOT_RELOAD:
                reload = _reload(target, server.ready)
            seen.append((kib / 1024, target.start, reload))
    mib, start, again = map(statistics.median, zip(*seen, strict=True))
    return Footprint(app, server.name, setup.workers, setup.preload, mib, start, again)


def _ask(target: Target, path: str) -> None:
    """Some requests, on so many connections that every worker has a part of them."""
    with ExitStack() as stack:
        clients = [
            stack.enter_context(
                closing(
                    http.client.HTTPConnection("127.0.0.1", target.port, timeout=30)
                )
            )
            for _ in range(CONNECTIONS)
        ]
        for _ in range(REQUESTS):
            for client in clients:
                client.request("GET", path)
                client.getresponse().read()


def _reload(target: Target, path: str) -> float:
    old = {pid for pid in processes.tree(target.pid) if pid != target.pid}
    began = time.monotonic()
    os.kill(target.pid, signal.SIGHUP)
    while old.intersection(processes.tree(target.pid)) or not _answers(target, path):
        if time.monotonic() - began > PATIENCE:
            return nan
        time.sleep(TURN)
    return time.monotonic() - began


def _answers(target: Target, path: str) -> bool:
    client = http.client.HTTPConnection("127.0.0.1", target.port, timeout=5)
    with closing(client):
        try:
            client.request("GET", path)
            return client.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False


def _row(one: Footprint) -> str:
    return (
        f"| {one.app} | {one.server} | {one.workers} | {'yes' if one.preload else 'no'} "
        f"| {one.mib:.1f} | {one.start:.2f} | {one.reload:.2f} |"
    )


if __name__ == "__main__":
    sys.exit(main())
