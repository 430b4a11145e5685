"""TLS over a non-blocking socket, with a socket's own method names.

The record layer works on memory, so an engine sees the same thing as without TLS: when
`recv` says it would block, the kernel has nothing left to read, whatever the record
boundaries were.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Mapping
from typing import cast

#: Ciphertext is read and plaintext written in pieces of this size.
PIECE = 65536


class TlsTransport:
    """One server-side TLS session. `recv` and `send` raise `BlockingIOError` as a
    non-blocking socket does; a broken session raises `ssl.SSLError`, an `OSError`."""

    __slots__ = ("_full", "_incoming", "_outgoing", "_pending", "_tls", "raw")

    def __init__(self, sock: socket.SocketType, context: ssl.SSLContext) -> None:
        self.raw = sock
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._pending = b""
        self._full = False

    @property
    def holds_more(self) -> bool:
        """Whether `recv` may find something although the kernel reports nothing new."""
        return self._full or bool(self._incoming.pending or self._tls.pending())

    def fileno(self) -> int:
        return self.raw.fileno()

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

    def send(self, data: bytes | memoryview) -> int:
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

    def flush(self) -> None:
        """Sends ciphertext that is left over; `BlockingIOError` while some remains."""
        pending = self._pending
        if self._outgoing.pending:
            pending += self._outgoing.read()
        while pending:
            try:
                sent = self.raw.send(pending)
            except BlockingIOError:
                self._pending = pending
                raise
            pending = pending[sent:]
        self._pending = b""

    def shutdown(self, how: int) -> None:
        """Says close_notify, as far as the socket takes it, then shuts the socket."""
        # WantRead: the client's own close_notify has not come, and need not.
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        self._flush_alert()
        self.raw.shutdown(how)

    def close(self) -> None:
        self.raw.close()

    def peer_certificate(self) -> Mapping[str, object] | None:
        """The verified client certificate, decoded; None when there is none."""
        return self._tls.getpeercert() or None

    def session_facts(self) -> tuple[str | None, tuple[str, str, int] | None]:
        """Protocol version and cipher (name, protocol, bits) of the session."""
        return self._tls.version(), self._tls.cipher()

    def _pull(self) -> None:
        data = self.raw.recv(PIECE)
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
