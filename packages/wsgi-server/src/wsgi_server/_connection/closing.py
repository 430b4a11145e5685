"""How a connection is closed without a loss for its client (RFC 9112 9.6).

Closing a socket while input is unread makes the kernel reset the connection, and the client
may lose the answer. So whoever was answered early is listened to for a while.
"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .stream import Stream

#: For how many bytes a closing connection still listens.
LINGER_LIMIT: Final = 1 << 20


class Closing:
    """The end of a connection: half-closed, it listens until its client closes as well."""

    __slots__ = ("_received", "_stream")

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._received = 0

    def begin(self, answer: bytes) -> bool:
        """Half-closes behind a last `answer`; false where the client was faster."""
        transport = self._stream.transport
        try:
            if answer:
                # Nobody waits for a client that cannot take a short error.
                transport.send(answer)
            transport.shutdown(socket.SHUT_WR)
        except OSError:  # EPIPE, ECONNRESET, ENOTCONN, or EAGAIN of a full buffer
            return False
        # A TLS session reads nothing after its farewell, and nobody needs to.
        self._stream.transport, self._stream.tls = transport.bare, False
        self._stream.signalled = True
        return True

    def goes_on(self) -> bool:
        """Reads over what has arrived; false when it is time to close."""
        data = self._stream.take()
        if not data:
            return data is None
        self._received += len(data)
        self._stream.signalled = True
        return self._received <= LINGER_LIMIT


def dismiss(stream: Stream, answer: bytes) -> None:
    """Answers from outside, while the application still runs; it stays its own."""
    with contextlib.suppress(OSError):  # who is gone misses nothing
        stream.transport.send(answer)
        stream.transport.shutdown(socket.SHUT_WR)
