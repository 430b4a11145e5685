"""Load on one server for one round, and what was seen of it: wrk, and big uploads."""

from __future__ import annotations

import http.client
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import nan

import processes
import traffic
from running import Target

MIB = 1 << 20
#: Seconds beyond the round after which a load gives up.
PATIENCE = 30.0


@dataclass(frozen=True)
class Figures:
    """One round. What a load does not look at stays NaN."""

    #: Requests a second, those that failed not counted.
    rate: float
    errors: int
    #: Microseconds of CPU time that the server took for each of them.
    cpu: float
    #: Milliseconds.
    p99: float = nan
    p999: float = nan
    #: What is left of the rate, and of requests per CPU second, beside a crowd.
    beside: float = nan
    beside_cpu: float = nan
    #: Of each connection in the crowd.
    kib: float = nan
    #: Threads that the crowd made the server start, and how many of the crowd it kept.
    threads: float = nan
    held: float = nan


Load = Callable[[Target, int], Figures]


@dataclass(frozen=True)
class Wrk:
    """wrk on one path, or with the requests of that name in `traffic`."""

    path: str = "/"
    options: Sequence[str] = ("-c32",)
    script: str = ""
    traffic: str = ""

    def __str__(self) -> str:
        what = self.traffic or self.path
        return f"wrk -t1 {' '.join(self.options)} {what}"

    def __call__(self, target: Target, seconds: int) -> Figures:
        words = ["wrk", "-t1", f"-d{seconds}", "--latency", *self.options]
        if text := self.script or (traffic.SCRIPT if self.traffic else ""):
            script = target.folder / "load.lua"
            script.write_text(text)
            words += ["-s", str(script)]
        scheme = "https" if target.tls else "http"
        words.append(f"{scheme}://127.0.0.1:{target.port}{self.path}")
        if self.traffic:
            words += ["--", str(traffic.file_of(self.traffic, target.folder))]
        before = processes.cpu_seconds(target.pid)
        text = subprocess.run(
            words,
            capture_output=True,
            text=True,
            check=True,
            timeout=seconds + PATIENCE,
        ).stdout
        spent = processes.cpu_seconds(target.pid) - before
        done = re.search(r"(\d+) requests in", text)
        rate = re.search(r"Requests/sec:\s*([\d.]+)", text)
        late = re.search(r"99%\s+([\d.]+)(us|ms|s)", text)
        bad = re.findall(r"(?:connect|read|write|timeout) (\d+)|Non-2xx.*: (\d+)", text)
        if done is None or rate is None or late is None:
            raise RuntimeError(f"wrk said what we do not understand: {text!r}")
        count = int(done[1])
        scale = {"us": 1e-3, "ms": 1.0, "s": 1e3}[late[2]]
        return Figures(
            rate=float(rate[1]),
            errors=sum(int(number) for pair in bad for number in pair if number),
            cpu=spent / count * 1e6 if count else nan,
            p99=float(late[1]) * scale if count else nan,
        )


@dataclass(frozen=True)
class Upload:
    """One client that sends `mib` MiB, on a new connection each, to `/sum`.

    Everything is prepared in one block that the C side of a socket sends again and again,
    so that the client takes less time than any server.
    """

    mib: int
    chunked: bool = False
    #: Repetitions of a round, however fast they are.
    most: int = 50

    def __str__(self) -> str:
        framing = "in chunks of 64 KiB" if self.chunked else "with a Content-Length"
        return f"one client, {self.mib} MiB {framing} to /sum"

    def __call__(self, target: Target, seconds: int) -> Figures:
        head = f"POST /sum HTTP/1.1\r\nHost: 127.0.0.1:{target.port}\r\n"
        if self.chunked:
            head += "Transfer-Encoding: chunked\r\n\r\n"
            part = b"x" * 65536
            block = (b"%x\r\n%b\r\n" % (len(part), part)) * (MIB // len(part))
        else:
            head += f"Content-Length: {self.mib * MIB}\r\n\r\n"
            block = b"x" * MIB
        before = processes.cpu_seconds(target.pid)
        started = time.monotonic()
        done = errors = 0
        while done + errors < self.most:
            try:
                self._send(target.port, head.encode(), block)
                done += 1
            except (OSError, http.client.HTTPException, ValueError) as exc:
                print(f"upload failed: {exc!r}", file=sys.stderr)
                errors += 1
            if errors or time.monotonic() - started >= seconds:
                break
        elapsed = time.monotonic() - started
        spent = processes.cpu_seconds(target.pid) - before
        return Figures(done / elapsed, errors, spent / done * 1e6 if done else nan)

    def _send(self, port: int, head: bytes, block: bytes) -> None:
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
            sock.sendall(head)
            for _ in range(self.mib):
                sock.sendall(block)
            if self.chunked:
                sock.sendall(b"0\r\n\r\n")
            response = http.client.HTTPResponse(sock)
            response.begin()
            counted = response.read()
        if response.status != 200 or int(counted) != self.mib * MIB:
            raise ValueError(f"{response.status} {counted[:80]!r}")
