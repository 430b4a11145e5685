"""Hello's rate beside a crowd of clients that want little, and what the crowd costs."""

from __future__ import annotations

import contextlib
import itertools
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from math import nan

import processes
from loads import Figures, Load
from running import Target

#: Seconds that a client of the crowd waits for what it is owed.
PATIENCE = 5.0
#: Seconds that the whole crowd may take to come in.
GATHERING = 20.0

Count = Callable[[], int]
Crowd = Callable[[Target], AbstractContextManager[Count]]


@dataclass(frozen=True)
class Beside:
    """`load` without the crowd, with it, and without it again, on one server."""

    crowd: Crowd
    load: Load

    def __str__(self) -> str:
        return f"{self.load}, beside {self.crowd}"

    def __call__(self, target: Target, seconds: int) -> Figures:
        before = self.load(target, seconds)
        memory = processes.resident_kib(target.pid)
        threads = processes.threads(target.pid)
        with self.crowd(target) as held:
            count = held()
            memory = processes.resident_kib(target.pid) - memory
            during = self.load(target, seconds)
            threads = processes.threads(target.pid) - threads
            left = held()
        after = self.load(target, seconds)
        # Twice without, so that a machine that grows faster or slower evens out.
        rate = (before.rate + after.rate) / 2
        cpu = (before.cpu + after.cpu) / 2
        return Figures(
            rate=during.rate,
            errors=before.errors + during.errors + after.errors,
            cpu=during.cpu,
            p99=during.p99,
            beside=during.rate / rate if rate else nan,
            beside_cpu=cpu / during.cpu if during.cpu else nan,
            kib=memory / count if count else nan,
            threads=threads,
            held=left,
        )


@dataclass(frozen=True)
class Idle:
    """Keep-alive connections that have had one answer and ask for no more."""

    count: int

    def __str__(self) -> str:
        return f"{self.count:,} idle keep-alive connections"

    @contextlib.contextmanager
    def __call__(self, target: Target) -> Iterator[Count]:
        deadline = time.monotonic() + GATHERING
        with ExitStack() as stack:
            socks: list[socket.socket] = []
            while len(socks) < self.count and time.monotonic() < deadline:
                try:
                    sock = stack.enter_context(_connect(target))
                    sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                    if not sock.recv(65536).startswith(b"HTTP/1.1 200"):
                        break
                except OSError:
                    # It takes no more; how many it took is part of the result.
                    break
                socks.append(sock)
            yield lambda: len(socks) - _ended(socks)


@dataclass(frozen=True)
class Dripping:
    """Clients that send one byte each every `interval` seconds.

    Half of them never finish a head, a quarter a small body, a quarter a large one, which
    the application waits for. Who is sent away comes back.
    """

    count: int
    interval: float = 0.1

    def __str__(self) -> str:
        return (
            f"{self.count} clients that drip a byte of a head or a body every "
            f"{self.interval} s"
        )

    @contextlib.contextmanager
    def __call__(self, target: Target) -> Iterator[Count]:
        starts = itertools.cycle(
            (
                b"GET / HTTP/1.1\r\nHost: a\r\nX-Drip: ",
                b"POST /sum HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n",
                b"GET / HTTP/1.1\r\nHost: a\r\nX-Drip: ",
                b"POST /sum HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n",
            )
        )
        drips = [Drip(target, start) for start in itertools.islice(starts, self.count)]
        over = threading.Event()

        def drip() -> None:
            for one in itertools.cycle(drips):
                if over.wait(self.interval / self.count):
                    return
                one.send()

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            yield lambda: sum(one.connected for one in drips)
        finally:
            over.set()
            thread.join()
            for one in drips:
                one.close()


class Drip:
    """One slow client."""

    def __init__(self, target: Target, start: bytes) -> None:
        self._target = target
        self._start = start
        self._sock: socket.socket | None = None
        self._open()

    @property
    def connected(self) -> bool:
        return self._sock is not None

    def send(self) -> None:
        """One byte more; from the start again when the server has hung up."""
        if self._sock is None:
            self._open()
            return
        try:
            self._sock.send(b"x")
        except OSError:
            self.close()

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _open(self) -> None:
        # A server that is too busy to let it in sees it again on its next turn.
        with contextlib.suppress(OSError):
            self._sock = _connect(self._target)
            self._sock.sendall(self._start)


def _connect(target: Target) -> socket.socket:
    return socket.create_connection(("127.0.0.1", target.port), PATIENCE)


def _ended(socks: list[socket.socket]) -> int:
    """How many the server has closed, or has sent something to."""
    poll = select.poll()
    for sock in socks:
        poll.register(sock, select.POLLIN)
    return len(poll.poll(0))
