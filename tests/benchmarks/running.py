"""Servers as processes: started on a CPU of their own, waited for, and ended."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import processes

HERE = Path(__file__).parent
#: A service that has much to load, on a machine that is busy.
START_SECONDS = 60.0
STOP_SECONDS = 10.0


@dataclass(frozen=True)
class Setup:
    """What a server is asked to do beside answering."""

    #: Of the servers that have them.
    threads: int = 64
    log: bool = False
    tls: bool = False
    #: Whether it believes what a proxy at 127.0.0.1 says of its clients.
    trusting: bool = False
    workers: int = 1
    #: Whether workers share what was loaded once, where a server has the choice.
    preload: bool = False


@dataclass(frozen=True)
class Server:
    """How to start one; what stands in braces is filled in."""

    name: str
    module: str
    command: Sequence[str]
    #: What switches an access log on, and what keeps it off where it is on by default.
    log: Sequence[str] | None = None
    quiet: Sequence[str] = ()
    tls: Sequence[str] | None = None
    #: What makes it believe a proxy at 127.0.0.1.
    trusting: Sequence[str] | None = None
    #: What makes it load the application before it forks, and what after.
    preload: Sequence[str] | None = None
    apart: Sequence[str] = ()
    #: What it serves, where that is not what all of them serve.
    app: str = "app:application"
    #: What it answers as soon as it serves.
    ready: str = "/"
    #: Whether one round has to do for it where time is short.
    once: bool = False
    env: Mapping[str, str] = field(default_factory=dict)
    #: Folders that come before what is installed.
    path: Sequence[str] = ()
    #: Scenarios that it has no answer to, with the reason.
    unable: Mapping[str, str] = field(default_factory=dict)

    @property
    def installed(self) -> bool:
        """Whether the environment has it."""
        return importlib.util.find_spec(self.module) is not None

    def why_not(self, setup: Setup) -> str | None:
        """Why it cannot do what is asked for; None where it can."""
        if not self.installed:
            return "not installed"
        if setup.log and self.log is None:
            return "no access log"
        if setup.tls and self.tls is None:
            return "no TLS"
        if setup.trusting and self.trusting is None:
            return "it believes no proxy, or any"
        if setup.preload and self.preload is None:
            return "it loads in each worker"
        return None

    def started(
        self, setup: Setup, port: int, folder: Path
    ) -> tuple[list[str], dict[str, str]]:
        """The command and what it finds in its environment, with its files in a folder."""
        words = [*self.command, *((self.log or ()) if setup.log else self.quiet)]
        words += (self.tls or ()) if setup.tls else ()
        words += (self.trusting or ()) if setup.trusting else ()
        words += (self.preload or ()) if setup.preload else self.apart
        facts = {
            "workers": setup.workers,
            "app": self.app,
            "port": port,
            "threads": setup.threads,
            "log": folder / "access.log",
            "cert": folder / "cert.pem",
            "folder": folder,
        }
        env = {name: value.format(**facts) for name, value in self.env.items()}
        return [word.format(**facts) for word in words], env


@dataclass(frozen=True)
class Target:
    """A running server, from the point of view of those who put load on it."""

    port: int
    pid: int
    tls: bool
    folder: Path
    #: Seconds from the command to the first answer.
    start: float


@contextlib.contextmanager
def running(server: Server, folder: Path, setup: Setup) -> Iterator[Target]:
    """The server, answering, on CPU 0. Raises `RuntimeError` where it does not."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words, env = server.started(setup, port, folder)
    pin = ["taskset", "-c", "0"] if shutil.which("taskset") else []
    output = folder / "output"
    with output.open("wb") as stream:
        process = subprocess.Popen(
            [*pin, *words],
            cwd=HERE,
            env={
                **os.environ,
                **env,
                "PYTHONPATH": os.pathsep.join([*server.path, str(HERE)]),
            },
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
        )
    members = [process.pid]
    began = time.monotonic()
    try:
        _wait_until_answering(server, port, process, tls=setup.tls, output=output)
        start = time.monotonic() - began
        members = processes.tree(process.pid)
        yield Target(port, process.pid, setup.tls, folder, start)
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
    server: Server,
    port: int,
    process: subprocess.Popen[bytes],
    *,
    tls: bool,
    output: Path,
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
            client.request("GET", server.ready)
            if client.getresponse().status < 400:
                return
        time.sleep(0.005)
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
