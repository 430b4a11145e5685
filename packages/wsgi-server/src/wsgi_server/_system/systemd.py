"""systemd's two protocols: messages to the manager, sockets from it.

sd_notify(3) is a datagram to `$NOTIFY_SOCKET`; sd_listen_fds(3) hands over descriptors
from 3 on, counted in `$LISTEN_FDS`, meant for the process `$LISTEN_PID`.
"""

from __future__ import annotations

import logging
import math
import socket
import time
from collections.abc import Mapping
from typing import Final

from . import unpatched

LOG = logging.getLogger(__name__)


_FIRST_FD: Final = 3

#: Seconds that the news of a change may wait for room in the manager's queue. It is said
#: once: a READY=1 that is lost lets systemd end a server that is well.
PATIENCE: Final = 5.0


def listen_fds(environ: Mapping[str, str], pid: int) -> list[tuple[str, int]]:
    """The sockets that systemd passed to process `pid`, as (name, descriptor)."""
    if environ.get("LISTEN_PID") != str(pid):
        return []
    count = environ.get("LISTEN_FDS", "0")
    if not count.isdecimal():
        return []
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    return [
        (names[index] if index < len(names) else "", _FIRST_FD + index)
        for index in range(int(count))
    ]


class Notifier:
    """Tells systemd how the service is doing; silent where systemd did not ask."""

    def __init__(self, environ: Mapping[str, str], pid: int) -> None:
        self._path = environ.get("NOTIFY_SOCKET", "")
        self._last_status = ""
        self._failing = False
        #: It had `PATIENCE` to take a message and did not.
        self._deaf = False
        #: Seconds between two signs of life, None when no watchdog waits for them:
        #: half of what systemd allows, as sd_watchdog_enabled(3) advises.
        self.interval: float | None = None
        self._next = 0.0
        usec = environ.get("WATCHDOG_USEC", "")
        # 0 is no watchdog, says sd_watchdog_enabled(3).
        if (
            usec.isdecimal()
            and int(usec)
            and environ.get("WATCHDOG_PID", str(pid)) == str(pid)
        ):
            self.interval = int(usec) / 2e6

    def starting(self, seconds: float) -> None:
        """The start may take so long."""
        usec = math.ceil(seconds * 1e6)
        self._send(f"EXTEND_TIMEOUT_USEC={usec}", "STATUS=starting", patient=True)

    def ready(self, status: str) -> None:
        """The service answers: after a start, or again after a reload."""
        self._send("READY=1", f"STATUS={status}", patient=True)

    def reloading(self) -> None:
        """A reload began; the time stamp is what `Type=notify-reload` waits for."""
        if not self._path:
            return
        usec = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        lines = ("RELOADING=1", f"MONOTONIC_USEC={usec}", "STATUS=reloading")
        self._send(*lines, patient=True)

    def stopping(self) -> None:
        """The service is on its way out."""
        self._send("STOPPING=1", "STATUS=draining", patient=True)

    def status(self, text: str) -> None:
        """One line for `systemctl status`, sent when it changed."""
        if text != self._last_status:
            self._send(f"STATUS={text}")

    def alive(self) -> None:
        """A sign of life for the watchdog."""
        self._send("WATCHDOG=1")

    @property
    def due(self) -> float:
        """When the next sign of life is (monotonic seconds)."""
        return math.inf if self.interval is None else self._next

    def tick(self, now: float, *, well: bool) -> None:
        """Gives the sign of life that is due, unless the service is not `well`."""
        if self.interval is not None and now >= self._next:
            self._next = now + self.interval
            if well:
                self.alive()

    def main_pid(self, pid: int) -> None:
        """Another process is the service's main one; only that one speaks from now on."""
        self._send(f"MAINPID={pid}", patient=True)
        self._path = ""
        self.interval = None

    def _send(self, *lines: str, patient: bool = False) -> None:
        if not self._path:
            return
        for line in lines:
            if line.startswith("STATUS="):
                self._last_status = line.removeprefix("STATUS=")
        # A leading @ stands for the NUL of an abstract name.
        address = f"\0{self._path[1:]}" if self._path[0] == "@" else self._path
        with unpatched.Socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.settimeout(PATIENCE if patient and not self._deaf else 0)
            try:
                # Only of a connected socket the kernel says when its peer has room.
                sock.connect(address)
                sock.send("\n".join(lines).encode())
            except OSError as exc:
                # Not ours to die of: the manager may be restarting, or its queue full.
                if not self._failing:
                    LOG.warning("cannot notify %s: %s", self._path, exc.strerror or exc)
                self._failing = True
                self._deaf = self._deaf or isinstance(exc, TimeoutError)
            else:
                self._failing = self._deaf = False
