"""What a connection may ask of its engine while a request runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .stream import Stream


class Scheduler(Protocol):
    """What a connection may ask of its engine while a request runs."""

    #: Exceptions that end whoever runs a request, from outside.
    killed_by: tuple[type[BaseException], ...]

    def wait(self, conn: Stream, deadline: float, *, writable: bool) -> None:
        """Returns when the client can be read from or written to again.

        Raises `TimeoutError` when `deadline` (monotonic seconds) comes first.
        """

    def breathe(self) -> None:
        """Lets others run, in the middle of a long transfer that never had to wait."""

    def forget(self, conn: Stream) -> None:
        """The connection is about to close its descriptor."""
