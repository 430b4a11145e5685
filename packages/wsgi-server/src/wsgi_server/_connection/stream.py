"""The bytes of one client, both ways: taken as they come, and awaited while a request runs.

Waiting is the engine's business; how long a client may keep a request waiting is a matter of
`Patience`.
"""

from __future__ import annotations

import os
from math import inf, nextafter
from time import monotonic
from typing import TYPE_CHECKING, Final, cast

from wsgi_server._system import unpatched
from wsgi_server._system.platform import RDHUP
from wsgi_server._wsgi.channel import ClientGone

from .nowhere import Nowhere
from .patience import Patience

if TYPE_CHECKING:
    from .endpoint import Endpoint
    from .scheduler import Scheduler
    from .transport import Transport

#: Bytes asked of the kernel at once.
PIECE: Final = 65536
#: Bytes after which a transfer that never has to wait lets others run.
BREATH: Final = 1 << 20
#: Bytes of a response's end that may be left for the loop to send.
OUTBOX: Final = 1 << 20


class Stream:
    """What is received from one client, and what is sent to it."""

    __slots__ = (
        "_fd",
        "_flush_due",
        "_flushing",
        "_unbroken",
        "_waiting_since",
        "ended",
        "endpoint",
        "engine",
        "outbox",
        "signalled",
        "tls",
        "transport",
        "waited",
    )

    def __init__(
        self, transport: Transport, fd: int, endpoint: Endpoint, engine: Scheduler
    ) -> None:
        self.transport = transport
        #: Whether the transport is more than a socket; the ordinary case asks it nothing.
        self.tls = False
        self._fd = fd
        self.engine = engine
        #: Where the connection came in.
        self.endpoint = endpoint
        #: More may have arrived than was taken.
        self.signalled = False
        #: The client will send no more than it has sent.
        self.ended = False
        #: The end of a response that the client has not taken yet.
        self.outbox: memoryview | None = None
        # While the loop sends that: the patience with the client, and when it ends.
        self._flushing: Patience | None = None
        self._flush_due = 0.0
        # Bytes that moved since the last wait.
        self._unbroken = 0
        #: Seconds that the running request has waited for its client, and since when it does.
        self.waited = 0.0
        self._waiting_since: float | None = None

    def abandon(self) -> None:
        """In a process that the application forked: see `Nowhere`."""
        self.transport.bare.close()
        self.transport = cast("Transport", Nowhere())

    def take(self) -> bytes | None:
        """What has arrived: None for nothing, empty where nothing will come any more."""
        try:
            data = self.transport.recv(PIECE)
        except BlockingIOError:
            return None
        except OSError:
            return b""
        if len(data) == PIECE or self.ended or (self.tls and self.transport.holds_more):
            # The kernel, or the TLS session, may hold more without a new edge.
            self.signalled = True
        return data

    def receive(self, size: int, patience: Patience) -> bytes:
        """Up to `size` bytes, waiting for them. Raises `ClientGone`, `TimeoutError`."""
        self._let_others_in()
        while True:
            try:
                data = self.transport.recv(size)
            except BlockingIOError:
                self._wait(patience, writable=False)
            except OSError as exc:
                raise _lost(exc) from exc
            else:
                self._arrived(len(data), size, patience)
                return data

    def receive_into(
        self, buffer: memoryview, behind: int, patience: Patience, *, wait: bool
    ) -> tuple[int, bytes]:
        """As `receive`, to where the bytes are wanted; returns how many came.

        Those are none where nothing is there and the caller does not want to wait. Also
        up to `behind` bytes that followed when the buffer was full; none with TLS.
        """
        self._let_others_in()
        tail = bytearray(behind if self.transport.direct else 0)
        while True:
            try:
                if tail:
                    count = self.transport.bare.recvmsg_into((buffer, tail))[0]
                else:
                    count = self.transport.recv_into(buffer)
            except BlockingIOError:
                if not wait:
                    return 0, b""
                self._wait(patience, writable=False)
            except OSError as exc:
                raise _lost(exc) from exc
            else:
                room = len(buffer)
                self._arrived(count, room + len(tail), patience)
                if count <= room:
                    return count, b""
                return room, bytes(tail[: count - room])

    def send(self, data: bytes, *, last: bool = False) -> None:
        """Sends all of `data`; the loop may finish the `last` of a response.

        Raises `ClientGone` where the client does not take it.
        """
        if not last:
            self._let_others_in()
        try:
            sent = self.transport.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as exc:
            raise ClientGone(f"while sending: {exc}") from exc
        self._unbroken += sent
        if sent < len(data):
            self._send_rest(memoryview(data)[sent:], OUTBOX if last else 0)

    def send_between(self, before: bytes, data: bytes, after: bytes) -> None:
        """Sends the three as one, copying `data` only where the client is slow."""
        self._let_others_in()
        pieces = (before, data, after)
        try:
            sent = self.transport.send_pieces(pieces)
        except BlockingIOError:
            sent = 0
        except OSError as exc:
            raise ClientGone(f"while sending: {exc}") from exc
        self._unbroken += sent
        if sent < len(before) + len(data) + len(after):
            self._send_rest(memoryview(b"".join(pieces))[sent:], 0)

    @property
    def can_send_file(self) -> bool:
        """The kernel can send files where nothing has to be encrypted."""
        return self.transport.direct

    def send_file(self, fd: int, offset: int, count: int) -> int:
        """Sends up to `count` bytes of a regular file; fewer when the file ends."""
        sent = 0
        patience = self._patience_to_send()
        while sent < count:
            self._let_others_in()
            try:
                done = os.sendfile(
                    self._fd, fd, offset + sent, min(count - sent, BREATH)
                )
            except BlockingIOError:
                self._wait_to_send(patience)
                continue
            except OSError as exc:
                raise ClientGone(f"while sending: {exc}") from exc
            if not done:
                break
            sent += done
            self._unbroken += done
            patience.progress(done)
        return sent

    def flush(self, now: float) -> float | None:
        """Sends what was left; until when the client may take the rest, None for done.

        Raises `OSError` where it does not want it any more.
        """
        patience = self._flushing
        if patience is None:
            patience = self._flushing = self._patience_to_send()
            self._flush_due = patience.deadline(now)
        left = len(self.outbox or b"")
        try:
            while self.outbox:
                self.outbox = self.outbox[self.transport.send(self.outbox) :]
            self.outbox = None
            self.transport.flush()
        except BlockingIOError:
            if patience.progress(left - len(self.outbox or b"")):
                self._flush_due = patience.deadline(now)
            return self._flush_due
        self._flushing = None
        return None

    def client_gone(self) -> bool:
        """Whether the client has closed its side; for an application that takes long."""
        # Not a look at the next byte: a next request, or TLS's farewell, may precede the end.
        fd = self.transport.bare.fileno()
        if fd < 0:
            return True
        poll = unpatched.poll()
        poll.register(fd, RDHUP)
        return bool(poll.poll(0))

    def put_off(self, due: float, now: float) -> float:
        """`due`, later by what the running request has waited for its client so far.

        While it does, that is not yet. Another thread may ask.
        """
        since = self._waiting_since
        due += self.waited
        return due if since is None else max(due + now - since, nextafter(now, inf))

    def _arrived(self, count: int, wanted: int, patience: Patience) -> None:
        if not count:
            raise ClientGone("the client closed in the middle of the request body")
        if count == wanted or self.transport.holds_more:
            # As in `take`: a next request, perhaps.
            self.signalled = True
        self._unbroken += count
        patience.progress(count)

    def _let_others_in(self) -> None:
        """After much has moved without a wait.

        Not between a receive and what takes note of it: a request may be ended here.
        """
        if self._unbroken >= BREATH:
            self._unbroken = 0
            self.engine.breathe()

    def _send_rest(self, rest: memoryview, leave: int) -> None:
        patience = self._patience_to_send()
        while len(rest) > leave:
            self._let_others_in()
            try:
                sent = self.transport.send(rest)
            except BlockingIOError:
                self._wait_to_send(patience)
                continue
            except OSError as exc:
                raise ClientGone(f"while sending: {exc}") from exc
            rest = rest[sent:]
            patience.progress(sent)
            self._unbroken += sent
        if rest:
            self.outbox = rest

    def _wait_to_send(self, patience: Patience) -> None:
        try:
            self._wait(patience, writable=True)
        except TimeoutError as exc:
            raise ClientGone("the client was too slow") from exc

    def _wait(self, patience: Patience, *, writable: bool) -> None:
        """Waits for the client. Raises `TimeoutError`."""
        self._unbroken = 0
        started = self._waiting_since = monotonic()
        try:
            self.engine.wait(self._fd, patience.deadline(started), writable=writable)
        finally:
            spent = monotonic() - started
            # In this order: whoever asks in between counts too much rather than too little.
            self.waited += spent
            self._waiting_since = None
            patience.waited(spent)

    def patience_to_receive(self) -> Patience:
        """For the body of a request."""
        settings = self.endpoint.settings
        return Patience(settings.body_timeout, settings.client_socket_timeout)

    def _patience_to_send(self) -> Patience:
        settings = self.endpoint.settings
        return Patience(settings.write_timeout, settings.client_socket_timeout)


def _lost(error: OSError) -> ClientGone:
    return ClientGone(f"while reading the request body: {error}")
