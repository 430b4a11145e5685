"""Many clients that come in one moment, all at once, and again when all have been answered."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass
from math import nan

import processes
import traffic
from loads import Figures
from running import Target

#: Seconds after which who has no answer counts as an error.
PATIENCE = 10.0
#: Seconds of nothing between two bursts.
PAUSE = 0.05


@dataclass(frozen=True)
class Bursts:
    """`count` new connections at a time with a request each, which may take what it takes.

    Latencies count from the moment in which all of them should have been there.
    """

    count: int

    def __str__(self) -> str:
        return f"from none to {self.count} connections at once, again and again"

    def __call__(self, target: Target, seconds: int) -> Figures:
        requests = traffic.requests("varied")
        latencies: list[float] = []
        errors, busy = 0, 0.0
        before = processes.cpu_seconds(target.pid)
        over = time.monotonic() + seconds
        while time.monotonic() < over:
            seen = _burst(target.port, [requests[n % 256] for n in range(self.count)])
            latencies += seen
            errors += self.count - len(seen)
            busy += max(seen, default=PATIENCE)
            time.sleep(PAUSE)
        spent = processes.cpu_seconds(target.pid) - before
        if not latencies:
            return Figures(0, errors, nan)
        return Figures(
            rate=len(latencies) / busy,
            errors=errors,
            cpu=spent / len(latencies) * 1e6,
            p99=percentile(latencies, 99) * 1e3,
            p999=percentile(latencies, 99.9) * 1e3,
        )


def percentile(values: list[float], percent: float) -> float:
    """The value that so many percent are not above."""
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * percent / 100))]


def _burst(port: int, requests: list[bytes]) -> list[float]:
    """Seconds until the answer to each request that got one."""
    poll = select.epoll()
    waiting: dict[int, tuple[socket.socket, bytes]] = {}
    latencies: list[float] = []
    with ExitStack() as stack:
        stack.enter_context(contextlib.closing(poll))
        started = time.perf_counter()
        for request in requests:
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
            poll.register(sock, select.EPOLLOUT)
            waiting[sock.fileno()] = (sock, request)
        while waiting and time.perf_counter() - started < PATIENCE:
            for fd, event in poll.poll(PATIENCE):
                sock, request = waiting[fd]
                if event & ~(select.EPOLLIN | select.EPOLLOUT):
                    del waiting[fd]
                    poll.unregister(fd)
                elif event & select.EPOLLOUT:
                    sock.send(request)
                    poll.modify(fd, select.EPOLLIN)
                else:
                    if sock.recv(65536).startswith(b"HTTP/1.1 200"):
                        latencies.append(time.perf_counter() - started)
                    del waiting[fd]
                    poll.unregister(fd)
    return latencies
