"""The listening sockets of one worker: watched, left alone for a while, closed.

Whether somebody may come in is decided elsewhere; here is only the how.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from wsgi_server._originals import original

if TYPE_CHECKING:
    from wsgi_server._sockets import Listener

select: Any = original("select")
socket: Any = original("socket")

#: One worker is woken for a connection, not all of them.
_WATCHED: Final = select.EPOLLIN | select.EPOLLEXCLUSIVE


class Doors:
    """Descriptors of its own, one for each listener, in the epoll set of a loop."""

    def __init__(self, epoll: Any) -> None:
        self._epoll = epoll
        self._socks: dict[int, Any] = {}
        #: Whether clients are looked for.
        self.are_open = False

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

    def admit(self, fd: int) -> tuple[socket.SocketType, tuple[str, str]]:
        """The next client, on a non-blocking socket, with its address and port.

        Both are empty for a client of a Unix socket. Raises `OSError`, and
        `BlockingIOError` where nobody waits.
        """
        door = self._socks[fd]
        # The C-level socket costs a third of the Python class, per connection.
        new, address = door._accept()
        sock = socket.SocketType(door.family, socket.SOCK_STREAM, door.proto, new)
        sock.setblocking(False)
        if type(address) is tuple:
            return sock, (address[0], str(address[1]))
        return sock, ("", "")

    def close(self, fd: int) -> None:
        """Closes one for good."""
        if self.are_open:
            self._epoll.unregister(fd)
        self._socks.pop(fd).close()

    def close_all(self) -> None:
        """Closes them all for good."""
        self.shut()
        for sock in self._socks.values():
            sock.close()
        self._socks.clear()
