"""What ties a worker that was started anew to its supervisor: one socket.

Whatever it is to do is an order: such a worker hears no signals.
"""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Collection

from wsgi_server._process.worker_pipe import Inbox
from wsgi_server._system import unpatched
from wsgi_server._system.platform import OUT

#: Seconds that a message waits for a supervisor that does not read.
PATIENCE = 5.0


class ChannelInbox(Inbox):
    """The supervisor's side: messages of a worker."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        super().__init__(sock.fileno())

    def close(self) -> None:
        self._sock.close()
        self.fd = -1

    def send(self, data: bytes) -> None:
        """Sends all of it. Raises `ConnectionError` where nobody reads any more."""
        if self.fd < 0:
            raise ConnectionError("the worker is gone")
        send_all(self._sock, data)

    def _unblock(self) -> None:
        self._sock.setblocking(False)

    def _read(self) -> bytes:
        return receive(self._sock)


class ChannelTies:
    """The worker's side; see `Ties`."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.descriptors = [sock.fileno()]

    def fileno(self) -> int:
        return self._sock.fileno()

    def begin(self) -> None:
        # It comes to all processes of a console. The supervisor says what to do about it.
        if hasattr(signal, "SIGBREAK"):
            signal.signal(signal.SIGBREAK, signal.SIG_IGN)

    def limit(self, seconds: float) -> None:
        """Where the supervisor ends, the system ends its job; its own loop does the rest."""

    def has_ended(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            return not self._sock.recv(1, socket.MSG_PEEK)
        return False

    def send(self, data: bytes, /) -> None:
        send_all(self._sock, data)

    def receive(self) -> bytes:
        return receive(self._sock)

    def has_room(self) -> bool:
        return True

    def leave_behind(self, keep: Collection[int]) -> None:
        self._sock.detach()


def receive(sock: socket.socket) -> bytes:
    """What has come, empty for the end: of one that was killed there is no other sign."""
    try:
        return sock.recv(65536)
    except ConnectionError:
        return b""


def send_all(sock: socket.socket, data: bytes) -> None:
    """Sends all of it, to one that reads. Raises `ConnectionError` where nobody does."""
    poll = unpatched.poll()
    poll.register(sock.fileno(), OUT)
    while data:
        try:
            data = data[sock.send(data) :]
        except BlockingIOError:
            if not poll.poll(PATIENCE * 1000):
                raise ConnectionError("nobody reads") from None
