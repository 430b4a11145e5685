"""What a running request does with its client: send and receive, waiting where it must.

Waiting is the engine's business, patience is ours: a client gets a grant of seconds for every
portion of bytes that moves, so that neither a stalled nor a dripping one holds a request for
ever.
"""

from __future__ import annotations

import math
import os
import select
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from wsgi_server._system import unpatched
from wsgi_server._wsgi.channel import BodyError, ClientGone

from .transport import TlsTransport

if TYPE_CHECKING:
    import socket

    from .endpoint import Endpoint

_ENDED: Final = select.POLLRDHUP

#: Bytes asked of the kernel at once.
PIECE: Final = 65536
#: Bytes of progress that body_timeout and write_timeout are granted for.
PROGRESS: Final = 65536
#: Bytes after which a transfer that never has to wait lets others run.
BREATH: Final = 1 << 20
#: Bytes of a response's end that may be left for the loop to send.
OUTBOX: Final = 1 << 20


class Patience:
    """How long a client may still keep a request waiting.

    `limit` seconds of waiting are granted for every `PROGRESS` bytes that move, and no
    single wait may exceed `single`. Only waiting counts, not the application's own time.
    """

    __slots__ = ("_left", "_limit", "_moved", "_single")

    def __init__(self, limit: float | None, single: float | None) -> None:
        self._limit = self._left = math.inf if limit is None else limit
        self._single = math.inf if single is None else single
        self._moved = 0

    def deadline(self, now: float) -> float:
        """When waiting from `now` on has lasted too long."""
        return now + min(self._left, self._single)

    def waited(self, seconds: float) -> None:
        """Takes off what was spent waiting."""
        self._left -= seconds

    def progress(self, count: int) -> None:
        """`count` bytes moved; a full portion renews the grant."""
        self._moved += count
        if self._moved >= PROGRESS:
            self._moved = 0
            self._left = self._limit


class Stream:
    """The two directions of one connection while a request runs on it."""

    __slots__ = (
        "deadline",
        "fd",
        "outbox",
        "pace",
        "signalled",
        "site",
        "sock",
        "unbroken",
        "waiter",
        "watched",
    )

    fd: int
    site: Endpoint
    sock: socket.SocketType | TlsTransport
    #: The end of a response that the client has not taken yet.
    outbox: memoryview | None
    #: The patience with the body that is being read, once it had to be waited for.
    pace: Patience | None
    #: Bytes that moved since the last wait.
    unbroken: int
    #: An engine's notes: who waits for the client, and what the descriptor is watched for.
    waiter: Any
    watched: int
    #: More may have arrived than was taken.
    signalled: bool
    #: When waiting for the client ends, in monotonic seconds; infinity for never.
    deadline: float

    def send(self, data: bytes, *, last: bool = False) -> None:
        """Sends all of `data`; the loop may finish the `last` of a response.

        Raises `ClientGone` where the client does not take it.
        """
        if not last:
            self._let_others_in()
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as exc:
            raise ClientGone(f"while sending: {exc}") from exc
        self.unbroken += sent
        if sent < len(data):
            self._send_rest(memoryview(data)[sent:], OUTBOX if last else 0)

    def send_between(self, before: bytes, data: bytes, after: bytes) -> None:
        """Sends the three as one, copying `data` only where the client is slow."""
        sock = self.sock
        if isinstance(sock, TlsTransport):
            self.send(b"".join((before, data, after)))
            return
        self._let_others_in()
        try:
            sent = sock.sendmsg((before, data, after))
        except BlockingIOError:
            sent = 0
        except OSError as exc:
            raise ClientGone(f"while sending: {exc}") from exc
        self.unbroken += sent
        if sent < len(before) + len(data) + len(after):
            self._send_rest(memoryview(b"".join((before, data, after)))[sent:], 0)

    @property
    def killed_by(self) -> tuple[type[BaseException], ...]:
        """What ends whoever runs the request, from outside."""
        return self.site.engine.killed_by

    @property
    def can_send_file(self) -> bool:
        """The kernel can send files where nothing has to be encrypted."""
        return self.site.tls is None

    def send_file(self, fd: int, offset: int, count: int) -> int:
        """Sends up to `count` bytes of a regular file; fewer when the file ends."""
        sent = 0
        patience = self._patience(self.site.settings.write_timeout)
        while sent < count:
            self._let_others_in()
            try:
                done = os.sendfile(
                    self.sock.fileno(), fd, offset + sent, min(count - sent, BREATH)
                )
            except BlockingIOError:
                self._wait(patience, writable=True)
                continue
            except OSError as exc:
                raise ClientGone(f"while sending: {exc}") from exc
            if not done:
                break
            sent += done
            self.unbroken += done
            patience.progress(done)
        return sent

    def _receive(self, size: int) -> bytes:
        """Up to `size` bytes of a body, waiting for them.

        Raises `BodyError` where they do not come in time, and `ClientGone`.
        """
        self._let_others_in()
        while True:
            try:
                data = self.sock.recv(size)
            except BlockingIOError:
                self._wait_for_body()
            except OSError as exc:
                raise _lost(exc) from exc
            else:
                self._arrived(len(data), size)
                return data

    def _receive_into(
        self, buffer: memoryview, behind: int, *, wait: bool
    ) -> tuple[int, bytes]:
        """As `_receive`, to where the bytes are wanted; returns how many came.

        Those are none where nothing is there and the caller does not want to wait. Also
        up to `behind` bytes that followed when the buffer was full; none with TLS.
        """
        self._let_others_in()
        sock: Any = self.sock
        tail = bytearray(behind)
        while True:
            try:
                if behind:
                    count = sock.recvmsg_into((buffer, tail))[0]
                else:
                    count = sock.recv_into(buffer)
            except BlockingIOError:
                if not wait:
                    return 0, b""
                self._wait_for_body()
            except OSError as exc:
                raise _lost(exc) from exc
            else:
                room = len(buffer)
                self._arrived(count, room + behind)
                if count <= room:
                    return count, b""
                return room, bytes(tail[: count - room])

    def _arrived(self, count: int, wanted: int) -> None:
        if not count:
            raise ClientGone("the client closed in the middle of the request body")
        if count == wanted:
            # The kernel may hold more, a next request perhaps, without a new edge.
            self.signalled = True
        self.unbroken += count
        if self.pace is not None:
            self.pace.progress(count)

    def _let_others_in(self) -> None:
        """After much has moved without a wait.

        Not between a receive and what takes note of it: a request may be ended here.
        """
        if self.unbroken >= BREATH:
            self.unbroken = 0
            self.site.engine.breathe()

    def _wait_for_body(self) -> None:
        pace = self.pace
        if pace is None:
            # One for the whole body: who drips must not begin anew with each drop.
            pace = self.pace = self._patience(self.site.settings.body_timeout)
        try:
            self._wait(pace, writable=False)
        except ClientGone as exc:
            raise BodyError(408, "The request body came too slowly.") from exc

    def client_gone(self) -> bool:
        """Whether the client has closed its side; for an application that takes long."""
        # Not a look at the next byte: a next request, or TLS's farewell, may precede the end.
        fd = self.sock.fileno()
        if fd < 0:
            return True
        poll = unpatched.poll()
        poll.register(fd, _ENDED)
        return bool(poll.poll(0))

    def _send_rest(self, rest: memoryview, leave: int) -> None:
        patience = self._patience(self.site.settings.write_timeout)
        while len(rest) > leave:
            self._let_others_in()
            try:
                sent = self.sock.send(rest)
            except BlockingIOError:
                self._wait(patience, writable=True)
                continue
            except OSError as exc:
                raise ClientGone(f"while sending: {exc}") from exc
            rest = rest[sent:]
            patience.progress(sent)
            self.unbroken += sent
        if rest:
            self.outbox = rest

    def _empty_outbox(self) -> bool:
        """Sends what was left; false while the client still has to take some.

        Raises `OSError` where it does not want it any more.
        """
        try:
            while self.outbox:
                self.outbox = self.outbox[self.sock.send(self.outbox) :]
            self.outbox = None
            if isinstance(self.sock, TlsTransport):
                self.sock.flush()
        except BlockingIOError:
            return False
        return True

    def _wait(self, patience: Patience, *, writable: bool) -> None:
        self.unbroken = 0
        started = monotonic()
        try:
            self.site.engine.wait(self, patience.deadline(started), writable=writable)
        except TimeoutError as exc:
            raise ClientGone("the client was too slow") from exc
        patience.waited(monotonic() - started)

    def _patience(self, limit: float | None) -> Patience:
        return Patience(limit, self.site.settings.client_socket_timeout)


def _lost(error: OSError) -> ClientGone:
    return ClientGone(f"while reading the request body: {error}")
