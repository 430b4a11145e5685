"""The two ways in which a worker comes to be: as a copy of us, or as our program anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from wsgi_server._process.service import Deployment
    from wsgi_server._process.worker_pipe import Inbox
    from wsgi_server._scoreboard.slots import Slot
    from wsgi_server._system.signals import Signal

#: In the environment of a worker that was started anew.
MARK: Final = "WSGI_SERVER_WORKER"


class Process(Protocol):
    """A worker's process, and what ties it to us."""

    @property
    def pid(self) -> int: ...

    @property
    def inbox(self) -> Inbox:
        """What it says; its end is the worker's."""

    def tell(self, order: Mapping[str, Any]) -> None:
        """Sends an order, unless the worker is gone, or has not read for long."""

    def signal(self, signum: Signal) -> None:
        """Sends a signal, or what comes to the same; harmless when it has ended."""

    def end(self) -> tuple[int | None, float] | None:
        """Exit code (minus the signal, None where unknown) and CPU seconds, once it has."""

    def close(self) -> None:
        """Closes what ties it to us, but for the inbox; it takes that for our death."""

    def fds(self) -> list[int]:
        """What other children must not keep open."""


class Births(Protocol):
    """How processes are started."""

    def bear(
        self, deployment: Deployment, slot: Slot, go: Callable[[], object]
    ) -> Process:
        """Starts one for `slot`, where its number and generation stand.

        It begins with `go`, where it is a copy. Raises `OSError` when there is no room.
        """
