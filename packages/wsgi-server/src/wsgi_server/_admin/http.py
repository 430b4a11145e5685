"""A small HTTP server inside somebody else's loop: few clients, short answers, deadlines.

The loop polls one descriptor, that of a private epoll set, and calls `turn` when it is
readable or `deadline` has come. What is asked is answered by one function, at once or later;
a client that is slow, silent or wrong is its own problem alone.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import json
import logging
import math
import select
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from time import monotonic, time
from typing import Any, Final

from wsgi_server._http11 import (
    Limits,
    ProtocolError,
    Request,
    RequestHeads,
    RequestReader,
    ResponseHeads,
    encode_chunk,
    error_response,
)
from wsgi_server._system import unpatched

LOG = logging.getLogger(__name__)


#: Clients at one time. The oldest idle one gives way; where none is, others are refused.
CONNECTIONS: Final = 16
#: Seconds for a request to arrive, and for an answer to be taken.
PATIENCE: Final = 10.0
#: Bytes of a request's body.
BODY: Final = 65536
#: Seconds without accepting after descriptors ran out.
PAUSE: Final = 1.0
#: Seconds that a client has to close after its last answer.
LINGER: Final = 1.0

_LIMITS: Final = Limits(request_line=2048, headers=64, header_bytes=16384, body=BODY)
_PEERCRED: Final = struct.Struct("3i")


@dataclass(frozen=True)
class Peer:
    """Who asks: an address, or the credentials of a process on a Unix socket."""

    address: str = ""
    pid: int = 0
    uid: int = -1

    def __str__(self) -> str:
        return self.address or f"process {self.pid} of user {self.uid}"


@dataclass(frozen=True)
class Call:
    """One request."""

    method: str
    path: str
    query: str
    #: By environ name, as `HTTP_ACCEPT`.
    headers: Mapping[str, str]
    body: bytes
    peer: Peer
    #: Whether it came over a Unix socket, where no page in a browser can ask.
    local: bool
    #: Whether it came over the control socket, where orders are taken.
    steers: bool

    def header(self, name: str) -> str:
        """A field by its environ name without HTTP_; empty where it is missing."""
        return self.headers.get(f"HTTP_{name}", "")


@dataclass(frozen=True)
class Answer:
    """One response; `follow` is given a function that sends more, until it is false.

    With `follow` the body has no end: it is server-sent events.
    """

    status: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    follow: Callable[[Callable[[bytes], bool]], object] | None = None


Reply = Callable[[Answer], None]


def as_json(status: str, content: Any, kind: str = "application/json") -> Answer:
    """An answer with JSON, one line at its end."""
    body = json.dumps(content, ensure_ascii=False, default=str).encode() + b"\n"
    return Answer(status, body, {"Content-Type": kind})


class AdminServer:
    """Serves whoever comes where it is told to `listen`.

    `answer` gets each call with its reply, and replies at once or later, once. It may raise
    `ProtocolError` to refuse.
    """

    def __init__(self, answer: Callable[[Call, Reply], object]) -> None:
        self.answer = answer
        self._epoll: Any = unpatched.epoll()
        self._control: socket.socket | None = None
        self._listeners: dict[int, socket.socket] = {}
        self._clients: dict[int, _Client] = {}
        self._accepting = False
        self._resume_at = math.inf

    def listen(
        self, listeners: Sequence[socket.socket], control: socket.socket | None = None
    ) -> None:
        """From now on clients come from these, non-blocking and listening, alone.

        `control` is the one of them over which orders may come.
        """
        self._suspend()
        self._listeners = {sock.fileno(): sock for sock in listeners}
        self._control = control
        self._resume()

    def fileno(self) -> int:
        """The descriptor to poll for reading."""
        return int(self._epoll.fileno())

    @property
    def deadline(self) -> float:
        """When `turn` is to be called at the latest, in monotonic seconds."""
        dues = [client.deadline for client in self._clients.values()]
        return min([*dues, self._resume_at])

    def fds(self) -> list[int]:
        """What a forked worker must not keep open, beside the listeners."""
        return [self.fileno(), *self._clients]

    def turn(self) -> None:
        """Does what can be done now; never waits and never raises."""
        now = monotonic()
        ready = [fd for fd, _ in self._epoll.poll(0)]
        # Those that are there first: who has left makes room for who comes.
        for fd in ready:
            if fd in self._clients:
                self._clients[fd].move(now)
        for fd in ready:
            if fd in self._listeners:
                self._accept(self._listeners[fd], now)
        for client in list(self._clients.values()):
            if client.deadline <= now:
                client.expire()
        if now >= self._resume_at:
            self._resume()

    def close(self) -> None:
        """Closes everything but the listeners."""
        for client in list(self._clients.values()):
            client.close()
        self._epoll.close()

    def watch(self, fd: int, *, writable: bool) -> None:
        """For a client: what it is polled for."""
        events = select.EPOLLIN | (select.EPOLLOUT if writable else 0)
        self._epoll.modify(fd, events)

    def forget(self, fd: int) -> bool:
        """For a client that closes; false when it has closed before."""
        return self._clients.pop(fd, None) is not None

    def _accept(self, listener: socket.socket, now: float) -> None:
        while True:
            try:
                sock, address = listener.accept()
            except BlockingIOError:
                return
            except OSError as exc:
                if exc.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
                    LOG.warning("admin: cannot accept: %s", exc.strerror)
                    self._pause(now)
                    return
                # The client took its connection back.
                LOG.debug("admin: accept: %s", exc)
                continue
            sock.setblocking(False)
            local = sock.family == socket.AF_UNIX
            peer = _credentials(sock) if local else Peer(str(address[0]))
            steers = listener is self._control
            client = _Client(self, sock, peer, local=local, steers=steers, now=now)
            if len(self._clients) >= CONNECTIONS and not self._make_room():
                client.turn_away()
                continue
            self._clients[sock.fileno()] = client
            self._epoll.register(sock.fileno(), select.EPOLLIN)

    def _make_room(self) -> bool:
        """Closes a client that asks for nothing; false where all of them do."""
        idle = [client for client in self._clients.values() if client.idle]
        if idle:
            min(idle, key=lambda client: client.deadline).close()
        return bool(idle)

    def _pause(self, now: float) -> None:
        self._suspend()
        self._resume_at = now + PAUSE

    def _suspend(self) -> None:
        if self._accepting:
            self._accepting = False
            for fd in self._listeners:
                self._epoll.unregister(fd)

    def _resume(self) -> None:
        self._resume_at = math.inf
        if not self._accepting:
            self._accepting = True
            for fd in self._listeners:
                self._epoll.register(fd, select.EPOLLIN)


class _Step(enum.Enum):
    """Where a client is."""

    #: It sends requests, or nothing.
    READING = enum.auto()
    #: It waits for an answer of ours.
    ASKED = enum.auto()
    #: It gets an answer without an end.
    FOLLOWING = enum.auto()
    #: It had its last answer and is to close.
    LEAVING = enum.auto()


class _Client:
    """One client: its requests one after the other, and the answer under way."""

    def __init__(
        self,
        server: AdminServer,
        sock: socket.socket,
        peer: Peer,
        *,
        local: bool,
        steers: bool,
        now: float,
    ) -> None:
        self._server = server
        self._sock = sock
        self._peer = peer
        self._local = local
        self._steers = steers
        self._reader = RequestReader(RequestHeads(_LIMITS))
        self._heads = ResponseHeads()
        self._request: Request | None = None
        self._step = _Step.READING
        self._outbox = b""
        self._keep = True
        #: Bytes that came while they were not read as requests.
        self._ignored = 0
        self.deadline = now + PATIENCE

    @property
    def idle(self) -> bool:
        """Whether it waits for nothing."""
        return self._step in (_Step.READING, _Step.LEAVING) and not self._outbox

    def move(self, now: float) -> None:
        """It can be read from or written to."""
        if self._outbox:
            self._send(now)
        if not self._outbox:
            self._receive(now)

    def expire(self) -> None:
        """It took too long; who waits for us has no deadline."""
        if self._step is _Step.READING and (
            self._request is not None or self._reader.buffered
        ):
            self._refuse(408, "The request did not arrive in time.")
        self.close()

    def close(self) -> None:
        """Closes it; an answer that comes later is not sent."""
        if self._server.forget(self._sock.fileno()):
            self._step = _Step.LEAVING
            self._sock.close()

    def turn_away(self) -> None:
        """There is no room for it."""
        self._refuse(503, f"{CONNECTIONS} others are asking.")
        self._sock.close()

    def _receive(self, now: float) -> None:
        try:
            data = self._sock.recv(BODY)
        except BlockingIOError:
            return
        except OSError:
            # ECONNRESET and its like: nobody is there.
            data = b""
        if not data:
            self.close()
        elif self._step is _Step.READING:
            self._reader.feed(data)
            self._read(now)
        else:
            if self._step is _Step.ASKED:
                self._reader.feed(data)
            self._ignored += len(data)
            if self._ignored > BODY:
                self.close()

    def _read(self, now: float) -> None:
        """Takes requests off what has arrived, as long as answers come at once."""
        try:
            while self._step is _Step.READING and not self._outbox:
                if self._request is None:
                    self._request = self._reader.read_head()
                    if self._request is None:
                        return
                    _check(self._request)
                body: bytes | None = b""
                if self._request.has_body:
                    body = self._reader.read_whole_body()
                if body is None:
                    return
                request, self._request = self._request, None
                self._ask(request, body, now)
        except ProtocolError as exc:
            self._refuse(exc.status, exc.detail)
            self.close()

    def _ask(self, request: Request, body: bytes, now: float) -> None:
        self._step = _Step.ASKED
        self._ignored = 0
        self.deadline = math.inf
        call = Call(
            request.method,
            request.path,
            request.query,
            request.headers,
            body,
            self._peer,
            self._local,
            self._steers,
        )
        try:
            self._server.answer(call, lambda answer: self._reply(request, answer))
        except ProtocolError:
            raise
        # The supervisor lives on, whatever a question brings to light.
        except Exception:
            LOG.exception("admin: %s %s failed", request.method, request.path)
            self._refuse(500, "The server could not answer; its log says why.")
            self.close()

    def _reply(self, request: Request, answer: Answer) -> None:
        if self._step is not _Step.ASKED:
            return
        now = monotonic()
        endless = answer.follow is not None
        self._heads.set_date(formatdate(time(), usegmt=True).encode())
        headers = {"Cache-Control": "no-store", **answer.headers}
        given = answer.status, tuple(headers.items())
        head = self._heads.head(
            request,
            self._heads.declarations[given],
            None if endless else len(answer.body),
            request.keep_alive and not endless,
        )
        self._keep = head.keep_alive
        self._outbox = head.data + (answer.body if head.has_body else b"")
        follow = answer.follow if head.has_body else None
        self._step = _Step.READING if follow is None else _Step.FOLLOWING
        self.deadline = now + PATIENCE if follow is None else math.inf
        self._send(now)
        if follow is not None and self._step is _Step.FOLLOWING:
            follow(self._more)

    def _more(self, data: bytes) -> bool:
        """Sends a piece of an answer without an end; false when nobody listens."""
        if self._step is not _Step.FOLLOWING:
            return False
        if len(self._outbox) > BODY:
            # It does not keep up.
            self.close()
            return False
        self._outbox += encode_chunk(data)
        self._send(monotonic())
        return self._step is _Step.FOLLOWING

    def _send(self, now: float) -> None:
        try:
            while self._outbox:
                self._outbox = self._outbox[self._sock.send(self._outbox) :]
        except BlockingIOError:
            self._server.watch(self._sock.fileno(), writable=True)
            return
        except OSError:
            # EPIPE and its like: nobody is there.
            self.close()
            return
        self._server.watch(self._sock.fileno(), writable=False)
        if self._step is not _Step.READING:
            return
        if not self._keep:
            # Closed by the client, so that what it still sends resets no answer.
            self._step = _Step.LEAVING
            self.deadline = now + LINGER
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_WR)
        elif self._reader.buffered:
            self._read(now)

    def _refuse(self, status: int, detail: str) -> None:
        date = formatdate(time(), usegmt=True).encode()
        # Whoever does not take a short refusal is closed without it.
        with contextlib.suppress(OSError):
            self._sock.send(error_response(status, detail, date))
            self._sock.shutdown(socket.SHUT_WR)


def _check(request: Request) -> None:
    if request.chunked:
        raise ProtocolError(411, "A body needs a Content-Length here.")
    if request.expect_continue:
        raise ProtocolError(417, "Send the body at once.")


def _credentials(sock: socket.socket) -> Peer:
    """The process at the other end (SO_PEERCRED, Linux); a nobody where that is unknown."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return Peer()
    raw = sock.getsockopt(socket.SOL_SOCKET, option, _PEERCRED.size)
    pid, uid, _ = _PEERCRED.unpack(raw)
    return Peer(pid=pid, uid=uid)
