"""A service with a configuration file and an application that tests rewrite at will."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import live
import pytest

#: For behaviour that depends on the engine as well: both, and eventlet's with an application
#: that has patched the process.
both_engines = pytest.mark.parametrize("engine", live.FORMS)


@dataclass
class Service:
    """Files of one service in a directory of its own, and the servers started there."""

    directory: Path
    #: One of `live.FORMS`.
    form: str = "eventlet"
    uri: str = "application:app"
    options: dict[str, Any] = field(default_factory=dict)
    servers: list[live.LiveServer] = field(default_factory=list)

    @property
    def config(self) -> Path:
        return self.directory / "serve.conf"

    @property
    def application(self) -> Path:
        return self.directory / "application.py"

    def configure(self, **options: Any) -> None:
        """Writes the configuration file; what was set before stays, None removes."""
        self.options.update(options)
        lines = ["[DEFAULT]"]
        for name, value in self.options.items():
            values = value if isinstance(value, list) else [value]
            lines += [f"{name} = {item}" for item in values if item is not None]
        self.write("\n".join(lines) + "\n")

    def write(self, text: str) -> None:
        """Puts a new configuration file in the old one's place, whole."""
        draft = self.directory / "draft.conf"
        draft.write_text(text)
        draft.rename(self.config)

    def publish(self, version: str) -> None:
        """Puts new code in the application's place."""
        text = self.application.read_text().splitlines()
        at = next(i for i, line in enumerate(text) if line.startswith("VERSION = "))
        text[at] = f"VERSION = {version!r}"
        draft = self.directory / "draft.py"
        draft.write_text("\n".join(text) + "\n")
        draft.rename(self.application)

    def start(
        self, *args: str, env: dict[str, str] | None = None, listens: bool = True
    ) -> live.LiveServer:
        """Starts the command on these files."""
        if not self.config.exists():
            self.configure()
        server = live.start(
            self.directory,
            live.application_of(self.form, self.uri),
            "--config-file",
            str(self.config),
            *args,
            # Compiled files have whole seconds in them: new code must not look old.
            env={"PYTHONDONTWRITEBYTECODE": "1", **(env or {})},
            listens=listens,
        )
        self.servers.append(server)
        return server


def answer(server: live.LiveServer, path: str = "/") -> dict[str, Any]:
    """What the application says about itself, in a request of its own."""
    response = server.get(path)
    assert response.status == 200, response.text
    found: dict[str, Any] = json.loads(response.body)
    return found


class HeldRequest:
    """A request that runs until it is released; leaves two files in `directory`."""

    def __init__(self, server: live.LiveServer, directory: Path) -> None:
        self._server = server
        self._begun, self._gate = directory / "begun", directory / "gate"
        self._answers: list[live.Response] = []
        self._thread = threading.Thread(target=self._ask, name="held request")
        self._thread.start()
        server.wait_for("the request to run", self._begun.exists)

    def release(self) -> live.Response:
        """Lets it end, and gives the answer to it."""
        self._gate.touch()
        self._thread.join(live.PATIENCE)
        assert self._answers, f"no answer; the log:\n{self._server.log()}"
        return self._answers[0]

    def _ask(self) -> None:
        path = f"/begin?file={self._begun}&gate={self._gate}"
        self._answers.append(self._server.get(path))


def hang(service: Service) -> Path:
    """Has the application load for ever; the file is there when that has begun.

    In short sleeps: Python does not notice a signal that comes between its last look and
    the beginning of a long one.
    """
    begun = service.directory / "begun"
    service.application.write_text(
        f"import time\nopen({str(begun)!r}, 'w').close()\n"
        "while True:\n    time.sleep(0.1)\n"
    )
    return begun


def reload(server: live.LiveServer) -> None:
    """HUP, and wait until the reload has ended one way or the other."""
    ends = r"reload: generation \d+ serves|reload failed"
    before = count(server, ends)
    server.send(signal.SIGHUP)
    server.wait_for("the end of the reload", lambda: count(server, ends) > before)


def wait_for_answer(server: live.LiveServer, **facts: object) -> None:
    """Until every worker that accepts answers so.

    An old worker may accept one more connection before it hears of its retirement.
    """

    def told() -> bool:
        found = answer(server)
        return all(found[name] == value for name, value in facts.items())

    server.wait_for(f"an answer with {facts}", told)


def count(server: live.LiveServer, pattern: str) -> int:
    """How often the log has said something."""
    return len(re.findall(pattern, server.log()))


@dataclass
class Load:
    """Clients that go on until they are told to stop, and what became of each request.

    Each rests for `pause` seconds after every request: clients that never do leave the
    processes which start under this load little of a small machine.
    """

    pause: float = 0.01
    done: int = 0
    failures: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _closing: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def add_keep_alive(self, server: live.LiveServer) -> None:
        """One client that keeps its connection for as long as the server allows it."""
        client = server.client()
        self._closing.callback(client.close)

        def turn() -> None:
            client.request("GET", "/")
            response = client.getresponse()
            assert response.status == 200
            response.read()

        self.add("keep-alive", turn)

    def add(self, name: str, turn: Callable[[], None]) -> None:
        """Runs `turn` again and again; what it raises is a failed request."""

        def go() -> None:
            while not self._stop.wait(self.pause):
                began = time.monotonic()
                try:
                    turn()
                except Exception as exc:  # noqa: BLE001  a failed request, whatever it was
                    self.failures.append(
                        f"{name}, {time.monotonic() - began:.2f} s: {exc!r}"
                    )
                else:
                    with self._lock:
                        self.done += 1

        self._threads.append(threading.Thread(target=go, name=name))

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(live.PATIENCE)
        self._closing.close()
        assert not any(thread.is_alive() for thread in self._threads)


def new_connections(server: live.LiveServer) -> Callable[[], None]:
    """Each request on a connection of its own."""

    def turn() -> None:
        assert server.get("/").status == 200

    return turn


def slow_requests(server: live.LiveServer, seconds: float) -> Callable[[], None]:
    """Requests that are running whenever something happens."""

    def turn() -> None:
        assert server.get(f"/slow?s={seconds}").status == 200

    return turn


def uploads(server: live.LiveServer, size: int) -> Callable[[], None]:
    """Bodies that arrive in pieces, checked by their digest."""
    data = bytes(range(256)) * (size // 256)
    digest = hashlib.sha256(data).hexdigest()

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(data), 65536):
            yield data[start : start + 65536]

    def turn() -> None:
        response = server.request(
            "PUT", "/", pieces(), {"Content-Length": str(len(data))}
        )
        assert response.status == 200
        assert json.loads(response.body)["digest"] == digest

    return turn


@contextlib.contextmanager
def steady_requests(server: live.LiveServer) -> Iterator[Load]:
    """Light load of every kind while the block runs."""
    load = Load()
    load.add("new connection", new_connections(server))
    load.add_keep_alive(server)
    load.add("slow", slow_requests(server, 0.2))
    load.add("upload", uploads(server, 1 << 20))
    with load:
        server.wait_for("the first answers", lambda: load.done > 5)
        yield load


def halt(pid: int) -> None:
    """Stops a process, and comes back when each of its threads stands still."""
    os.kill(pid, signal.SIGSTOP)
    live.wait_until(f"{pid} to stand still", lambda: set(states(pid)) == {"T"})


def states(pid: int) -> Iterator[str]:
    """The state of each thread of a process."""
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        # A thread may end between two looks.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            yield stat.read_text().rpartition(")")[2].split()[0]
