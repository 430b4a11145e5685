"""Everything that the pages show, in less than half an hour, on a machine that is quiet.

    python tests/benchmarks/decisive.py [--json FILE] [--rounds 3] [--pages]

What resembles a service, whole stacks and services go through several rounds; the small
loads through one, for `guard` watches over them with a finer eye. Then come latencies,
memory and times, and the request layer. With `--pages` the tables and pictures of the
documentation are made of it, at last.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from results import COMMITTED, Results
from running import HERE

SERVICES = (
    *("varied", "unique", "varied-log", "varied-tls", "varied-proxy"),
    *("mixed", "burst", "stack", "example", "glance", "heat"),
)
SMALL = ("hello", "log", "post", "connect", "tls", "stream", "upload", "upload-chunked")


def main() -> int:
    """Runs one benchmark after the other; a fault of one does not keep the others away."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, default=COMMITTED, metavar="FILE")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--note", help="what a reader has to know of this run")
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument(
        "--pages", action="store_true", help="write the documentation's"
    )
    args = parser.parse_args()
    results = Results(args.json)
    results.data["note"] = args.note
    results.add_circumstances()
    seconds = ("--short", "--seconds", str(args.seconds))
    failed = []
    steps: Sequence[tuple[str, Sequence[str]]] = (
        ("servers", (*SERVICES, *seconds, "--rounds", str(args.rounds))),
        ("servers", (*SMALL, *seconds, "--rounds", "1")),
        ("tails", ("--rounds", "2", "--seconds", str(2 * args.seconds))),
        ("footprint", ()),
        ("api_requests", ("--rounds", "9")),
    )
    for name, options in steps:
        began = time.monotonic()
        script = str(HERE / f"{name}.py")
        words = (sys.executable, script, *options, "--json", str(args.json.absolute()))
        if subprocess.run(words, check=False).returncode:
            failed.append(name)
        print(f"{name}: {time.monotonic() - began:,.0f} s", file=sys.stderr, flush=True)
    if args.pages:
        charts = (sys.executable, str(HERE / "charts.py"), str(args.json.absolute()))
        if subprocess.run(charts, check=False).returncode:
            failed.append("charts")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
