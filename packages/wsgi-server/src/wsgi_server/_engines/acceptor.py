"""The listening sockets of one worker: watched, left alone for a while, closed.

Whether there is room is known elsewhere; here is who comes in, and what a pause does.
"""

from __future__ import annotations

import _socket
import errno
import logging
import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from wsgi_server._config.addresses import canonical_ip
from wsgi_server._system.platform import EXCLUSIVE, IN

if TYPE_CHECKING:
    from wsgi_server._connection.endpoint import Endpoint
    from wsgi_server._connection.transport import PlainTransport
    from wsgi_server._system.edges import Poller

LOG = logging.getLogger(__name__)

_NO_DESCRIPTORS: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
#: One worker is woken for a connection, not all of them.
_WATCHED: Final = IN | EXCLUSIVE


class Acceptor:
    """Descriptors of its own, one for each listener, in the poller of a loop.

    `has_room` is asked before every client and may `pause`; `come_back` is told when
    descriptors ran out, and is to `resume` some time later.
    """

    def __init__(
        self,
        poller: Poller,
        transport: Callable[[int, int, int, int], PlainTransport],
        *,
        has_room: Callable[[], bool],
        come_back: Callable[[], object],
    ) -> None:
        self._poller = poller
        self._transport = transport
        self._has_room = has_room
        self._come_back = come_back
        self._socks: dict[int, Any] = {}
        self._endpoints: dict[int, Endpoint] = {}
        #: Whether clients are looked for.
        self.accepting = False
        #: Whether clients wait because there was no room for them.
        self.paused = False

    def __contains__(self, fd: int) -> bool:
        return fd in self._socks

    def __iter__(self) -> Iterator[int]:
        return iter(list(self._socks))

    @property
    def endpoints(self) -> list[Endpoint]:
        """What clients come to."""
        return list(self._endpoints.values())

    def add(self, endpoint: Endpoint) -> None:
        """Takes clients for `endpoint` in from the next `resume` on."""
        listening = endpoint.listener.sock
        fd = _socket.dup(listening.fileno())
        sock = self._transport(
            listening.family, socket.SOCK_STREAM, listening.proto, fd
        )
        sock.setblocking(False)
        self._socks[fd] = sock
        self._endpoints[fd] = endpoint

    def resume(self) -> None:
        """Looks for clients from now on."""
        if not self.accepting:
            self.accepting = True
            for fd in self._socks:
                self._poller.register(fd, _WATCHED)

    def suspend(self) -> None:
        """Leaves clients waiting; harmless when it does already."""
        if self.accepting:
            self.accepting = False
            for fd in self._socks:
                self._poller.unregister(fd)

    def pause(self, reason: str) -> None:
        """Leaves clients waiting until there is room; says so once in an episode."""
        if not self.paused:
            LOG.warning("accepting pauses: %s", reason)
            self.paused = True
        self.suspend()

    def accept(
        self, fd: int, most: int
    ) -> Iterator[tuple[PlainTransport, tuple[str, str], Endpoint]]:
        """Up to `most` waiting clients: socket, address with port, and who they come to.

        Address and port are empty for a client of a Unix socket.
        """
        endpoint = self._endpoints[fd]
        for _ in range(most):
            if not self._has_room():
                return
            try:
                client = self._accept(fd)
            except BlockingIOError:
                if self.paused:
                    # Everybody who waited is in: the episode is over.
                    self.paused = False
                    LOG.info("accepting again")
                return
            except OSError as exc:
                if exc.errno in _NO_DESCRIPTORS:
                    self.pause(f"cannot accept: {exc.strerror}")
                    self._come_back()
                    return
                if exc.errno == errno.EINVAL:
                    self._lose(fd)
                    return
                # The client took its connection back before we came to it.
                LOG.debug("accept: %s", exc)
                continue
            yield *client, endpoint

    def close(self, fd: int) -> None:
        """Closes one for good."""
        if self.accepting:
            self._poller.unregister(fd)
        self._socks.pop(fd).close()
        del self._endpoints[fd]

    def close_all(self) -> None:
        """Closes them all for good."""
        self.suspend()
        for sock in self._socks.values():
            sock.close()
        self._socks.clear()
        self._endpoints.clear()

    def abandon(self) -> None:
        """In a process that the application forked: closes them there."""
        for sock in self._socks.values():
            sock.close()
        self._socks.clear()

    def _lose(self, fd: int) -> None:
        """Forgets a socket that somebody has shut down, in whatever process."""
        url = self._endpoints[fd].listener.url
        LOG.error("nobody can connect to %s any more: its socket was shut down", url)
        self.close(fd)

    def _accept(self, fd: int) -> tuple[PlainTransport, tuple[str, str]]:
        listening = self._socks[fd]
        new, address = listening._accept()
        sock = self._transport(
            listening.family, socket.SOCK_STREAM, listening.proto, new
        )
        sock.setblocking(False)
        if type(address) is tuple:
            host = address[0]
            if ":" in host:
                host = canonical_ip(host)
            return sock, (host, str(address[1]))
        return sock, ("", "")
