"""p99 and p99.9 at 50 % and 80 % of what each server can do, garbage collector included.

    python tests/benchmarks/tails.py --rounds 3 --seconds 5 --json FILE

What a server can do is found by wrk first; then `open_loop` asks for a part of it. A row
in which the generator was late itself, or could not ask as often as it should, is starred: it
says at least that much of the generator.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path

import open_loop
import traffic
from contenders import SERVERS
from floors import PYTHON
from open_loop import Tail
from results import Results
from running import Server, Setup, running
from scenarios import VARIED
from servers import make_room

SHARES = (0.5, 0.8)
#: Of the servers in Python the most common ones; uWSGI gives each connection a thread.
LEFT_OUT = (*(name for name in PYTHON if "gunicorn" not in name), "uWSGI")
#: A generator that is later than this part of p99.9 has made it.
HONEST = 0.5


def main() -> int:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5, help="of each share")
    parser.add_argument("--only", default="", help="part of the servers' names")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    make_room()
    chosen = [
        server
        for server in SERVERS
        if args.only in server.name and server.installed and server.name not in LEFT_OUT
    ]
    found: dict[tuple[str, float], list[Tail]] = {}
    for turn in range(args.rounds):
        for server in chosen:
            for share, tail in _measure(server, args.seconds):
                found.setdefault((server.name, share), []).append(tail)
                print(
                    f"{turn + 1}/{args.rounds}, {server.name}, {share:.0%}: {tail}",
                    file=sys.stderr,
                    flush=True,
                )
    results = Results(args.json) if args.json else None
    print("| server | of its top | asked/s | answered/s | p50 ms | p99 ms | p99.9 ms |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for (name, share), rounds in found.items():
        tail = _median(rounds)
        print(_row(name, share, tail))
        if results is not None:
            row = {
                "server": name,
                "share": share,
                "honest": honest(tail),
                **asdict(tail),
            }
            results.add("tails", f"{name}, {share:.0%}", row)
    return 0


def _measure(server: Server, seconds: int) -> Iterator[tuple[float, Tail]]:
    requests = traffic.requests("varied")
    with (
        tempfile.TemporaryDirectory() as name,
        running(server, Path(name), Setup()) as target,
    ):
        top = VARIED(target, 2).rate
        for share in SHARES:
            yield share, open_loop.run(target.port, requests, top * share, seconds)


def _median(rounds: Sequence[Tail]) -> Tail:
    names = [field.name for field in fields(Tail)]
    return Tail(*(statistics.median(getattr(r, n) for r in rounds) for n in names))


def honest(tail: Tail) -> bool:
    """Whether the figures are the server's, and not the generator's."""
    return tail.late < HONEST * tail.p999 and tail.rate > 0.98 * tail.asked


def _row(name: str, share: float, tail: Tail) -> str:
    star = "" if honest(tail) else "*"
    return (
        f"| {name} | {share:.0%} | {tail.asked:,.0f} | {tail.rate:,.0f}{star} "
        f"| {tail.p50:.2f} | {tail.p99:.2f} | {tail.p999:.2f} |"
    )


if __name__ == "__main__":
    sys.exit(main())
