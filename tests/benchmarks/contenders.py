"""The servers that are measured, how each is started, and what it cannot do."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import processes

HERE = Path(__file__).parent
START_SECONDS = 15.0
STOP_SECONDS = 10.0

EVENTLET = "wsgi-server eventlet"
THREADS = "wsgi-server threads"


@dataclass(frozen=True)
class Server:
    """How to start one; `{port}`, `{threads}`, `{log}` and `{cert}` are filled in."""

    name: str
    module: str
    command: Sequence[str]
    #: What switches an access log on, and what keeps it off where it is on by default.
    log: Sequence[str] | None = None
    quiet: Sequence[str] = ()
    tls: Sequence[str] | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    #: Folders that come before what is installed.
    path: Sequence[str] = ()
    #: Scenarios that it has no answer to, with the reason.
    unable: Mapping[str, str] = field(default_factory=dict)

    @property
    def installed(self) -> bool:
        """Whether the environment has it."""
        return importlib.util.find_spec(self.module) is not None


def _words(text: str) -> list[str]:
    return [sys.executable, *text.split()]


OURS = (
    "-m wsgi_server app:application --bind-host 127.0.0.1 --bind-port {port}"
    " --workers 1 --engine "
)
PEERS = str(HERE / "peers.py")
UWSGI = [
    *(sys.executable, "-c", "import pyuwsgi; pyuwsgi.run()", "--so-keepalive"),
    *("--module", "app:application", "--need-app", "--master", "--processes", "1"),
    *("--listen", "1024"),
]
ONE_AT_A_TIME = "it runs one request at a time"
OWN_API = "an application reads chunked bodies through its own API"

SERVERS = (
    Server(
        EVENTLET,
        "wsgi_server",
        _words(OURS + "eventlet"),
        log=["--access-log", "{log}"],
        quiet=["--access-log", ""],
        tls=["--cert-file", "{cert}"],
        env={"NAP": "eventlet"},
    ),
    Server(
        THREADS,
        "wsgi_server",
        _words(OURS + "threads --threads {threads}"),
        log=["--access-log", "{log}"],
        quiet=["--access-log", ""],
        tls=["--cert-file", "{cert}"],
    ),
    Server(
        "eventlet.wsgi",
        "eventlet",
        _words(f"{PEERS} eventlet {{port}}"),
        log=["--log", "{log}"],
        tls=["--cert", "{cert}"],
        env={"NAP": "eventlet"},
    ),
    Server(
        "gunicorn gthread",
        "gunicorn",
        # Its defaults close idle connections after two seconds and hold 1,000 at most.
        _words(
            "-m gunicorn -k gthread --threads {threads} -w 1 -b 127.0.0.1:{port}"
            " --worker-connections 10000 --keep-alive 75 --log-level error"
            " app:application"
        ),
        log=["--access-logfile", "{log}"],
        tls=["--certfile", "{cert}", "--keyfile", "{cert}"],
    ),
    Server(
        "waitress 4",
        "waitress",
        _words(f"{PEERS} waitress {{port}} --threads 4"),
        unable={"slow": "the scenario is about many threads"},
    ),
    Server(
        "waitress",
        "waitress",
        _words(f"{PEERS} waitress {{port}} --threads {{threads}}"),
    ),
    Server(
        "gevent",
        "gevent",
        _words(f"{PEERS} gevent {{port}}"),
        log=["--log", "{log}"],
        tls=["--cert", "{cert}"],
        env={"NAP": "gevent"},
    ),
    Server(
        "cheroot",
        "cheroot",
        _words(f"{PEERS} cheroot {{port}} --threads {{threads}}"),
        tls=["--cert", "{cert}"],
    ),
    Server(
        # It closes each connection after a response, whatever it is told: wrk counts that
        # as errors and connects anew.
        "uWSGI",
        "pyuwsgi",
        [*UWSGI, "--http-socket", "127.0.0.1:{port}", "--http-keepalive"],
        log=["--logto", "{log}"],
        quiet=["--disable-logging"],
        unable={"upload-chunked": OWN_API, "slow": ONE_AT_A_TIME},
    ),
    Server(
        # This way it keeps them, and a thread with each.
        "uWSGI threads",
        "pyuwsgi",
        [*UWSGI, "--http11-socket", "127.0.0.1:{port}", "--threads", "{threads}"],
        log=["--logto", "{log}"],
        quiet=["--disable-logging"],
        unable={
            "upload-chunked": OWN_API,
            "stream": "it neither frames nor ends a response without a length",
        },
    ),
    Server(
        "granian",
        "granian",
        _words(
            "-m granian --interface wsgi --host 127.0.0.1 --port {port} --workers 1"
            " --log-level error app:application"
        ),
        log=["--access-log", "--log-level", "info"],
    ),
    Server(
        "bjoern",
        "bjoern",
        _words(f"{PEERS} bjoern {{port}}"),
        unable={
            "upload-chunked": "it does not know chunked bodies",
            "slow": ONE_AT_A_TIME,
        },
    ),
)


@dataclass(frozen=True)
class Target:
    """A running server, from the point of view of those who put load on it."""

    port: int
    pid: int
    tls: bool
    folder: Path


@contextlib.contextmanager
def running(
    server: Server, folder: Path, *, threads: int, log: bool, tls: bool
) -> Iterator[Target]:
    """The server, answering, on CPU 0. Raises `RuntimeError` where it does not."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [*server.command, *((server.log or ()) if log else server.quiet)]
    words += (server.tls or ()) if tls else ()
    facts = {
        "port": port,
        "threads": threads,
        "log": folder / "access.log",
        "cert": folder / "cert.pem",
    }
    pin = ["taskset", "-c", "0"] if shutil.which("taskset") else []
    output = folder / "output"
    with output.open("wb") as stream:
        process = subprocess.Popen(
            [*pin, *(word.format(**facts) for word in words)],
            cwd=HERE,
            env={
                **os.environ,
                **server.env,
                "PYTHONPATH": os.pathsep.join([*server.path, str(HERE)]),
            },
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
        )
    members = [process.pid]
    try:
        _wait_until_answering(port, process, tls=tls, output=output)
        members = processes.tree(process.pid)
        yield Target(port, process.pid, tls, folder)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        # A master that was killed, or is careless, leaves its workers behind.
        processes.kill([pid for pid in members if pid != process.pid])


def _wait_until_answering(
    port: int, process: subprocess.Popen[bytes], *, tls: bool, output: Path
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
    said = output.read_text(errors="replace").strip().splitlines()
    raise RuntimeError(f"did not start: {said[-1] if said else 'it said nothing'}")


def make_certificate(path: Path) -> None:
    """A key and a self-signed certificate in one file."""
    chain = path.with_suffix(".crt")
    words = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    subprocess.run(
        [*words.split(), "-keyout", str(path), "-out", str(chain)],
        check=True,
        capture_output=True,
    )
    path.write_bytes(path.read_bytes() + chain.read_bytes())
