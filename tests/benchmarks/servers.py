"""Requests a second of both engines beside other servers, interleaved, as ratios.

Every server runs as one process pinned to one CPU, `wrk` on another; rounds go through the
servers in turn, so that what disturbs the machine disturbs all of them; the median of the
rounds counts. Servers that are not installed are left out. Only 127.0.0.1 is used.

    python tests/benchmarks/servers.py --rounds 5 --seconds 4 hello log
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import re
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
START_SECONDS = 15.0


@dataclass(frozen=True)
class Server:
    """How to start one: `{port}` and `{log}` are filled in; `log` adds an access log."""

    name: str
    module: str
    command: Sequence[str]
    log: Sequence[str] | None = None
    env: dict[str, str] = field(default_factory=dict)
    tls: Sequence[str] | None = None


PY = sys.executable
OURS = [
    PY,
    "-m",
    "wsgi_server",
    "app:application",
    "--bind-host",
    "127.0.0.1",
    "--bind-port",
    "{port}",
    "--workers",
    "1",
]
OWN_TLS = ["--cert-file", "{cert}"]
SERVERS = [
    Server(
        "wsgi-server eventlet",
        "wsgi_server",
        [*OURS, "--engine", "eventlet"],
        ["--access-log", "{log}"],
        {"NAP": "eventlet"},
        OWN_TLS,
    ),
    Server(
        "wsgi-server threads",
        "wsgi_server",
        [*OURS, "--engine", "threads", "--threads", "64"],
        ["--access-log", "{log}"],
        {},
        OWN_TLS,
    ),
    Server(
        "eventlet.wsgi",
        "eventlet",
        [PY, str(HERE / "peers.py"), "eventlet", "{port}"],
        ["{log}"],
        {"NAP": "eventlet"},
        ["-", "{cert}"],
    ),
    Server(
        "gunicorn gthread",
        "gunicorn",
        [
            PY,
            "-m",
            "gunicorn",
            "-k",
            "gthread",
            "--threads",
            "64",
            "-w",
            "1",
            "-b",
            "127.0.0.1:{port}",
            "--log-level",
            "error",
            "app:application",
        ],
        ["--access-logfile", "{log}"],
    ),
    Server(
        "waitress 4",
        "waitress",
        [PY, str(HERE / "peers.py"), "waitress", "{port}", "-", "-", "4"],
    ),
    Server(
        "waitress 64",
        "waitress",
        [PY, str(HERE / "peers.py"), "waitress", "{port}", "-", "-", "64"],
    ),
    Server(
        "gevent",
        "gevent",
        [PY, str(HERE / "peers.py"), "gevent", "{port}"],
        ["{log}"],
        {"NAP": "gevent"},
    ),
    Server("cheroot", "cheroot", [PY, str(HERE / "peers.py"), "cheroot", "{port}"]),
    Server(
        "uWSGI",
        "pyuwsgi",
        [
            PY,
            "-c",
            "import pyuwsgi; pyuwsgi.run()",
            "--http-socket",
            "127.0.0.1:{port}",
            "--http-keepalive",
            "--so-keepalive",
            "--module",
            "app:application",
            "--need-app",
            "--master",
            "--processes",
            "1",
            "--listen",
            "100",
        ],
        ["--logto", "{log}"],
    ),
    Server(
        "granian",
        "granian",
        [
            PY,
            "-m",
            "granian",
            "--interface",
            "wsgi",
            "--host",
            "127.0.0.1",
            "--port",
            "{port}",
            "--workers",
            "1",
            "--log-level",
            "error",
            "app:application",
        ],
        ["--access-log"],
    ),
    Server("bjoern", "bjoern", [PY, str(HERE / "peers.py"), "bjoern", "{port}"]),
]


@dataclass(frozen=True)
class Scenario:
    """One load: wrk's options and the path; `log` switches access logs on."""

    name: str
    path: str
    wrk: Sequence[str] = ("-c32",)
    log: bool = False
    tls: bool = False
    script: str | None = None
    servers: str = ""


POST = """
wrk.method = "POST"
wrk.body = string.rep("x", 1024)
wrk.headers["Content-Type"] = "application/json"
"""
SCENARIOS = [
    Scenario("hello", "/"),
    Scenario("log", "/", log=True),
    Scenario("post", "/echo", script=POST),
    Scenario("connect", "/", ("-c32", "-H", "Connection: close")),
    Scenario("nap", "/nap", ("-c200",)),
    Scenario("stream", "/stream", ("-c8",)),
    Scenario("tls", "/", tls=True),
]


@dataclass
class Result:
    """What wrk saw in one round."""

    rate: float
    p99: float
    errors: int


@contextlib.contextmanager
def running(server: Server, scenario: Scenario, folder: Path) -> Iterator[int]:
    """The server, answering on the port that comes out."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = list(server.command)
    if scenario.log:
        words += server.log or []
    elif server.module == "wsgi_server":
        words += ["--access-log", ""]
    if scenario.tls:
        words += server.tls or []
    log = folder / "access.log"
    cert = folder / "cert.pem"
    words = [word.format(port=port, log=log, cert=cert) for word in words]
    process = subprocess.Popen(
        [*_pin(0), *words],
        cwd=HERE,
        env={**os.environ, **server.env, "PYTHONPATH": str(HERE)},
        stdout=subprocess.DEVNULL,
        stderr=(folder / "stderr").open("wb"),
    )
    try:
        _wait_until_answering(port, process, tls=scenario.tls)
        yield port
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_answering(
    port: int, process: subprocess.Popen[bytes], *, tls: bool
) -> None:
    """A server may listen long before its workers can answer."""
    deadline = time.monotonic() + START_SECONDS
    context = ssl._create_unverified_context() if tls else None
    while time.monotonic() < deadline and process.poll() is None:
        if context is None:
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        else:
            client = http.client.HTTPSConnection(
                "127.0.0.1", port, timeout=5, context=context
            )
        with contextlib.closing(client), contextlib.suppress(OSError):
            client.request("GET", "/")
            if client.getresponse().status == 200:
                return
        time.sleep(0.05)
    raise RuntimeError("did not start")


def _pin(cpu: int) -> list[str]:
    return ["taskset", "-c", str(cpu)] if shutil.which("taskset") else []


def measure(port: int, scenario: Scenario, seconds: int, folder: Path) -> Result:
    """One round of wrk."""
    words = [*_pin(1), "wrk", "-t1", f"-d{seconds}", "--latency", *scenario.wrk]
    if scenario.script is not None:
        script = folder / "load.lua"
        script.write_text(scenario.script)
        words += ["-s", str(script)]
    scheme = "https" if scenario.tls else "http"
    words.append(f"{scheme}://127.0.0.1:{port}{scenario.path}")
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    rate = re.search(r"Requests/sec:\s*([\d.]+)", text)
    late = re.search(r"99%\s+([\d.]+)(us|ms|s)", text)
    bad = re.findall(r"(?:connect|read|write|timeout) (\d+)|Non-2xx.*: (\d+)", text)
    scale = {"us": 1e-3, "ms": 1.0, "s": 1e3}
    return Result(
        float(rate[1]) if rate else 0.0,
        float(late[1]) * scale[late[2]] if late else 0.0,
        sum(int(number) for pair in bad for number in pair if number),
    )


def main() -> int:
    """Prints one table for each scenario that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scenarios", nargs="*", help="default: all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--only", default="", help="part of the servers' names")
    args = parser.parse_args()
    if shutil.which("wrk") is None:
        print("wrk is needed: install your distribution's package", file=sys.stderr)
        return 2
    chosen = [s for s in SCENARIOS if not args.scenarios or s.name in args.scenarios]
    servers = [s for s in SERVERS if _installed(s.module) and args.only in s.name]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _make_certificate(folder / "cert.pem")
        for scenario in chosen:
            _table(scenario, servers, args.rounds, args.seconds, folder)
    return 0


def _table(
    scenario: Scenario,
    servers: Sequence[Server],
    rounds: int,
    seconds: int,
    folder: Path,
) -> None:
    results: dict[str, list[Result]] = {}
    able = [
        s
        for s in servers
        if not (scenario.log and s.log is None) and not (scenario.tls and s.tls is None)
    ]
    for _ in range(rounds):
        for server in able:
            try:
                with running(server, scenario, folder) as port:
                    found = measure(port, scenario, seconds, folder)
            except RuntimeError as exc:
                print(f"{server.name}: {exc}", file=sys.stderr)
                continue
            results.setdefault(server.name, []).append(found)
    rates = {
        n: statistics.median(r.rate for r in found) for n, found in results.items()
    }
    ours = rates.get("wsgi-server eventlet", 0.0)
    print(f"\n## {scenario.name}: wrk -t1 {' '.join(scenario.wrk)} {scenario.path}\n")
    print("| server | requests/s | p99 ms | errors | wsgi-server eventlet is |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, rate in sorted(rates.items(), key=lambda item: -item[1]):
        p99 = statistics.median(r.p99 for r in results[name])
        errors = sum(r.errors for r in results[name])
        times = f"{ours / rate:.2f}x" if rate and ours else "-"
        print(f"| {name} | {rate:,.0f} | {p99:.2f} | {errors} | {times} |", flush=True)


def _installed(module: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(module) is not None


def _make_certificate(path: Path) -> None:
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-keyout",
            str(path),
            "-out",
            str(path) + ".crt",
        ],
        check=True,
        capture_output=True,
    )
    path.write_bytes(path.read_bytes() + Path(str(path) + ".crt").read_bytes())


if __name__ == "__main__":
    sys.exit(main())
