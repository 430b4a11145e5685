"""The listening sockets of one worker: watched, left alone for a while, closed.

Whether there is room is known elsewhere; here is who comes in, and what a pause does.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from wsgi_server._config.addresses import canonical_ip

if TYPE_CHECKING:
    from wsgi_server._net.listeners import Listener

LOG = logging.getLogger(__name__)


_NO_DESCRIPTORS: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
#: One worker is woken for a connection, not all of them.
_WATCHED: Final = select.EPOLLIN | select.EPOLLEXCLUSIVE


class Doors:
    """Descriptors of its own, one for each listener, in the epoll set of a loop.

    `has_room` is asked before every client and may `starve`; `come_back` is told when
    descriptors ran out, and is to `open` the doors some time later.
    """

    def __init__(
        self,
        epoll: Any,
        *,
        has_room: Callable[[], bool],
        come_back: Callable[[], object],
    ) -> None:
        self._epoll = epoll
        self._has_room = has_room
        self._come_back = come_back
        self._socks: dict[int, Any] = {}
        #: What each is called in the log.
        self._urls: dict[int, str] = {}
        #: Whether clients are looked for.
        self.are_open = False
        #: Whether clients wait because there was no room for them.
        self.starved = False

    def __contains__(self, fd: int) -> bool:
        return fd in self._socks

    def __iter__(self) -> Iterator[int]:
        return iter(self._socks)

    def add(self, listener: Listener) -> int:
        """Takes a listener on, while the doors are shut; returns the descriptor."""
        fd = os.dup(listener.sock.fileno())
        # Never a green socket.
        sock = socket.SocketType(
            listener.sock.family, socket.SOCK_STREAM, listener.sock.proto, fd
        )
        sock.setblocking(False)
        self._socks[fd] = sock
        self._urls[fd] = listener.url
        return fd

    def open(self) -> None:
        """Looks for clients from now on."""
        if not self.are_open:
            self.are_open = True
            for fd in self._socks:
                self._epoll.register(fd, _WATCHED)

    def shut(self) -> None:
        """Leaves clients waiting; harmless when it does already."""
        if self.are_open:
            self.are_open = False
            for fd in self._socks:
                self._epoll.unregister(fd)

    def starve(self, reason: str, detail: object) -> None:
        """Shuts the doors until something is closed; one log line an episode."""
        if not self.starved:
            LOG.warning("accepting pauses: " + reason, detail)  # noqa: G003
            self.starved = True
        self.shut()

    def admit(
        self, fd: int, most: int
    ) -> Iterator[tuple[socket.SocketType, tuple[str, str]]]:
        """Up to `most` waiting clients, on non-blocking sockets, with address and port.

        Both are empty for a client of a Unix socket.
        """
        for _ in range(most):
            if not self._has_room():
                return
            try:
                client = self._accept(fd)
            except BlockingIOError:
                if self.starved:
                    # Everybody who waited is in: the episode is over.
                    self.starved = False
                    LOG.info("accepting again")
                return
            except OSError as exc:
                if exc.errno in _NO_DESCRIPTORS:
                    self.starve("cannot accept: %s", exc.strerror)
                    self._come_back()
                    return
                if exc.errno == errno.EINVAL:
                    self._lose(fd)
                    return
                # The client took its connection back before we came to it.
                LOG.debug("accept: %s", exc)
                continue
            yield client

    def close(self, fd: int) -> None:
        """Closes one for good."""
        if self.are_open:
            self._epoll.unregister(fd)
        self._socks.pop(fd).close()
        del self._urls[fd]

    def close_all(self) -> None:
        """Closes them all for good."""
        self.shut()
        for sock in self._socks.values():
            sock.close()
        self._socks.clear()
        self._urls.clear()

    def _lose(self, fd: int) -> None:
        """Forgets a socket that somebody has shut down, in whatever process."""
        url = self._urls[fd]
        LOG.error("nobody can connect to %s any more: its socket was shut down", url)
        self.close(fd)

    def _accept(self, fd: int) -> tuple[socket.SocketType, tuple[str, str]]:
        door = self._socks[fd]
        # The C-level socket costs a third of the Python class, per connection.
        new, address = door._accept()
        sock = socket.SocketType(door.family, socket.SOCK_STREAM, door.proto, new)
        sock.setblocking(False)
        if type(address) is tuple:
            host = address[0]
            if ":" in host:
                host = canonical_ip(host)
            return sock, (host, str(address[1]))
        return sock, ("", "")
