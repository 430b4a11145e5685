"""What epoll is to a loop, where there is none: edges, and changes from other threads.

A descriptor that was reported rests until somebody has taken from it, or given to it:
`look_again` is for whoever does. Without that, what is left lying would be reported for ever.
"""

from __future__ import annotations

import _socket
import contextlib
import math
import socket
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

from . import unpatched
from .platform import EDGE, IN, OUT

#: What any event of a descriptor may be about, besides an end.
_BOTH: Final = IN | OUT


class Poller(Protocol):
    """What a loop asks of epoll."""

    def register(self, fd: int, eventmask: int, /) -> None: ...
    def modify(self, fd: int, eventmask: int, /) -> None: ...
    def unregister(self, fd: int, /) -> None: ...
    def poll(self, timeout: float | None, /) -> list[tuple[int, int]]: ...
    def fileno(self) -> int: ...
    def close(self) -> None: ...


class WakeUp:
    """A pair of sockets: what one thread writes ends the wait of another."""

    def __init__(self) -> None:
        self.reader, self._writer = socket_pair()

    def fileno(self) -> int:
        """The descriptor to poll for reading."""
        return self.reader.fileno()

    def writer(self) -> int:
        """The descriptor to write to, for `signal.set_wakeup_fd`."""
        return self._writer.fileno()

    def wake(self) -> None:
        """From whatever thread."""
        # EAGAIN: so many bytes wait that nobody sleeps.
        with contextlib.suppress(BlockingIOError):
            self._writer.send(b"\0")

    def lower(self) -> None:
        """Takes all that was written."""
        with contextlib.suppress(BlockingIOError):
            while len(self.reader.recv(4096)) == 4096:
                continue

    def close(self) -> None:
        """Gives the descriptors back."""
        self.reader.close()
        self._writer.close()


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets that never wait, whoever has patched what."""
    if hasattr(_socket, "socketpair"):
        ends = [unpatched.Socket(fileno=end.detach()) for end in _socket.socketpair()]
    else:
        ends = _loop_back()
    for end in ends:
        end.setblocking(False)
    return ends[0], ends[1]


def _loop_back() -> list[socket.socket]:
    """Windows connects two sockets over the network of the machine itself."""
    listener: Any
    with unpatched.Socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        client: socket.socket = unpatched.Socket()
        while True:
            client.connect(listener.getsockname())
            # `accept` would make a socket of whatever class stands in `socket` now.
            fd, _ = listener._accept()
            server: socket.socket = unpatched.Socket(fileno=fd)
            if server.getpeername() == client.getsockname():
                break
            # Somebody else was quicker, who has no business here.
            server.close()
            client.close()
            client = unpatched.Socket()
    for end in (client, server):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return [client, server]


class Edges:
    """What rests of what is wanted, by descriptor; who watches is told of every change.

    `watch` is given a descriptor with the events to look for, 0 for none.
    """

    def __init__(self, watch: Callable[[int, int], object]) -> None:
        self._watch = watch
        self._wanted: dict[int, int] = {}
        self._resting: dict[int, int] = {}

    def want(self, fd: int, mask: int) -> None:
        """Looks for `mask` from now on, and at once: as epoll does after a change."""
        self._wanted[fd] = mask
        self._resting.pop(fd, None)
        self._watch(fd, mask & _BOTH)

    def forget(self, fd: int) -> None:
        """Harmless where it is not known."""
        if self._wanted.pop(fd, None) is not None:
            self._resting.pop(fd, None)
            self._watch(fd, 0)

    def report(self, fd: int, mask: int) -> None:
        """`mask` was reported: it rests, where edges are wanted."""
        if fd not in self._wanted:
            return
        wanted = self._wanted[fd]
        if wanted & EDGE:
            # An end comes with whatever was asked for.
            over = mask & _BOTH or _BOTH
            self._resting[fd] = self._resting.get(fd, 0) | over
        self._watch(fd, wanted & _BOTH & ~self._resting.get(fd, 0))

    def look_again(self, fd: int, mask: int) -> None:
        """Something was taken from it (`IN`) or given to it (`OUT`)."""
        resting = self._resting.get(fd, 0)
        if resting & mask:
            self._resting[fd] = resting & ~mask
            self._watch(fd, self._wanted[fd] & _BOTH & ~self._resting[fd])


class EdgePoller:
    """A `Poller` over `poll`. One thread polls; all may change what for.

    Changes wait until it polls again; those of other threads end its wait, but for
    `look_again`: who takes from a connection will give it back, or wave.
    """

    def __init__(self) -> None:
        self._poll = unpatched.poll()
        self._edges = Edges(self._watch)
        self._watched: set[int] = set()
        self._changes: deque[tuple[Callable[..., None], tuple[int, ...]]] = deque()
        self._wake_up = WakeUp()
        self._poll.register(self._wake_up.fileno(), IN)
        self._waiting = False

    def register(self, fd: int, eventmask: int, /) -> None:
        """Looks for `eventmask`, with `EDGE` for what is new alone."""
        self._change(self._edges.want, fd, eventmask)

    modify = register

    def unregister(self, fd: int, /) -> None:
        """Looks for nothing any more. Harmless where it did not."""
        self._change(self._edges.forget, fd)

    def look_again(self, fd: int, mask: int) -> None:
        """See `Edges`."""
        self._changes.append((self._edges.look_again, (fd, mask)))

    def poll(self, timeout: float | None, /) -> list[tuple[int, int]]:
        """What has happened, after up to `timeout` seconds; None waits for ever."""
        # In this order: a change that comes too late to be seen below is one that wakes.
        self._waiting = True
        while self._changes:
            change, arguments = self._changes.popleft()
            change(*arguments)
        wait = None if timeout is None else math.ceil(max(0.0, timeout) * 1000)
        found: list[tuple[int, int]] = self._poll.poll(wait)
        self._waiting = False
        mine = self._wake_up.fileno()
        reported = [(fd, mask) for fd, mask in found if fd != mine]
        if len(reported) < len(found):
            self._wake_up.lower()
        for fd, mask in reported:
            self._edges.report(fd, mask)
        return reported

    def fileno(self) -> int:
        """None that is readable when something has happened; epoll has one."""
        raise OSError("what stands in for epoll is no descriptor")

    def close(self) -> None:
        """Gives the descriptors back that are its own."""
        self._changes.clear()
        self._wake_up.close()

    def _change(self, change: Callable[..., None], *arguments: int) -> None:
        self._changes.append((change, arguments))
        if self._waiting:
            self._wake_up.wake()

    def _watch(self, fd: int, mask: int) -> None:
        if mask:
            self._watched.add(fd)
            self._poll.register(fd, mask)
        elif fd in self._watched:
            self._watched.discard(fd)
            self._poll.unregister(fd)
