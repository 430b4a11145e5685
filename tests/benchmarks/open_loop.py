"""Load that does not wait for the server: requests go out when they are due.

A closed loop, such as wrk, asks again when it has been answered, so whoever makes it wait
is asked less and looks better. Here arrivals are those of many independent clients (a
Poisson process), and the latency of each request counts from the moment in which it was due,
whether a connection was free then or not. `Tail.late` tells how late the generator itself
was: figures mean something while it stays far below the latencies.

    python tests/benchmarks/open_loop.py

checks the generator against a server of known slowness, and fails where it is wrong.
"""

from __future__ import annotations

import contextlib
import gc
import random
import select
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from time import perf_counter

from bursts import percentile

CONNECTIONS = 64
#: Seconds after the last request within which all answers have to be there.
PATIENCE = 5.0


@dataclass(frozen=True)
class Tail:
    """Latencies in milliseconds, from the moment in which a request was due."""

    #: Requests a second that were asked for, and that were answered.
    asked: float
    rate: float
    errors: int
    p50: float
    p99: float
    p999: float
    #: p99.9 of how long after it was due, with a connection free, a request went out.
    late: float


def run(
    port: int,
    requests: Sequence[bytes],
    rate: float,
    seconds: float,
    connections: int = CONNECTIONS,
) -> Tail:
    """Asks `rate` times a second for so many seconds; each answer must have one length."""
    gc.collect()
    gc.disable()
    try:
        with ExitStack() as stack:
            socks = [
                stack.enter_context(socket.create_connection(("127.0.0.1", port), 5))
                for _ in range(connections)
            ]
            length = _learn(socks[0], requests[0])
            return _ask(socks, requests, length, rate, seconds)
    finally:
        gc.enable()


def _learn(sock: socket.socket, request: bytes) -> int:
    """Bytes of an answer, which is the same for every request but for its date."""
    sock.sendall(request)
    seen = b""
    while b"\r\n\r\n" not in seen:
        seen += _more(sock)
    head, _, body = seen.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:])
    length = int(fields[b"content-length"])
    while len(body) < length:
        body += _more(sock)
    return len(head) + 4 + length


def _more(sock: socket.socket) -> bytes:
    data = sock.recv(65536)
    if not data:
        raise RuntimeError("the server closes its connections")
    return data


def _ask(
    socks: Sequence[socket.socket],
    requests: Sequence[bytes],
    length: int,
    rate: float,
    seconds: float,
) -> Tail:
    chance = random.Random(18)
    poll = select.epoll()
    by_fd = {sock.fileno(): sock for sock in socks}
    for sock in socks:
        sock.setblocking(False)
        poll.register(sock, select.EPOLLIN)
    free = list(socks)
    due_of: dict[int, float] = {}
    missing = dict.fromkeys(by_fd, 0)
    waiting: deque[float] = deque()
    latencies: list[float] = []
    delays: list[float] = []
    errors = sent = 0
    began = due = perf_counter()
    over = began + seconds
    while True:
        now = perf_counter()
        while due <= now and due < over:
            waiting.append(due)
            due += chance.expovariate(rate)
        while waiting and free:
            sock = free.pop()
            fd = sock.fileno()
            due_of[fd] = since = waiting.popleft()
            missing[fd] = length
            sock.send(requests[sent % len(requests)])
            sent += 1
            if not waiting:
                delays.append(perf_counter() - since)
        if due >= over and not waiting and not due_of:
            break
        if now > over + PATIENCE:
            errors += len(waiting) + len(due_of)
            break
        # It never sleeps: the shortest sleep of a poll is longer than a request.
        for fd, _ in poll.poll(0):
            data = by_fd[fd].recv(65536)
            missing[fd] -= len(data)
            if missing[fd] > 0 and data:
                continue
            latencies.append(perf_counter() - due_of.pop(fd))
            errors += missing[fd] != 0
            if data:
                free.append(by_fd[fd])
            else:
                poll.unregister(fd)
    poll.close()
    elapsed = perf_counter() - began
    return Tail(
        asked=rate,
        rate=len(latencies) / elapsed,
        errors=errors,
        p50=percentile(latencies, 50) * 1e3,
        p99=percentile(latencies, 99) * 1e3,
        p999=percentile(latencies, 99.9) * 1e3,
        late=percentile(delays, 99.9) * 1e3,
    )


@contextlib.contextmanager
def _slow_server(nap: float, every: int) -> Iterator[int]:
    """Answers one request at a time, and sleeps for `nap` seconds at each `every`-th."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    over = threading.Event()

    def serve(listener: socket.socket) -> None:
        poll = select.epoll()
        poll.register(listener, select.EPOLLIN)
        socks: dict[int, socket.socket] = {}
        count = 0
        while not over.is_set():
            for fd, _ in poll.poll(0.1):
                if fd == listener.fileno():
                    sock, _address = listener.accept()
                    socks[sock.fileno()] = sock
                    poll.register(sock, select.EPOLLIN)
                elif socks[fd].recv(65536):
                    count += 1
                    if count % every == 0:
                        time.sleep(nap)
                    socks[fd].sendall(answer)
                else:
                    poll.unregister(fd)
                    socks.pop(fd).close()
        for sock in socks.values():
            sock.close()
        poll.close()

    with closing(socket.create_server(("127.0.0.1", 0), backlog=256)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            over.set()
            thread.join()


def main() -> int:
    """A pause of 100 ms in each of a thousand requests at 500/s: 50 wait up to that long.

    A generator that waits with the server would see one long latency in a thousand, and
    have a p99 of less than a millisecond; here about one in forty is delayed, so p99 is
    most of the pause.
    """
    request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    with _slow_server(nap=0.1, every=1000) as port:
        tail = run(port, [request], rate=500, seconds=10)
    print(tail)
    kept = 0.95 < tail.rate / tail.asked < 1.05
    right = kept and 40 < tail.p99 < 110 and 85 < tail.p999 < 160 and not tail.errors
    print("as it should be" if right else "not as it should be")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
