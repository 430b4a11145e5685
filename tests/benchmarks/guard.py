"""Whether a change costs speed: this checkout beside an earlier revision.

Both run at once, pinned to one CPU, the load on another, and are measured in turns: one,
the other, the other, the one. Each round starts them anew and gives one ratio; the median
of the rounds counts. 1.00x is as fast as before, less is slower. On a machine that has other
things to do, `--together` puts load on both at the same moment, so that whatever disturbs one
disturbs the other, and compares the CPU time that each takes for a request.

    python tests/benchmarks/guard.py --against HEAD~5 --rounds 7 hello post

Without `--against` the newest tag of wsgi-server is the other side. A side may also be a
wheel, or a folder that holds `packages/wsgi-server/src` or the package itself. `layer` is
the request layer, in a process without a server; sides that hold no `wsgi_api` have the
installed one. The exit status is 1 when a ratio is beyond the limit. Only 127.0.0.1 is used.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from math import isnan, nan
from pathlib import Path

from contenders import EVENTLET, SERVERS, THREADS
from layer import KINDS
from loads import Figures
from running import Server, Target, make_certificate, running
from scenarios import SCENARIOS, Scenario
from servers import make_room, missing_tools

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("packages/wsgi-server/src", "packages/wsgi-api/src")
TAGS = "wsgi-server-v*"
#: What a change to the server is measured by where nothing else is said.
HANDFUL = ("hello", "log", "post", "connect", "unique", "layer")
LAYER = "layer"
#: Turns of the request layer in a round: they are short.
LAYER_TURNS = 20


def main() -> int:
    """Prints a table of ratios; 1 when speed was lost, 2 when nothing can be measured."""
    args = _arguments()
    if missing := missing_tools("wrk", "openssl"):
        print(missing, file=sys.stderr)
        return 2
    make_room()
    names = args.scenarios or HANDFUL
    chosen = [s for s in SCENARIOS if s.servers is SERVERS and s.name in names]
    engines = [s for s in SERVERS if s.name in (EVENTLET, THREADS)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            before = sources_of(args.against or newest_tag(), folder / "before")
            after = sources_of(args.this, folder / "after")
        except LookupError as exc:
            print(exc, file=sys.stderr)
            return 2
        make_certificate(folder / "cert.pem")
        sides = (Side("before", before, folder), Side("after", after, folder))
        found = [
            _compare(scenario, server, sides, args)
            for scenario in chosen
            for server in engines
            if args.only in server.name
        ]
        if LAYER in names:
            found += _compare_layer(sides, args.rounds)
    lost = [one for one in found if one.lost(args.limit / 100, args.by)]
    _print_table(found, args)
    return 1 if lost else 0


def _arguments() -> argparse.Namespace:
    names = [*(s.name for s in SCENARIOS if s.servers is SERVERS), LAYER]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "scenarios", nargs="*", help=f"of {', '.join(names)}; or {', '.join(HANDFUL)}"
    )
    parser.add_argument(
        "--against", help="revision, folder or wheel; or the newest tag"
    )
    parser.add_argument("--this", default=str(ROOT), help="likewise; or this checkout")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="of each of four turns")
    parser.add_argument("--only", default="", help="part of the engine's name")
    parser.add_argument(
        "--together", action="store_true", help="load on both at once; implies --by cpu"
    )
    parser.add_argument("--limit", type=float, default=3.0, help="percent that may go")
    parser.add_argument(
        "--by",
        choices=("both", "cpu", "rate"),
        default="both",
        help="what is judged; CPU time alone on a machine that has other things to do",
    )
    args = parser.parse_args()
    if args.together:
        args.by = "cpu"
    for name in args.scenarios:
        if name not in names:
            parser.error(f"no scenario {name}; there are {', '.join(names)}")
    return args


def newest_tag() -> str:
    """The last release of wsgi-server. Raises `LookupError` before the first."""
    tags = _git("tag", "--list", TAGS, "--sort=-version:refname").decode().split()
    if not tags:
        raise LookupError(f"no tag {TAGS} yet: name a revision with --against")
    return tags[0]


def sources_of(place: str, folder: Path) -> Sequence[str]:
    """The folders to import from, unpacked into `folder` where they have to be.

    Raises `LookupError` for a place that holds none.
    """
    path = Path(place)
    if path.suffix == ".whl" and path.is_file():
        with zipfile.ZipFile(path) as wheel:
            wheel.extractall(folder)
    elif path.is_dir():
        folder = path
    else:
        try:
            packed = _git("archive", "--format=tar", place, *SOURCES)
        except subprocess.CalledProcessError as exc:
            why = exc.stderr.decode(errors="replace").strip()
            raise LookupError(
                f"{place} is no revision, folder or wheel: {why}"
            ) from exc
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(folder, filter="data")
    found = [folder / source for source in SOURCES if (folder / source).is_dir()]
    found = found or [folder]
    if not (found[0] / "wsgi_server" / "__init__.py").is_file():
        raise LookupError(f"{place} holds no wsgi_server")
    return [str(source.resolve()) for source in found]


def _git(*words: str) -> bytes:
    git = shutil.which("git")
    if git is None:
        raise LookupError("git is needed: install its package")
    return subprocess.run(
        [git, "-C", str(ROOT), *words], capture_output=True, check=True
    ).stdout


class Side:
    """One of the two that are compared: where its source is, and where its files go."""

    def __init__(self, name: str, sources: Sequence[str], folder: Path) -> None:
        self.name = name
        self._sources = sources
        self._folder = folder / f"files-{name}"
        self._folder.mkdir(exist_ok=True)
        shutil.copy(folder / "cert.pem", self._folder)

    def running(
        self, server: Server, scenario: Scenario
    ) -> contextlib.AbstractContextManager[Target]:
        """The server with this side's source, as the scenario wants it."""
        return running(
            replace(server, name=f"{server.name} {self.name}", path=self._sources),
            self._folder,
            scenario.setup,
        )

    @contextlib.contextmanager
    def layer(self) -> Iterator[Callable[[str], float]]:
        """Asks this side's request layer what a kind of request takes of CPU time."""
        with subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("layer.py"))],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(self._sources)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            asked, told = process.stdin, process.stdout
            assert asked is not None
            assert told is not None

            def ask(kind: str) -> float:
                print(kind, file=asked, flush=True)
                return float(told.readline())

            yield ask


@dataclass(frozen=True)
class Ratios:
    """How one engine does in one scenario; 1 is as before, less is slower."""

    scenario: str
    server: str
    rates: Sequence[float]
    cpus: Sequence[float]
    errors: int

    @property
    def rate(self) -> float:
        return statistics.median(self.rates) if self.rates else nan

    @property
    def cpu(self) -> float:
        """Of the requests that a second of CPU time answers."""
        return statistics.median(self.cpus)

    def lost(self, limit: float, by: str) -> bool:
        """Whether more than `limit` of the speed is gone, or a request was."""
        judged = {"rate": [self.rate], "cpu": [self.cpu], "both": [self.rate, self.cpu]}
        # Without a server there is no rate to lose.
        return self.errors > 0 or any(one < 1 - limit for one in judged[by])


def _compare(
    scenario: Scenario,
    server: Server,
    sides: tuple[Side, Side],
    args: argparse.Namespace,
) -> Ratios:
    rates, cpus, errors = [], [], 0
    for turn in range(args.rounds):
        with contextlib.ExitStack() as stack:
            targets = [stack.enter_context(s.running(server, scenario)) for s in sides]
            seconds = args.seconds * scenario.stretch
            if args.together:
                seen = _load_together(scenario, targets, 2 * seconds)
            else:
                seen = _load_in_turns(scenario, targets, seconds, turn)
        old, new = seen
        if not args.together:
            rates.append(_ratio(sum(f.rate for f in new), sum(f.rate for f in old)))
        cpus.append(_ratio(sum(f.cpu for f in old), sum(f.cpu for f in new)))
        errors += sum(figures.errors for figures in new)
        print(
            f"{scenario.name} {turn + 1}/{args.rounds}, {server.name}: "
            f"CPU {cpus[-1]:.3f}x",
            file=sys.stderr,
            flush=True,
        )
    return Ratios(scenario.name, server.name, rates, cpus, errors)


def _load_in_turns(
    scenario: Scenario, targets: Sequence[Target], seconds: int, turn: int
) -> Sequence[Sequence[Figures]]:
    seen: tuple[list[Figures], list[Figures]] = ([], [])
    for which in _turns(turn):
        seen[which].append(scenario.load(targets[which], seconds))
    return seen


def _load_together(
    scenario: Scenario, targets: Sequence[Target], seconds: int
) -> Sequence[Sequence[Figures]]:
    with ThreadPoolExecutor(len(targets)) as pool:
        return [[f] for f in pool.map(lambda t: scenario.load(t, seconds), targets)]


def _compare_layer(sides: tuple[Side, Side], rounds: int) -> Sequence[Ratios]:
    with sides[0].layer() as old, sides[1].layer() as new:
        found = []
        for kind in KINDS:
            ratios = []
            for turn in range(rounds * LAYER_TURNS):
                spent = [0.0, 0.0]
                for which in _turns(turn):
                    spent[which] += (old, new)[which](kind)
                ratios.append(_ratio(*spent))
            found.append(Ratios(LAYER, kind, [], ratios, 0))
            print(f"{LAYER}, {kind}: CPU {found[-1].cpu:.3f}x", file=sys.stderr)
    return found


def _turns(turn: int) -> Iterator[int]:
    """Which side is measured: a machine that grows faster or slower evens out."""
    yield from (0, 1, 1, 0) if turn % 2 == 0 else (1, 0, 0, 1)


def _ratio(one: float, other: float) -> float:
    return one / other if other else nan


def _print_table(found: Sequence[Ratios], args: argparse.Namespace) -> None:
    print(f"\n## {args.this} beside {args.against or newest_tag()}\n")
    print(
        "| scenario | server or request | rate | by CPU | of the rounds | errors | kept |"
    )
    print("| --- | --- | ---: | ---: | ---: | ---: | --- |")
    for one in found:
        spread = f"{_least(one.cpus):.3f}x to {max(one.cpus):.3f}x"
        kept = "**no**" if one.lost(args.limit / 100, args.by) else "yes"
        print(
            f"| {one.scenario} | {one.server} | {_shown(one.rate)} | {one.cpu:.3f}x "
            f"| {spread} | {one.errors} | {kept} |"
        )


def _shown(ratio: float) -> str:
    return "-" if isnan(ratio) else f"{ratio:.3f}x"


def _least(values: Sequence[float]) -> float:
    return nan if any(map(isnan, values)) else min(values)


if __name__ == "__main__":
    sys.exit(main())
