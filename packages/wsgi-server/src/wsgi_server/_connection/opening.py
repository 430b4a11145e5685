"""What precedes the first request of a connection: a PROXY header, and TLS."""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING, Any

from wsgi_server._wsgi.tls import tls_environ

from .proxy_protocol import LONGEST, ProxyHeaderError, parse_proxy_header
from .state import State
from .transport import TlsTransport

if TYPE_CHECKING:
    from .endpoint import Endpoint
    from .stream import Stream

LOG = logging.getLogger(__name__)


class Opening:
    """The beginning of a connection, with what it tells about the client."""

    __slots__ = ("_endpoint", "_stream", "_tls", "environ", "peer")

    def __init__(
        self, stream: Stream, endpoint: Endpoint, peer: tuple[str, str]
    ) -> None:
        self._stream = stream
        self._endpoint = endpoint
        self._tls: TlsTransport | None = None
        #: Address and port of the client.
        self.peer = peer
        #: What TLS adds to the environ of every request.
        self.environ: dict[str, Any] = {}

    def begin(self) -> State:
        """The first state."""
        proxies = self._endpoint.settings.proxy_protocol
        if proxies and self.peer[0] in proxies:
            return State.PREFACE
        return self._secure()

    def goes_on(self, state: State) -> State:
        """The state after what has arrived, or `state` where that was not enough.

        HEAD ends the opening, CLOSED is for the caller to carry out.
        """
        try:
            return self._shake_hands() if self._tls else self._read_preface()
        except BlockingIOError:
            return state
        except ProxyHeaderError as exc:
            LOG.info("%s:%s refused: %s", *self.peer, exc)
        except OSError as exc:
            what = "failed the TLS handshake" if self._tls else "refused"
            LOG.info("%s:%s %s: %s", *self.peer, what, exc)
        return State.CLOSED

    def _secure(self) -> State:
        tls = self._endpoint.tls
        if tls is None:
            return State.HEAD
        self._tls = TlsTransport(self._stream.transport.bare, tls)
        self._stream.transport, self._stream.tls = self._tls, True
        return State.HANDSHAKE

    def _shake_hands(self) -> State:
        assert self._tls is not None  # noqa: S101  what HANDSHAKE means
        self._tls.handshake()
        self.environ = tls_environ(self._tls)
        return State.HEAD

    def _read_preface(self) -> State:
        """Looks at what arrived and takes just the PROXY header, for TLS may follow."""
        sock = self._stream.transport.bare
        data = sock.recv(LONGEST, socket.MSG_PEEK)
        if not data:
            return State.CLOSED
        found = parse_proxy_header(data)
        if found is None:
            # What was looked at stays there: the end behind it shows nowhere else.
            return State.CLOSED if self._stream.ended else State.PREFACE
        sock.recv(found[0])
        if found[1] is not None:
            self.peer = found[1]
        return self._secure()
