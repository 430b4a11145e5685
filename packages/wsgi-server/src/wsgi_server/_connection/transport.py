"""What carries the bytes of a connection: a socket as it is, or TLS over one.

TLS works on memory, so an engine sees the same thing as without it: when `recv` says it
would block, the kernel has nothing left to read, whatever the record boundaries were.
"""

from __future__ import annotations

import _socket
import contextlib
import socket
import ssl
import struct
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final, Protocol, cast

Data = bytes | memoryview


class Transport(Protocol):
    """A non-blocking socket's own names, and what differs between the two forms.

    What cannot be done now raises `BlockingIOError`, what cannot be done any more another
    `OSError`.
    """

    @property
    def direct(self) -> bool:
        """Whether bytes go to the client as they are: files, and several pieces at once."""

    @property
    def holds_more(self) -> bool:
        """Whether `recv` may find something although the kernel reports nothing new."""

    @property
    def unsent(self) -> bool:
        """Whether `flush` has anything to do."""

    @property
    def bare(self) -> PlainTransport:
        """What is below TLS."""

    def recv(self, size: int, /) -> bytes:
        """Up to `size` bytes; empty when the client sends no more."""

    def recv_into(self, buffer: memoryview, /) -> int:
        """As `recv`, to where the bytes are wanted; returns how many came."""

    def send(self, data: Data, /) -> int:
        """Sends a beginning of `data` and returns how much it was."""

    def send_pieces(self, pieces: Sequence[Data]) -> int:
        """As `send`, for what the pieces are together."""

    def flush(self) -> None:
        """Sends what an earlier `send` has taken and could not pass on."""

    def shutdown(self, how: int, /) -> None:
        """Shuts one direction down, after a farewell where there is one."""

    def farewell(self) -> None:
        """Says that nothing follows, where `close` alone would not."""

    def reset(self) -> None:
        """Has `close` tell the client that the response is not whole."""

    def close(self) -> None:
        """Closes the descriptor."""


#: Ciphertext is read and plaintext written in pieces of this size.
PIECE: Final = 65536

#: SO_LINGER: on, for no time.
_RESET: Final = struct.pack("ii", 1, 0)


class PlainTransport(_socket.socket):
    """A socket as the kernel has it; the Python class of sockets costs three times as much."""

    __slots__ = ()

    direct: ClassVar[bool] = True
    holds_more: Final = False
    unsent: Final = False

    @property
    def bare(self) -> PlainTransport:
        return self

    def send_pieces(self, pieces: Sequence[Data]) -> int:
        return self.sendmsg(pieces)

    def flush(self) -> None:
        """There is nothing between this and the kernel."""

    def farewell(self) -> None:
        """The end of the stream is farewell enough."""

    def reset(self) -> None:
        self.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


class TlsTransport:
    """One server-side TLS session; a broken one raises `ssl.SSLError`, an `OSError`."""

    __slots__ = ("_full", "_incoming", "_outgoing", "_pending", "_tls", "bare")

    direct: Final = False

    def __init__(self, bare: PlainTransport, context: ssl.SSLContext) -> None:
        self.bare = bare
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._pending = b""
        self._full = False

    @property
    def holds_more(self) -> bool:
        """Whether `recv` may find something although the kernel reports nothing new."""
        return self._full or bool(self._incoming.pending or self._tls.pending())

    @property
    def unsent(self) -> bool:
        """Whether ciphertext is left over."""
        return bool(self._pending)

    def handshake(self) -> None:
        """Goes as far as what has arrived allows; `BlockingIOError` until it is done."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self.flush()
                self._pull()
            except ssl.SSLError:
                self._flush_alert()
                raise
            else:
                self.flush()
                return

    def recv(self, limit: int) -> bytes:
        """Up to `limit` bytes of plaintext; empty when the client closed."""
        while True:
            try:
                return self._tls.read(limit)
            except ssl.SSLWantReadError:
                self._pull()
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""

    def recv_into(self, buffer: memoryview) -> int:
        """As `recv`, to where the plaintext is wanted; returns its length."""
        while True:
            try:
                return cast("int", self._tls.read(len(buffer), buffer))
            except ssl.SSLWantReadError:
                self._pull()
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return 0

    def send(self, data: Data) -> int:
        """Encrypts and sends a piece; everything before it has then left for the kernel."""
        self.flush()
        piece = memoryview(data)[:PIECE]
        sent = self._tls.write(piece)
        try:
            self.flush()
        except BlockingIOError:
            # The ciphertext is kept; the next send or flush takes it along.
            return sent
        return sent

    def send_pieces(self, pieces: Sequence[Data]) -> int:
        """As `send`, for what the pieces are together."""
        return self.send(b"".join(pieces))

    def flush(self) -> None:
        """Sends ciphertext that is left over; `BlockingIOError` while some remains."""
        pending = self._pending
        if self._outgoing.pending:
            pending += self._outgoing.read()
        while pending:
            try:
                sent = self.bare.send(pending)
            except BlockingIOError:
                self._pending = pending
                raise
            pending = pending[sent:]
        self._pending = b""

    def shutdown(self, how: int) -> None:
        """Says close_notify, then shuts the socket."""
        self.farewell()
        self.bare.shutdown(how)

    def farewell(self) -> None:
        """Says close_notify, as far as the socket takes it."""
        # WantRead: the client's own close_notify has not come, and need not.
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        self._flush_alert()

    def reset(self) -> None:
        """Closing without close_notify is what truncation looks like in TLS."""

    def close(self) -> None:
        self.bare.close()

    def peer_certificate(self) -> Mapping[str, object] | None:
        """The verified client certificate, decoded; None when there is none."""
        return self._tls.getpeercert() or None

    def session_facts(self) -> tuple[str | None, tuple[str, str, int] | None]:
        """Protocol version and cipher (name, protocol, bits) of the session."""
        return self._tls.version(), self._tls.cipher()

    def _pull(self) -> None:
        data = self.bare.recv(PIECE)
        self._full = len(data) == PIECE
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def _flush_alert(self) -> None:
        try:
            self.flush()
        except OSError:
            # The session is over; an alert that does not fit is not waited for.
            self._pending = b""
