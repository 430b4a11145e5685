"""A server process as a user would start it, and what tests ask of it.

Tests get these through the fixtures `live_server` and `command` in `conftest.py`. The one
`sleep` of the test suite is in `wait_until`.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

TESTS: Final = Path(__file__).parent
#: The values of the option `engine`.
ENGINES: Final = ("eventlet", "threads")
#: What behaviour tests run on: the engines, and the eventlet engine with an application that
#: calls `eventlet.monkey_patch()` when it is imported, as every eventlet service does.
FORMS: Final = ("eventlet", "patched", "threads")
#: Seconds after which waiting is given up: generous, because a fact ends it early.
PATIENCE: Final = 60.0

Found = TypeVar("Found")
#: What says that something is not there yet.
Falsy = Literal[False, 0, ""] | None


def wait_until(
    what: str, predicate: Callable[[], Found | Falsy], timeout: float = PATIENCE
) -> Found:
    """The first true value of `predicate`; an `AssertionError` naming `what` if none."""
    deadline = time.monotonic() + timeout
    while not (found := predicate()):
        if time.monotonic() >= deadline:
            raise AssertionError(f"waited {timeout} s in vain for {what}")
        time.sleep(0.01)
    return found


def children_of(pid: int) -> set[int]:
    """The living children of a process, without zombies."""
    found = set()
    # Asked over and over while tests wait, so without the comfort of pathlib.
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat", "rb", buffering=0) as stat:
                line = stat.read()
        except (FileNotFoundError, ProcessLookupError):
            continue  # gone since the directory was read
        # The second field is the name in parentheses, which may hold anything.
        state, parent = line.rpartition(b")")[2].split(maxsplit=2)[:2]
        if int(parent) == pid and state != b"Z":
            found.add(int(entry))
    return found


def are_gone(pids: Iterable[int]) -> bool:
    """Whether none of these processes exists, or all are zombies."""
    return not any(map(is_alive, pids))


def is_alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def refuses(address: tuple[str, int]) -> bool:
    """Whether nobody listens there."""
    try:
        socket.create_connection(address, 1).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        # The socket was closed in this very moment.
        return False
    return False


def born(pid: int) -> float:
    """When a process was forked, in seconds since the system's start (CLOCK_BOOTTIME)."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return int(ticks) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Response:
    """A whole response, as `http.client` understood it."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass
class LiveServer:
    """A running `wsgi-server`; `start` makes one that listens."""

    process: subprocess.Popen[bytes]
    directory: Path
    stderr: Path
    stdout: Path
    url: str = ""
    urls: list[str] = field(default_factory=list)

    def log(self) -> str:
        """Everything on stderr so far."""
        return self.stderr.read_text(errors="replace")

    def output(self) -> str:
        """Everything on stdout so far: the access log, unless it goes elsewhere."""
        return self.stdout.read_text(errors="replace")

    def wait_for(
        self,
        what: str,
        predicate: Callable[[], Found | Falsy],
        timeout: float = PATIENCE,
    ) -> Found:
        """Like `wait_until`, with the server's log in the error."""
        try:
            return wait_until(what, predicate, timeout)
        except AssertionError as exc:
            raise AssertionError(f"{exc}; the log:\n{self.log()}") from None

    def wait_for_log(self, pattern: str, timeout: float = PATIENCE) -> re.Match[str]:
        """The first match of a regular expression in the log."""

        def search() -> re.Match[str] | None:
            # In this order: what it says before it ends is there when it has ended.
            ended = self.process.poll()
            found = re.search(pattern, self.log())
            if found is None and ended is not None:
                raise AssertionError(f"it ended with {ended}")
            return found

        found = self.wait_for(f"{pattern!r} in the log", search, timeout)
        assert found is not None
        return found

    @property
    def pid(self) -> int:
        """The supervisor."""
        return self.process.pid

    def worker_pids(self) -> set[int]:
        """The supervisor's living children."""
        return children_of(self.pid)

    def send(self, signum: signal.Signals) -> None:
        """Sends a signal to the supervisor alone."""
        self.process.send_signal(signum)

    def wait(self, timeout: float = PATIENCE) -> int:
        """The exit status, once the supervisor has ended."""
        return self.process.wait(timeout)

    def stop(self) -> int:
        """TERM, and the exit status; every worker must be gone by then."""
        workers = self.worker_pids()
        self.send(signal.SIGTERM)
        status = self.wait()
        self.wait_for("the workers' end", lambda: not any(map(is_alive, workers)))
        return status

    def kill(self) -> None:
        """The last resort: everything, at once."""
        for pid in (*self.worker_pids(), self.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the first address."""
        host, _, port = self.url.partition("//")[2].rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def port(self) -> int:
        return self.address[1]

    def client(self, timeout: float = PATIENCE) -> http.client.HTTPConnection:
        """A keep-alive client of the standard library; close it, or use `closing`."""
        return http.client.HTTPConnection(*self.address, timeout=timeout)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """One request on a connection of its own."""
        with contextlib.closing(self.client()) as client:
            client.request(method, path, body, dict(headers or {}))
            response = client.getresponse()
            return Response(response.status, response.headers, response.read())

    def get(self, path: str = "/", **headers: str) -> Response:
        """One GET request; `User_Agent="x"` is sent as `User-Agent: x`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request("GET", path, headers=named)

    def connect(self, timeout: float = PATIENCE) -> socket.socket:
        """A raw connection; a context manager."""
        return socket.create_connection(self.address, timeout)

    def exchange(self, data: bytes) -> bytes:
        """Sends bytes on a new connection and reads until the server closes it."""
        with self.connect() as sock:
            sock.sendall(data)
            return b"".join(iter(lambda: sock.recv(65536), b""))


def engine_of(form: str) -> str:
    """The option `engine` of one of `FORMS`."""
    return "eventlet" if form == "patched" else form


def application_of(form: str, uri: str) -> str:
    """The URI `module:name` of an application, as one of `FORMS` has it."""
    return f"apps.patch_first:load({uri!r})" if form == "patched" else uri


def command_line(*args: str, module: str = "wsgi_server") -> list[str]:
    """The command as `python -m`, so that the environment under test is used."""
    return [sys.executable, "-m", module, *args]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment; the test applications can be imported in it.

    No test looks a name up in a worker, and eventlet's resolver is a quarter of a start.
    """
    path = os.pathsep.join(filter(None, (str(TESTS), os.environ.get("PYTHONPATH"))))
    return {
        "EVENTLET_NO_GREENDNS": "yes",
        **os.environ,
        "PYTHONPATH": path,
        **(extra or {}),
    }


def start(
    directory: Path,
    *args: str,
    module: str = "wsgi_server",
    env: Mapping[str, str] | None = None,
    listens: bool = True,
) -> LiveServer:
    """Starts `python -m module` in `directory`; otherwise as `launch`."""
    command = command_line(*args, module=module)
    return launch(directory, command, env=env, listens=listens)


def launch(
    directory: Path,
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    listens: bool = True,
    patience: float = PATIENCE,
) -> LiveServer:
    """Starts a command that serves and waits for what it listens on.

    `listens=False` returns at once. Raises `AssertionError` with the log when the server
    ends instead, or does not listen within `patience` seconds.
    """
    number = len(list(directory.glob("server-*.stderr"))) + 1
    stderr = directory / f"server-{number}.stderr"
    stdout = directory / f"server-{number}.stdout"
    # Files, because a pipe that nobody reads can fill up and block the server.
    with stderr.open("wb") as errors, stdout.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env=environment(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
        )
    server = LiveServer(process, directory, stderr, stdout)
    if listens:
        try:
            server.wait_for_log(r"listening on \S", patience)
        except AssertionError:
            server.kill()
            raise
        server.urls = re.findall(r"listening on (\S+)", server.log())
        server.url = server.urls[0]
    return server


@contextlib.contextmanager
def stopping(servers: list[LiveServer]) -> Iterator[None]:
    """At its end every server stops on TERM; one that must be killed is a failure."""
    try:
        yield
    finally:
        stubborn = []
        for server in servers:
            workers = server.worker_pids()
            if server.process.poll() is None:
                server.send(signal.SIGTERM)
            try:
                server.wait()
                server.wait_for("its workers' end", partial(are_gone, workers))
            except (subprocess.TimeoutExpired, AssertionError):
                stubborn.append(server)
                server.kill()
            print(f"--- log of server {server.pid} ---\n{server.log()}")
        assert not stubborn, f"had to be killed: {[server.pid for server in stubborn]}"
