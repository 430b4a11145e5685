"""The body of a running request: what was read ahead of it, and what is still to come."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from wsgi_server._http11 import CONTINUE, ProtocolError
from wsgi_server._wsgi.channel import BodyError

from .stream import PIECE

if TYPE_CHECKING:
    from wsgi_server._http11 import Request, RequestReader

    from .stream import Stream

#: Unread bytes that are taken in after the response to keep the connection.
DISCARD_LIMIT: Final = 65536


class RequestBody:
    """Where `wsgi.input` reads from."""

    __slots__ = (
        "_has_begun",
        "_invited",
        "_patience",
        "_reader",
        "_request",
        "_stream",
        "_unwanted",
        "open",
    )

    def __init__(
        self,
        request: Request,
        reader: RequestReader,
        stream: Stream,
        has_begun: Callable[[], bool],
    ) -> None:
        self._request = request
        self._reader = reader
        self._stream = stream
        # Whether the final response has.
        self._has_begun = has_begun
        # One for the whole body: who drips must not begin anew with each drop.
        self._patience = stream.patience_to_receive()
        # Whether the client sends, or was told to (RFC 9110 10.1.1).
        self._invited = not request.expect_continue
        # Bytes that were received although nobody wants them.
        self._unwanted = 0
        #: Whether any of it was not read yet.
        self.open = True

    @property
    def will_end(self) -> bool:
        """Whether the rest of it is worth waiting for."""
        request = self._request
        return self._invited and (
            request.chunked or (request.content_length or 0) <= DISCARD_LIMIT
        )

    def read_body(self, limit: int) -> bytes:
        """Up to `limit` bytes of the request body; empty at its end.

        Raises `BodyError` or `ClientGone`.
        """
        reader = self._reader
        while self.open:
            try:
                part = reader.read_body(limit)
            except ProtocolError as exc:
                raise BodyError(exc.status, exc.detail) from exc
            if part is not None:
                self.open = reader.in_body
                return part
            if not self._invited:
                self._invited = True
                # A client that has its final answer may still send the body, or not.
                if not self._has_begun():
                    self._stream.send(CONTINUE)
            try:
                data = self._stream.receive(reader.appetite(), self._patience)
            except TimeoutError as exc:
                raise _late() from exc
            reader.feed(data)
        return b""

    def read_body_into(self, buffer: memoryview) -> int:
        """As `read_body`, to where the bytes are wanted; returns how many, 0 at the end."""
        reader = self._reader
        have = 0
        count = reader.direct(len(buffer)) if self._invited else 0
        if not count:
            part = self.read_body(len(buffer))
            have = len(part)
            buffer[:have] = part
            count = reader.direct(len(buffer) - have)
        if not count:
            return have
        try:
            came, tail = self._stream.receive_into(
                buffer[have : have + count],
                reader.behind(count),
                self._patience,
                wait=not have,
            )
        except TimeoutError as exc:
            raise _late() from exc
        reader.pass_body(came, tail)
        self.open = reader.in_body
        return have + came

    def read_over(self) -> bool:
        """Reads over what nobody wants of what has arrived; true at the end of it.

        Raises `ProtocolError` where it is broken, or longer than is worth it, and
        `ConnectionError` where the client is gone.
        """
        reader = self._reader
        while self.open:
            if reader.read_body(PIECE) is not None:
                self.open = reader.in_body
            else:
                if self._unwanted > DISCARD_LIMIT:
                    raise ProtocolError(413, "Too much of a body that nobody reads.")
                data = self._stream.take()
                if data is None:
                    return False
                if not data:
                    raise ConnectionError("the client closed in the middle of a body")
                self._unwanted += len(data)
                reader.feed(data)
        return True


def _late() -> BodyError:
    return BodyError(408, "The request body came too slowly.")
