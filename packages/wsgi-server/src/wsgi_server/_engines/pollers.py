"""What a loop polls with, epoll or what stands in for it, and what ends its wait."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

from wsgi_server._connection.transport import PlainTransport
from wsgi_server._connection.watched import WatchedTransport
from wsgi_server._system import unpatched
from wsgi_server._system.edges import EdgePoller, Edges, Poller, WakeUp
from wsgi_server._system.platform import EDGE, HAS_EVENTFD, IN, OUT

#: Makes a socket of family, kind, protocol and descriptor.
Transports = Callable[[int, int, int, int], PlainTransport]


def open_poller(hub: Any = None) -> tuple[Poller, Transports]:
    """A poller, and what makes the sockets that it is for; one that `hub` can wait for."""
    if unpatched.epoll is not None:
        return unpatched.epoll(), PlainTransport
    poller = EdgePoller() if hub is None else HubPoller(hub)
    return poller, functools.partial(WatchedTransport, poller)


class HubPoller:
    """What epoll is to the eventlet engine, where there is none: listeners of its hub.

    The hub waits for everything, and an epoll set is one descriptor to it. Here every
    connection is, and a pair of sockets is what it finds readable when one has something.
    """

    def __init__(self, hub: Any) -> None:
        self._hub = hub
        self._edges = Edges(self._watch)
        self.look_again = self._edges.look_again
        #: As `EdgePoller.register`; changes count at once.
        self.register = self.modify = self._edges.want
        self.unregister = self._edges.forget
        self._events: dict[int, int] = {}
        self._listeners: dict[tuple[int, int], Any] = {}
        self._wake_up = WakeUp()
        self._kinds = ((IN, hub.READ), (OUT, hub.WRITE))

    def poll(self, timeout: float | None, /) -> list[tuple[int, int]]:
        """What the hub has found; it keeps the time as well."""
        if not self._events:
            return []
        self._wake_up.lower()
        events, self._events = self._events, {}
        for fd, mask in events.items():
            self._edges.report(fd, mask)
        return list(events.items())

    def fileno(self) -> int:
        """The descriptor that is readable while `poll` has something."""
        return self._wake_up.fileno()

    def close(self) -> None:
        """Has the hub forget everything, and gives the descriptors back."""
        for fd, _ in list(self._listeners):
            self._watch(fd, 0)
        self._wake_up.close()

    def _watch(self, fd: int, mask: int) -> None:
        for bit, kind in self._kinds:
            listener = self._listeners.pop((fd, bit), None)
            if listener is not None and not mask & bit:
                self._hub.remove(listener)
            elif mask & bit:
                self._listeners[fd, bit] = listener or self._hub.add(
                    kind, fd, functools.partial(self._found, bit), _ignore_throw, None
                )

    def _found(self, bit: int, fd: int) -> None:
        """In the hub: it rests until `poll` has told of it."""
        if not self._events:
            self._wake_up.wake()
        self._events[fd] = self._events.get(fd, 0) | bit
        self._watch(fd, 0)


def _ignore_throw(*_: object) -> None:
    """A hub throws into listeners whose descriptor was reopened."""


class Flag:
    """Raised while somebody should look at what is ready.

    The set reports it once for every time that it is raised, so lowering costs nothing.
    """

    def __init__(self, poller: Poller) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.raised = False
        poller.register(self.fd, IN | EDGE)

    def wave(self) -> None:
        """Raises it, again if it is up already."""
        self.raised = True
        os.eventfd_write(self.fd, 1)

    def lower(self) -> None:
        """The set has reported it."""
        self.raised = False

    def close(self) -> None:
        """Gives the descriptor back."""
        os.close(self.fd)


class PairFlag:
    """The same with a pair of sockets, for as long as it is raised."""

    def __init__(self, poller: Poller) -> None:
        self._wake_up = WakeUp()
        self.fd = self._wake_up.fileno()
        self.raised = False
        poller.register(self.fd, IN)

    def wave(self) -> None:
        """Raises it, again if it is up already."""
        self.raised = True
        self._wake_up.wake()

    def lower(self) -> None:
        """It has been reported."""
        self._wake_up.lower()
        self.raised = False

    def close(self) -> None:
        """Gives the descriptors back."""
        self._wake_up.close()


def make_flag(poller: Poller) -> Flag | PairFlag:
    """A flag of the kind that the platform has."""
    return Flag(poller) if HAS_EVENTFD else PairFlag(poller)
