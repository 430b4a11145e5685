"""A server that behaves as one does towards the admin side, and a client for it."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

from wsgi_server._admin.application import Application
from wsgi_server._admin.events import Event, Events
from wsgi_server._admin.http import AdminServer
from wsgi_server._admin.state import (
    ListenerRow,
    Outcome,
    Phase,
    ServiceRow,
    State,
    Tell,
    WorkerRow,
    WorkerState,
)
from wsgi_server._scoreboard.counts import Counts
from wsgi_server._scoreboard.totals import Totals


def worker(number: int = 1, **changes: Any) -> WorkerRow:
    row = WorkerRow(
        number=number,
        pid=1000 + number,
        service="images",
        generation=1,
        state=WorkerState.READY,
        age=60.0,
        beat_age=0.5,
        requests=100,
        active=0,
        queued=0,
        threads=32,
        threads_busy=0,
        connections={"idle": 2},
        resident=40 << 20,
        open_fds=20,
    )
    return dataclasses.replace(row, **changes)


class FakeServer:
    """A server of two workers, whose state a test changes and whose orders it notes."""

    def __init__(self) -> None:
        self.counts = Counts.local()
        self.totals = Totals()
        self.log = Events()
        self.orders: list[tuple[str, dict[str, Any]]] = []
        #: What the next order comes to; none: it is told later, by the test.
        self.outcome: Outcome | None = Outcome(True, "done")
        self.waiting: list[Tell] = []
        self.now = State(
            phase=Phase.SERVING,
            version="1.2.3",
            python="3.13.0",
            pid=999,
            uptime=3600.0,
            drain_left=None,
            generation=1,
            reload_progress=None,
            reloads_accepted=0,
            reloads_failed=0,
            last_reload_accepted=True,
            last_reload_time=1.7e9,
            last_reload_reason="",
            boot_failure=None,
            started=True,
            held=False,
            worker_timeout=60.0,
            worker_ready_timeout=60.0,
            services=(),
            workers=(worker(1), worker(2)),
        )
        self.service = ServiceRow(
            name="images",
            engine="threads",
            wanted=2,
            listeners=(ListenerRow("http://127.0.0.1:8080", 0, 4096),),
            totals=self.totals.read([self.counts]),
        )

    def change(self, **changes: Any) -> None:
        self.now = dataclasses.replace(self.now, **changes)

    def state(self, *, brief: bool = False) -> State:
        services: Sequence[ServiceRow] = self.now.services or (self.service,)
        totals = self.totals.read([self.counts])
        return dataclasses.replace(
            self.now,
            services=tuple(dataclasses.replace(s, totals=totals) for s in services),
        )

    def events(self) -> Sequence[Event]:
        return self.log.last()

    def config(self) -> Mapping[str, Any]:
        return {"images": {"workers": {"value": 2, "source": "default"}}}

    def _order(self, tell: Tell, name: str, **what: Any) -> None:
        self.orders.append((name, what))
        if self.outcome is None:
            self.waiting.append(tell)
        else:
            tell(self.outcome)

    def reload(self, tell: Tell) -> None:
        self._order(tell, "reload")

    def scale(self, tell: Tell, *, workers: int | None, by: int | None) -> None:
        self._order(tell, "scale", workers=workers, by=by)

    def restart(self, tell: Tell, number: int) -> None:
        self._order(tell, "restart", number=number)

    def log_level(
        self, tell: Tell, level: str, logger: str, seconds: float | None
    ) -> None:
        self._order(tell, "log_level", level=level, logger=logger, seconds=seconds)

    def hold(self, tell: Tell, *, held: bool) -> None:
        self._order(tell, "hold", held=held)

    def stop(self, tell: Tell, *, graceful: bool) -> None:
        self._order(tell, "stop", graceful=graceful)

    def reopen_logs(self, tell: Tell) -> None:
        self._order(tell, "reopen_logs")

    def upgrade(self, tell: Tell) -> None:
        self._order(tell, "upgrade")

    def stacks(self, tell: Tell, number: int | None) -> None:
        self._order(tell, "stacks", number=number)


@dataclasses.dataclass(frozen=True)
class Answered:
    """A whole answer."""

    status: int
    headers: http.client.HTTPMessage
    content: bytes


@dataclasses.dataclass
class Admin:
    """An admin side that runs in a thread of its own, over TCP and a Unix socket."""

    server: FakeServer
    application: Application
    address: tuple[str, int]
    path: Path
    #: Run in the loop's thread, when it is woken.
    tasks: list[Callable[[], object]]
    wake: socket.socket

    def ask(
        self,
        target: str,
        *,
        method: str = "GET",
        body: bytes | None = None,
        local: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> Answered:
        """One request of a connection of its own, and the whole answer."""
        client = http.client.HTTPConnection(*self.address, timeout=20)
        client.sock = self.connect(local=local)
        client.request(method, target, body, dict(headers or {}))
        answer = client.getresponse()
        found = Answered(answer.status, answer.headers, answer.read())
        client.close()
        return found

    def tell(self, detail: str) -> None:
        """Answers the order that has waited longest, in the loop's own thread."""
        self.tasks.append(lambda: self.server.waiting.pop(0)(Outcome(True, detail)))
        self.wake.send(b"t")

    def connect(self, *, local: bool = False) -> socket.socket:
        family = socket.AF_UNIX if local else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.settimeout(20)
        sock.connect(str(self.path) if local else self.address)
        return sock


@contextlib.contextmanager
def running(path: Path, **options: Any) -> Iterator[Admin]:
    """An admin side with a loop that does nothing else."""
    import select

    server = FakeServer()
    application = Application(server, server.log, **options)
    tcp = socket.create_server(("127.0.0.1", 0))
    unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    unix.bind(str(path))
    unix.listen(64)
    for sock in (tcp, unix):
        sock.setblocking(False)
    admin = AdminServer(application)
    admin.listen([tcp, unix], unix)
    reader, writer = socket.socketpair()
    tasks: list[Callable[[], object]] = []
    address = tcp.getsockname()

    def loop() -> None:
        poll = select.poll()
        poll.register(admin.fileno(), select.POLLIN)
        poll.register(reader, select.POLLIN)
        while True:
            left = min(60.0, max(0.0, admin.deadline - monotonic()))
            ready = dict(poll.poll(left * 1000 + 1))
            if reader.fileno() in ready:
                if reader.recv(1) == b"x":
                    return
                tasks.pop(0)()
            admin.turn()

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield Admin(server, application, address, path, tasks, writer)
    finally:
        writer.send(b"x")
        thread.join()
        admin.close()
        tcp.close()
        unix.close()
        reader.close()
        writer.close()
