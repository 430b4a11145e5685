"""What an exchange asks of its connection, and what that raises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from wsgi_server._http11 import Declaration, Declarations, Head, Request


class ClientGone(ConnectionError):
    """The client closed, reset or stalled in the middle of a request or a response."""


class BodyError(OSError):
    """The request body cannot be had: malformed, too large or too slow.

    An application that lets it pass answers with `status`.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Sender(Protocol):
    """Where the bytes of a response go."""

    def send(self, data: bytes, *, last: bool = False) -> None:
        """Sends all of `data`, waiting for the client where it must."""

    def send_between(self, before: bytes, data: bytes, after: bytes) -> None:
        """Sends the three as one, without copying `data` where that can be spared."""

    def send_file(self, fd: int, offset: int, count: int) -> int:
        """Sends `count` bytes of a file, or fewer where the file ends; returns them."""

    @property
    def can_send_file(self) -> bool:
        """Whether `send_file` works here."""


class BodySource(Protocol):
    """Where the bytes of a request body come from."""

    def read_body(self, limit: int) -> bytes:
        """Up to `limit` bytes of the request body; empty at its end."""

    def read_body_into(self, buffer: memoryview) -> int:
        """Body bytes to `buffer`, as many as are there; returns how many, 0 at its end."""


class Channel(Protocol):
    """What an exchange needs of its connection."""

    @property
    def killed_by(self) -> tuple[type[BaseException], ...]:
        """What ends whoever runs the exchange, from outside: it has to get there."""

    @property
    def stream(self) -> Sender:
        """Where the bytes of the response go."""

    @property
    def declarations(self) -> Declarations:
        """Of statuses and headers, what they say when they are checked."""

    def head(
        self, request: Request, declaration: Declaration, body_length: int | None
    ) -> Head:
        """The rendered head of the response, with its framing decided."""

    def refuse(self, status: int, detail: str) -> object:
        """Sends a short answer of the server's own and ends the connection."""

    def abort(self) -> None:
        """Ends the connection so that no client takes the response for whole."""
