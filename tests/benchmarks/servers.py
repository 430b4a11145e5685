"""Requests a second of both engines beside other servers, interleaved, as ratios.

Every server runs pinned to one CPU, the load on another; rounds go through the servers in
turn, so that what disturbs the machine disturbs all of them; the median of the rounds
counts. Servers that are not installed are left out. Only 127.0.0.1 is used.

    python tests/benchmarks/servers.py --rounds 5 --seconds 4 hello log

The table of floors at the end says of each what was asked for and what was seen. Its ratios
of CPU time hold on a machine that has other things to do, its ratios of rates do not.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import fields
from math import isnan, nan
from pathlib import Path

from contenders import EVENTLET, THREADS
from crowds import Beside
from floors import Verdict, judge
from loads import Figures
from results import Results
from running import Server, make_certificate, running
from scenarios import SCENARIOS, Scenario


def main() -> int:
    """Prints one table for each scenario that was asked for, then the floors."""
    args = _arguments()
    if missing := missing_tools("wrk", "openssl"):
        print(missing, file=sys.stderr)
        return 2
    make_room()
    results = Results(args.json) if args.json else None
    verdicts: list[Verdict] = []
    for scenario in SCENARIOS:
        if args.scenarios and scenario.name not in args.scenarios:
            continue
        servers = [s for s in scenario.servers if args.only in s.name]
        found = _measure(scenario, servers, args)
        medians = {name: _median(rounds) for name, rounds in found.items()}
        _print_table(scenario, medians, servers)
        verdicts += judge(scenario.name, medians)
        if results is not None:
            results.add_scenario(scenario, medians)
    _print_floors(verdicts)
    if results is not None:
        results.add_floors(verdicts)
    return 0


def _arguments() -> argparse.Namespace:
    names = [scenario.name for scenario in SCENARIOS]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scenarios", nargs="*", help=f"of {', '.join(names)}; or all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3, help="of a round")
    parser.add_argument("--only", default="", help="part of the servers' names")
    parser.add_argument(
        "--short", action="store_true", help="one round for servers that are far behind"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="where to add what was measured"
    )
    args = parser.parse_args()
    for name in args.scenarios:
        if name not in names:
            parser.error(f"no scenario {name}; there are {', '.join(names)}")
    return args


def missing_tools(*names: str) -> str:
    """What to install of the programs named; empty when all are there."""
    missing = ", ".join(name for name in names if shutil.which(name) is None)
    return f"needed and not installed: {missing}" if missing else ""


def make_room() -> None:
    """Descriptors for thousands of connections, and a CPU that servers do not use."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if len(os.sched_getaffinity(0)) > 1 and shutil.which("taskset"):
        os.sched_setaffinity(0, {1})


def _measure(
    scenario: Scenario, servers: Sequence[Server], args: argparse.Namespace
) -> dict[str, list[Figures]]:
    """What each round saw of each server, interleaved."""
    found: dict[str, list[Figures]] = {}
    able = [server for server in servers if scenario.why_not(server) is None]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_certificate(folder / "cert.pem")
        if scenario.prepare is not None and able:
            scenario.prepare(folder)
        for turn in range(args.rounds):
            for server in able:
                if turn and args.short and server.once:
                    continue
                told = f"{scenario.name} {turn + 1}/{args.rounds}, {server.name}"
                try:
                    with running(server, folder, scenario.setup) as target:
                        seen = scenario.load(target, args.seconds * scenario.stretch)
                except RuntimeError as exc:
                    print(f"{told}: {exc}", file=sys.stderr)
                    continue
                print(f"{told}: {seen.rate:,.0f}/s", file=sys.stderr, flush=True)
                found.setdefault(server.name, []).append(seen)
    return found


def _median(rounds: Sequence[Figures]) -> Figures:
    """Each figure's own median; errors add up, a median would hide them."""
    medians = {
        field.name: statistics.median(getattr(r, field.name) for r in rounds)
        for field in fields(Figures)
    }
    return Figures(**{**medians, "errors": sum(r.errors for r in rounds)})


def _print_table(
    scenario: Scenario, medians: Mapping[str, Figures], servers: Sequence[Server]
) -> None:
    per = scenario.mib or 1
    rate, unit = ("MiB/s", "MiB") if scenario.mib else ("requests/s", "request")
    columns = ["server", rate, f"CPU µs/{unit}", "p99 ms", "p99.9 ms", "errors"]
    if isinstance(scenario.load, Beside):
        columns += ["x without", "by CPU", "KiB each", "threads more", "kept"]
    columns += [f"{EVENTLET} is", f"{THREADS} is"]
    print(f"\n## {scenario.name}: {scenario.load}\n")
    print(_row(columns))
    print(_row(["---", *["---:"] * (len(columns) - 1)]))
    ours = [_of(name, medians) for name in (EVENTLET, THREADS)]
    for name, seen in sorted(medians.items(), key=lambda item: -item[1].rate):
        cells = [
            name,
            _number(seen.rate * per, 0),
            _number(seen.cpu / per, 1),
            _number(seen.p99, 2),
            _number(seen.p999, 2),
            str(seen.errors),
        ]
        if isinstance(scenario.load, Beside):
            cells += [
                _number(seen.beside, 2),
                _number(seen.beside_cpu, 2),
                _number(seen.kib, 2),
                _number(seen.threads, 0),
                _number(seen.held, 0),
            ]
        for own in ours:
            ratio = own.rate / seen.rate if own is not None and seen.rate else nan
            cells.append(_number(ratio, 2, "x"))
        print(_row(cells), flush=True)
    absent = {s.name: why for s in servers if (why := scenario.why_not(s))}
    if absent:
        print("\nLeft out:", "; ".join(f"{n} ({why})" for n, why in absent.items()))


def _of(engine: str, medians: Mapping[str, Figures]) -> Figures | None:
    """The figures of an engine, by itself or with a framework."""
    return next(
        (seen for name, seen in medians.items() if name.startswith(engine)), None
    )


def _print_floors(verdicts: Sequence[Verdict]) -> None:
    words = {True: "yes", False: "**no**", None: "not measured"}
    print("\n## Floors\n")
    print(_row(["issue", "scenario", "server", "floor", "seen", "by CPU", "met"]))
    print(_row(["---:", "---", "---", "---", "---:", "---:", "---"]))
    for verdict in verdicts:
        floor = verdict.floor
        print(
            _row(
                [
                    str(floor.issue),
                    floor.scenario,
                    floor.server,
                    str(floor),
                    _number(verdict.seen, 2),
                    _number(verdict.by_cpu, 2),
                    words[verdict.met],
                ]
            )
        )


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _number(value: float, digits: int, unit: str = "") -> str:
    return "-" if isnan(value) else f"{value:,.{digits}f}{unit}"


if __name__ == "__main__":
    sys.exit(main())
