"""SIGKILL at any moment costs what was on the victim, and nothing else.

Which requests were on the victim is not guessed from their number. Each client knows the
port it speaks from; the victim is stopped first, and while nothing in it can move the kernel
says which connections it has accepted. So a lost request either was on one of those, read or
not, or it is one too many. A connection that still waits in the accept queue belongs to
nobody yet: another worker must take it.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import live
import pytest
from server.process.support import Load, Service, both_engines, count, halt

pytestmark = pytest.mark.forks

KILLS = 20


@dataclass(frozen=True)
class Loss:
    """A request that was not answered: from which port, from when to when, and why."""

    client: str
    port: int
    began: float
    ended: float
    error: Exception


@dataclass(frozen=True)
class Victim:
    """A worker that does not move any more, and the ports whose connections it holds."""

    pid: int
    ports: frozenset[int]
    stopped: float

    def held(self, loss: Loss) -> bool:
        """Whether the request was on a connection of this worker when it was killed."""
        return loss.port in self.ports and loss.began < self.stopped < loss.ended


@dataclass
class Clients:
    """Clients that keep account of what they lose."""

    server: live.LiveServer
    losses: list[Loss] = field(default_factory=list)

    def each(
        self, name: str, ask: Callable[[http.client.HTTPConnection], None]
    ) -> Callable[[], None]:
        """A turn of `Load`: `ask` on a new connection. Only a broken one is a loss."""

        def turn() -> None:
            port, began = 0, time.monotonic()
            with contextlib.closing(self.server.client()) as client:
                try:
                    client.connect()
                    port = client.sock.getsockname()[1]
                    ask(client)
                except (ConnectionError, http.client.IncompleteRead) as exc:
                    loss = Loss(name, port, began, time.monotonic(), exc)
                    self.losses.append(loss)

        return turn


@both_engines
@pytest.mark.timeout(300)
def test_twenty_random_kills_lose_only_what_ran_on_the_victim(service: Service) -> None:
    service.configure(workers=3)
    server = service.start()
    dice = random.Random(4)
    clients, load = Clients(server), Load()
    for _ in range(2):
        load.add("new connection", clients.each("new connection", get("/")))
        load.add("keep-alive", clients.each("keep-alive", get("/", times=10)))
        load.add("slow", clients.each("slow", get("/slow?s=0.2")))
    load.add("upload", clients.each("upload", upload))
    victims: list[Victim] = []
    with load:
        server.wait_for("the first answers", lambda: load.done > 10)
        for _ in range(KILLS):
            ready, before = count(server, "ready after"), server.worker_pids()
            victim = server.wait_for(
                "a worker with clients",
                lambda: stop_a_busy_one(dice.choice(sorted(before))),
            )
            victims.append(victim)
            killed = time.clock_gettime(time.CLOCK_BOOTTIME)
            os.kill(victim.pid, signal.SIGKILL)
            newcomers = server.wait_for(
                "a replacement", lambda: server.worker_pids() - before
            )
            assert len(newcomers) == 1
            assert live.born(*newcomers) - killed < 1.0
            assert server.worker_pids() == before - {victim.pid} | newcomers
            server.wait_for(
                "its readiness",
                lambda: count(server, "ready after") > ready,
            )
            done = load.done
            server.wait_for("answers", lambda: load.done > done + 10)
    assert load.failures == []
    strays = [loss for loss in clients.losses if not any(v.held(loss) for v in victims)]
    assert strays == []
    # Connections were on every victim: most of them with a request.
    assert len(clients.losses) >= KILLS / 2
    assert load.done > 10 * KILLS


def get(path: str, times: int = 1) -> Callable[[http.client.HTTPConnection], None]:
    """`times` requests on one connection."""

    def ask(client: http.client.HTTPConnection) -> None:
        for _ in range(times):
            client.request("GET", path)
            response = client.getresponse()
            assert response.status == 200
            assert json.loads(response.read())["version"] == "one"

    return ask


def upload(client: http.client.HTTPConnection) -> None:
    """A body that takes more than one read to arrive."""
    client.request("PUT", "/", bytes(1 << 20))
    response = client.getresponse()
    assert response.status == 200
    response.read()


def stop_a_busy_one(pid: int) -> Victim | None:
    """Stops a worker; lets it go on, and gives None, when it has no client."""
    halt(pid)
    ports = frozenset(client_ports(pid))
    if not ports:
        os.kill(pid, signal.SIGCONT)
        return None
    return Victim(pid, ports, time.monotonic())


def client_ports(pid: int) -> Iterator[int]:
    """The far ends of the TCP connections that a process has accepted."""
    held = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        target = os.readlink(fd)
        if target.startswith("socket:["):
            held.add(target[8:-1])
    listening = "0A"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[9] in held and fields[3] != listening:
            yield int(fields[2].rpartition(":")[2], 16)
