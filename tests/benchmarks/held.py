"""What the admin side must hold: probes of a server that hangs, totals, descriptors, scrapes.

`nox -s bench -- held` measures all of it, `nox -s bench -- held probes term` parts. Each line
says what was measured and what it may be; the exit status is 1 where one does not hold.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import itertools
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import live
from server.process.watching import Watched
from wsgi_server._command.client import Client

ENGINES = ("eventlet", "threads")
REQUESTS = "http_server_request_duration_seconds_count"
#: Seconds between two probes, so that a measurement is not a load.
PAUSE = 0.005


@contextlib.contextmanager
def watched(*args: str) -> Iterator[Watched]:
    """A server with an admin side and a control socket, ended at the end."""
    with tempfile.TemporaryDirectory(prefix="held-") as folder:
        path = Path(folder, "s")
        server = live.start(
            Path(folder),
            *("apps.exercise:app", "--bind", "127.0.0.1:0", "--access-log", ""),
            *("--admin-bind", "127.0.0.1:0", "--control-socket", str(path)),
            *args,
        )
        try:
            yield Watched(server, Client(str(path)), path)
        finally:
            with contextlib.suppress(ProcessLookupError):
                server.send(signal.SIGQUIT)
            server.wait()


def told(name: str, found: float, limit: float, unit: str = "ms") -> bool:
    """Prints a figure beside its limit; whether it holds."""
    holds = found <= limit
    mark = "" if holds else "   DOES NOT HOLD"
    print(f"{name}: {found:.2f} {unit}, at most {limit:g} {unit}{mark}", flush=True)
    return holds


def probes(options: argparse.Namespace) -> bool:
    """`/readyz` while every thread of every worker sleeps in C, with and without the GIL."""
    found = []
    for engine, path in itertools.product(ENGINES, ("/busy?600", "/clutch?600")):
        with (
            watched(
                *("--workers", "2", "--engine", engine, "--threads", "4"),
                *("--worker-timeout", "600", "--graceful-timeout", "0.1"),
            ) as one,
            contextlib.ExitStack() as stack,
        ):
            # What the machine and the client cost by themselves.
            idle, _ = spread(one, options.probes)
            # Whoever is stuck accepts no more; the others take what is left.
            for _ in range(16):
                client = stack.enter_context(one.server.connect())
                client.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                time.sleep(0.05)
            p99, text = spread(one, options.probes)
            print(f"{engine} {path}: {text}; p99 before {idle:.2f} ms")
            found.append(told(f"{engine} {path}: p99 of /readyz", p99, 10))
    return all(found)


def spread(one: Watched, count: int) -> tuple[float, str]:
    """Milliseconds under which 99 of 100 probes stay, and a few more figures."""
    times = sorted(took(one.admin) for _ in range(count))
    middle, longest = statistics.median(times), times[-1]
    return times[int(count * 0.99)], f"p50 {middle:.2f} ms, max {longest:.2f} ms"


def took(address: tuple[str, int]) -> float:
    """Milliseconds of one probe on a connection of its own."""
    time.sleep(PAUSE)
    start = time.perf_counter()
    client = http.client.HTTPConnection(*address, timeout=60)
    client.request("GET", "/readyz")
    client.getresponse().read()
    seconds = time.perf_counter() - start
    client.close()
    return 1000 * seconds


def term(options: argparse.Namespace) -> bool:
    """From TERM to the first 503, on the admin side and on the service's own address."""
    found = []
    for engine, workers in itertools.product(ENGINES, ("0", "2")):
        for side in ("admin", "service"):
            times = []
            for _ in range(options.rounds):
                with watched(
                    *("--workers", workers, "--engine", engine),
                    *("--health-on-service", "--drain-delay", "600"),
                ) as one:
                    address = one.admin if side == "admin" else one.server.address
                    times.append(until_503(one, address))
            found.append(
                told(f"{engine}, workers = {workers}: 503 of {side}", max(times), 50)
            )
    return all(found)


def until_503(one: Watched, address: tuple[str, int]) -> float:
    client = http.client.HTTPConnection(*address, timeout=60)
    client.connect()
    start = time.perf_counter()
    one.server.send(signal.SIGTERM)
    while True:
        client.request("GET", "/readyz")
        answer = client.getresponse()
        answer.read()
        if answer.status == 503:
            client.close()
            return 1000 * (time.perf_counter() - start)


def totals(options: argparse.Namespace) -> bool:
    """The count of the server against the client's own, over reloads and ends of workers."""
    found = []
    for engine in ENGINES:
        with watched(
            *("--workers", "2", "--engine", engine, "--max-requests", "100")
        ) as one:
            stop, counts = threading.Event(), [0, 0]

            def ask(place: int, one: Watched = one) -> None:
                while not stop.is_set():
                    assert one.server.get("/turns").status == 200
                    counts[place] += 1

            threads = [threading.Thread(target=ask, args=(n,)) for n in range(2)]
            for thread in threads:
                thread.start()
            sizes = []
            for _ in range(options.reloads):
                one.control.post("/reload")
                sizes.append(len(one.samples()))
            stop.set()
            for thread in threads:
                thread.join()
            # What was counted last is there after a moment.
            deadline = time.monotonic() + 5
            while off := abs(one.total(REQUESTS) - sum(counts)):
                if time.monotonic() >= deadline:
                    break
            ends = one.total("wsgi_server_worker_exits_total")
            print(f"{engine}: {sum(counts)} requests, {ends:.0f} workers have ended")
            found.append(told(f"{engine}: counts apart", off, 0, "requests"))
            grown = max(sizes) - sizes[min(5, len(sizes) - 1)]
            found.append(
                told(f"{engine}: series more than at first", grown, 0, "series")
            )
    return all(found)


def descriptors(options: argparse.Namespace) -> bool:
    """Open descriptors of the supervisor, before and after many reloads."""
    with watched("--workers", "1", "--engine", "threads") as one:
        supervisor = one.server.pid

        def count() -> int:
            return len(os.listdir(f"/proc/{supervisor}/fd"))

        def settled() -> int:
            live.wait_until("one worker", lambda: len(one.server.worker_pids()) == 1)
            found = []
            for _ in range(50):
                time.sleep(0.01)
                found.append(count())
            return min(found)

        one.total(REQUESTS)
        one.control.post("/reload")
        before, size = settled(), scrape(one)
        start = time.monotonic()
        for _ in range(options.descriptor_reloads):
            one.control.post("/reload")
        each = (time.monotonic() - start) / options.descriptor_reloads
        after = settled()
        print(
            f"{options.descriptor_reloads} reloads, {1000 * each:.0f} ms each: "
            f"{before} descriptors before, {after} after; a scrape of {len(size)} bytes "
            f"before, {len(scrape(one))} after"
        )
        return told("descriptors more than before", after - before, 0, "descriptors")


def scrape(one: Watched, accept: str = "text/plain") -> str:
    client = http.client.HTTPConnection(*one.admin, timeout=60)
    with contextlib.closing(client):
        client.request("GET", "/metrics", headers={"Accept": accept})
        return client.getresponse().read().decode()


def valid(_: argparse.Namespace) -> bool:
    """The scrape as prometheus-client's parsers and promtool read it."""
    from prometheus_client.openmetrics import parser as openmetrics
    from prometheus_client.parser import text_string_to_metric_families

    parse: Callable[[str], Iterable[object]]
    parse = vars(openmetrics)["text_string_to_metric_families"]
    with watched("--workers", "2") as one:
        for path in ("/turns", "/boom"):
            one.server.get(path)
        text = scrape(one)
        families = list(text_string_to_metric_families(text))
        modern = scrape(one, "application/openmetrics-text; version=1.0.0")
        same = list(parse(modern))
        print(f"{len(families)} families by one parser, {len(same)} by the other")
        program = shutil.which("promtool")
        if program is None:
            print("promtool is not there: it is in Debian's package prometheus")
            return True
        run = subprocess.run(
            [program, "check", "metrics"],
            input=text,
            text=True,
            capture_output=True,
            check=False,
        )
        print(f"promtool check metrics: status {run.returncode} {run.stderr.strip()}")
        return run.returncode == 0


PARTS: dict[str, Callable[[argparse.Namespace], bool]] = {
    part.__name__: part for part in (probes, term, totals, descriptors, valid)
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="default: all")
    parser.add_argument("--probes", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--reloads", type=int, default=50)
    parser.add_argument("--descriptor-reloads", type=int, default=1000)
    options = parser.parse_args()
    hold = [PARTS[name](options) for name in options.parts or PARTS]
    return 0 if all(hold) else 1


if __name__ == "__main__":
    raise SystemExit(main())
