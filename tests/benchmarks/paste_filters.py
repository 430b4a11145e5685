"""What a filter that overrides nothing adds to a request, in wsgi_paste and in Glance.

Run in an environment that has both::

    python tests/benchmarks/paste_filters.py

Reported is the best of many rounds, less what the application takes by itself.
"""

from __future__ import annotations

import argparse
import importlib
import warnings
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any

CANDIDATES = ("wsgi_paste", "glance.common.wsgi")
CALLS = 2000
ENVIRON = {
    "REQUEST_METHOD": "GET",
    "SCRIPT_NAME": "",
    "PATH_INFO": "/",
    "QUERY_STRING": "",
    "SERVER_NAME": "localhost",
    "SERVER_PORT": "80",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "wsgi.url_scheme": "http",
}


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"x"]


def start_response(*args: object) -> None:
    pass


def seconds(call: Callable[..., Any], rounds: int) -> float:
    """The best time of one call."""
    best = float("inf")
    for _ in range(rounds):
        started = perf_counter()
        for _ in range(CALLS):
            call(dict(ENVIRON), start_response)
        best = min(best, (perf_counter() - started) / CALLS)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    rounds = parser.parse_args().rounds
    warnings.simplefilter("ignore")
    for name in CANDIDATES:
        base = importlib.import_module(name).Middleware
        nothing = type("Nothing", (base,), {})(app)
        added = seconds(nothing, rounds) - seconds(app, rounds)
        print(f"{name:20} {added * 1e6:6.2f} us")


if __name__ == "__main__":
    main()
