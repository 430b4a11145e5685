"""How a connection is torn down (RFC 9112 9.6): refused, half-closed, reset, closed.

Closing a socket while input is unread makes the kernel reset the connection, and the client
may lose the answer. So whoever was answered early is listened to for a while.
"""

from __future__ import annotations

import contextlib
import logging
import math
import socket
import struct
from time import monotonic
from typing import TYPE_CHECKING, Final

from wsgi_server._http11 import error_response

from .state import State
from .stream import Stream
from .transport import TlsTransport

if TYPE_CHECKING:
    from wsgi_server._wsgi.exchange import Exchange

LOG = logging.getLogger(__name__)

#: How long, and for how much, a closing connection still listens.
LINGER_SECONDS: Final = 2.0
LINGER_LIMIT: Final = 1 << 20

_RESET: Final = struct.pack("ii", 1, 0)
_CLOSED, _LINGERING = State.CLOSED, State.LINGERING


class Teardown(Stream):
    """A connection as far as its end is concerned."""

    __slots__ = ("_idle_bytes", "exchange", "peer", "state")

    state: State
    #: Address and port of the client; both empty where it has none.
    peer: tuple[str, str]
    #: What runs on the connection.
    exchange: Exchange | None
    #: Bytes that moved in a state which bounds them.
    _idle_bytes: int

    def close(self) -> None:
        """Closes at once. Harmless when it is closed already."""
        if self.state is not _CLOSED:
            self.state = _CLOSED
            self.deadline = math.inf
            self.site.engine.forget(self)
            self.sock.close()

    def refuse(self, status: int, detail: str) -> None:
        """Answers for the application, or instead of it, and leaves."""
        if self.state is _CLOSED:
            return
        LOG.info("%s:%s answered %d: %s", *self.peer, status, detail)
        head_request = self.exchange is not None and (
            self.exchange.request.method == "HEAD"
        )
        answer = error_response(status, detail, self.site.date, head_request)
        try:
            self.sock.send(answer)
        except OSError as exc:
            # Nobody is waiting for a client that cannot take a short error.
            LOG.debug("%s:%s did not take the answer: %s", *self.peer, exc)
            self.close()
        else:
            self._linger(monotonic())

    def dismiss(self, status: int, detail: str) -> None:
        """Answers from outside, while the application still runs; it stays its own."""
        with contextlib.suppress(OSError):
            self.sock.send(error_response(status, detail, self.site.date))
            self.sock.shutdown(socket.SHUT_WR)

    def abort(self) -> None:
        """Resets the connection, so that no client takes the response for whole."""
        if self.state is not _CLOSED:
            if isinstance(self.sock, TlsTransport):
                # Closing without close_notify is what truncation looks like in TLS.
                self.close()
                return
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.close()

    def _linger(self, now: float) -> None:
        """Half-closes, then listens until the client has read the answer and closes."""
        if self._shut():
            if isinstance(self.sock, TlsTransport):
                # The session reads nothing after its farewell, and nobody needs to.
                self.sock = self.sock.raw
            self.state = _LINGERING
            self.deadline = now + LINGER_SECONDS
            self._idle_bytes = 0
            self.signalled = True

    def _shut(self) -> bool:
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            # ENOTCONN: the client was faster.
            self.close()
            return False
        return True

    def _count_lingering(self, received: int) -> None:
        """Goes on listening after `received` more bytes; not for ever."""
        self._idle_bytes += received
        if self._idle_bytes > LINGER_LIMIT:
            self.close()
        elif received:
            self.signalled = True
