"""The life of one client connection: reading, running, writing, idling, leaving.

An engine calls `step` when something may have arrived, `run` when a request is ready and
`expire` when `deadline` has passed. While a request runs, the connection asks the engine to
wait; otherwise it never waits. A deadline is a number to compare, not a timer.
"""

from __future__ import annotations

import io
import logging
import math
import socket
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, cast

from wsgi_server._http11 import (
    CONTINUE,
    ProtocolError,
    Request,
    RequestReader,
)
from wsgi_server._wsgi.channel import BodyError
from wsgi_server._wsgi.environ import tls_environ
from wsgi_server._wsgi.exchange import Exchange
from wsgi_server._wsgi.input import BodyInput

from .closing import LINGER_SECONDS, Teardown
from .proxy_protocol import LONGEST, ProxyHeaderError, parse_proxy_header
from .state import State
from .stream import PIECE, PROGRESS
from .transport import TlsTransport

if TYPE_CHECKING:
    from wsgi_server._http11 import Head

    from .endpoint import Endpoint

LOG = logging.getLogger(__name__)

#: A body up to this size is awaited before the application is called.
SMALL_BODY: Final = 32768
#: The length of one that is not announced: no body is short before it has ended.
LONG: Final = SMALL_BODY + 1
#: Unread body bytes that are taken in after the response to keep the connection.
DISCARD_LIMIT: Final = 65536

_NEVER: Final = math.inf
_IDLE, _HEAD, _HANDSHAKE, _READY = State.IDLE, State.HEAD, State.HANDSHAKE, State.READY
_RUNNING, _DISCARDING = State.RUNNING, State.DISCARDING
_LINGERING, _CLOSED = State.LINGERING, State.CLOSED
_PREFACE, _BODY, _FLUSHING = State.PREFACE, State.BODY, State.FLUSHING


class Connection(Teardown):
    """One client."""

    __slots__ = (
        "_body",
        "_body_open",
        "_count",
        "_extra",
        "_keep",
        "_reader",
        "_request",
        "_said_continue",
        "ended",
        "runner",
    )

    def __init__(
        self, sock: socket.SocketType, peer: tuple[str, str], site: Endpoint, now: float
    ) -> None:
        self.fd = sock.fileno()
        self.site = site
        self.peer = peer
        self.deadline = now + site.settings.header_timeout
        #: Set by an engine that saw the descriptor ready at an inconvenient time.
        self.signalled = False
        #: Set by an engine that was told the client will send no more.
        self.ended = False
        self.waiter = None
        self.watched = 0
        #: An engine's note of who runs the request.
        self.runner: Any = None
        self.outbox = None
        self.pace = None
        self.unbroken = 0
        self.exchange = None
        self._reader = RequestReader(site.request_heads)
        self._request: Request | None = None
        self._count = 0
        self._keep = False
        self._body: bytes | None = None
        self._body_open = False
        self._said_continue = False
        self._idle_bytes = 0
        self._extra: dict[str, Any] | None = None
        self.sock = sock
        if site.settings.proxy_protocol and peer[0] in site.settings.proxy_protocol:
            self.state = _PREFACE
        else:
            self._open()

    # -- called by the engine ---------------------------------------------------------

    def step(self, now: float) -> bool:
        """Takes in what has arrived; true when a request is ready to `run`."""
        state = self.state
        if state is not _IDLE and state is not _HEAD:
            return self._step_aside(now)
        self.signalled = False
        data = self._take()
        if not data:
            return False
        request = self._request = self._reader.recognize(data)
        if request is None:
            self._reader.feed(data)
            return self._parse(now)
        self.state = _READY
        self.deadline = _NEVER
        return True

    def run(self, now: float) -> float:
        """Runs the request that is ready; returns when that was done."""
        request = self._request
        assert request is not None  # noqa: S101  what READY means
        site = self.site
        self._request = None
        self._count += 1
        self.state = _RUNNING
        environ = site.environs.make(request, self.peer, self._extra)
        if request.has_body:
            environ["wsgi.input"] = self._input(request)
            if request.chunked:
                environ["wsgi_server.trailers"] = self._reader.trailers()
        exchange = self.exchange = Exchange(self, request, environ, now)
        environ["wsgi.early_hints"] = exchange.early_hints
        environ["wsgi_server.client_gone"] = self.client_gone
        if site.settings.request_timeout is not None:
            exchange.compete()
        try:
            exchange.run(site.app)
        finally:
            self.exchange = None
            done = monotonic()
            if site.log is not None:
                exchange.seconds = done - now
                site.log.record(exchange)
            # The environ holds a method of the exchange: a circle that would have to wait
            # for the garbage collector.
            exchange.environ = {}
        self._next(done)
        return done

    @property
    def flushing(self) -> bool:
        """Whether it waits for its client to take the end of a response."""
        return self.state is _FLUSHING

    def expire(self, now: float) -> None:
        """The deadline has passed: ends what the client let lie."""
        if self.state is _BODY or (self.state is _HEAD and self._reader.buffered):
            self.refuse(408, "The request did not arrive in time.")
        elif (self.state is _IDLE and self.site.draining) or self.state is _DISCARDING:
            self._linger(now)
        else:
            self.close()

    def retire(self, deadline: float) -> None:
        """The worker drains: an idle connection may bring one more request till then."""
        if self.state is _IDLE:
            self.deadline = min(self.deadline, deadline)

    # -- the channel of the running exchange --------------------------------------------

    def read_body(self, limit: int) -> bytes:
        """Up to `limit` bytes of the request body; empty at its end.

        Raises `BodyError` or `ClientGone`.
        """
        reader = self._reader
        while self._body_open:
            try:
                part = reader.read_body(limit)
            except ProtocolError as exc:
                raise BodyError(exc.status, exc.detail) from exc
            if part is not None:
                self._body_open = reader.in_body
                return part
            if not self._said_continue:
                self._said_continue = True
                exchange = self.exchange
                # A client that has its final answer may still send the body, or not.
                if exchange is not None and not exchange.has_begun:
                    self.send(CONTINUE)
            reader.feed(self._receive(reader.appetite()))
        return b""

    def read_body_into(self, buffer: memoryview) -> int:
        """As `read_body`, to where the bytes are wanted; returns how many, 0 at the end."""
        reader = self._reader
        have = 0
        count = reader.direct(len(buffer)) if self._said_continue else 0
        if not count:
            part = self.read_body(len(buffer))
            have = len(part)
            buffer[:have] = part
            count = reader.direct(len(buffer) - have)
        if not count:
            return have
        behind = 0 if self.site.tls else reader.behind(count)
        came, tail = self._receive_into(
            buffer[have : have + count], behind, wait=not have
        )
        reader.pass_body(came, tail)
        self._body_open = reader.in_body
        return have + came

    def head(self, exchange: Exchange, body_length: int | None) -> Head:
        """Renders the head; decides whether the connection can be kept."""
        request = exchange.request
        site = self.site
        keep = (
            request.keep_alive
            and self._count < site.most_requests
            and (not self._body_open or self._body_will_end(request))
        )
        head = site.heads.head(
            exchange.status or "",
            exchange.headers or (),
            http11=request.http11,
            head_request=request.method == "HEAD",
            keep_alive=keep,
            body_length=body_length,
        )
        self._keep = head.keep_alive
        return head

    # -- inside ---------------------------------------------------------------------------

    def _open(self) -> None:
        tls = self.site.tls
        if tls is None:
            self.state = _HEAD
        else:
            self.sock = TlsTransport(cast("socket.SocketType", self.sock), tls)
            self.state = _HANDSHAKE

    def _input(self, request: Request) -> io.BufferedIOBase:
        """`wsgi.input`: a short body that is all there, or one that is read as it comes."""
        body = self._body
        if body is not None:
            self._body = None
            return io.BytesIO(body)
        self._body_open = True
        self._said_continue = not request.expect_continue
        self.pace = None
        return BodyInput(self)

    def _parse(self, now: float) -> bool:
        reader = self._reader
        try:
            request = self._request = reader.read_head()
        except ProtocolError as exc:
            self.refuse(exc.status, exc.detail)
            return False
        if request is None:
            if self.state is _IDLE and reader.buffered:
                self.state = _HEAD
                self.deadline = now + self.site.settings.header_timeout
            return False
        if request.has_body and (request.content_length or LONG) <= SMALL_BODY:
            self._body = reader.read_whole_body()
            if self._body is None and not request.expect_continue:
                # Not worth occupying an application while it arrives.
                self.state = _BODY
                self.deadline = now + self.site.body_patience
                return False
        self.state = _READY
        self.deadline = _NEVER
        return True

    def _next(self, now: float) -> bool:
        """After a response: sends its end, keeps the connection, or leaves."""
        if self.state is not _RUNNING:
            return False
        site = self.site
        if self.outbox is not None or site.tls is not None:
            self.state = _FLUSHING
            self._idle_bytes = 0
            self.deadline = now + site.write_patience
            return self._flush(now)
        return self._sent(now)

    def _flush(self, now: float) -> bool:
        """Sends what is left of a response; true when the next request is there."""
        left = len(self.outbox or b"")
        try:
            done = self._empty_outbox()
        except OSError as exc:
            LOG.debug("%s:%s while sending: %s", *self.peer, exc)
            self.close()
            return False
        if done:
            return self._sent(now)
        self._idle_bytes += left - len(self.outbox or b"")
        if self._idle_bytes >= PROGRESS:
            self._idle_bytes = 0
            self.deadline = now + self.site.write_patience
        return False

    def _sent(self, now: float) -> bool:
        if not self._keep:
            self._leave(now)
            return False
        if self._body_open:
            self.state = _DISCARDING
            self.deadline = now + LINGER_SECONDS
            self._idle_bytes = 0
            return self._discard(now)
        return self._rest(now)

    def _rest(self, now: float) -> bool:
        """Waits for the next request; true when it is already there."""
        self.deadline = now + self.site.patience
        self.state = _IDLE
        return self._reader.has_unread and self._parse(now)

    def _step_aside(self, now: float) -> bool:
        """`step` in the states that do not read a head."""
        state = self.state
        if state is _READY:
            # Nothing is read: what has arrived behind this request stays signalled.
            return True
        # While a response is under way, what has arrived is read when it is out.
        self.signalled = state is _RUNNING or state is _FLUSHING
        if state is _HANDSHAKE:
            return self._shake_hands(now)
        if state is _PREFACE:
            return self._read_preface(now)
        if state is _BODY:
            return self._read_small_body()
        if state is _FLUSHING:
            return self._flush(now)
        if state is _DISCARDING:
            return self._read_over() and self._discard(now)
        if state is _LINGERING:
            self._count_lingering(len(self._take()))
        return False

    def _take(self) -> bytes:
        """What has arrived; empty for nothing, and then it may just have been closed."""
        try:
            data = self.sock.recv(PIECE)
        except BlockingIOError:
            return b""
        except OSError:
            self.close()
            return b""
        if not data:
            if self.state is not _LINGERING and self._reader.buffered:
                LOG.debug("%s:%s closed in the middle of a request", *self.peer)
            self.close()
        elif (
            len(data) == PIECE
            or self.ended
            or (
                self.site.tls is not None
                and self.state is not _LINGERING
                and cast("TlsTransport", self.sock).holds_more
            )
        ):
            # The kernel, or the TLS session, may hold more without a new edge.
            self.signalled = True
        return data

    def _read_small_body(self) -> bool:
        data = self._take()
        if not data:
            return False
        self._reader.feed(data)
        self._body = self._reader.read_whole_body()
        if self._body is None:
            return False
        self.state = _READY
        self.deadline = _NEVER
        return True

    def _shake_hands(self, now: float) -> bool:
        transport = cast("TlsTransport", self.sock)
        try:
            transport.handshake()
        except BlockingIOError:
            return False
        except OSError as exc:
            LOG.info("%s:%s failed the TLS handshake: %s", *self.peer, exc)
            self.close()
            return False
        self._extra = tls_environ(transport)
        self.state = _HEAD
        return self.step(now)

    def _read_preface(self, now: float) -> bool:
        """Looks at what arrived and takes just the PROXY header, for TLS may follow."""
        sock = cast("socket.SocketType", self.sock)
        try:
            data = sock.recv(LONGEST, socket.MSG_PEEK)
            found = parse_proxy_header(data) if data else (0, None)
            if found is None:
                return False
            sock.recv(found[0])
        except BlockingIOError:
            return False
        except (OSError, ProxyHeaderError) as exc:
            LOG.info("%s:%s refused: %s", *self.peer, exc)
            self.close()
            return False
        if not data:
            self.close()
            return False
        if found[1] is not None:
            self.peer = found[1]
        self._open()
        return self.step(now)

    def _read_over(self) -> bool:
        """Takes in more of a body that nobody will read; false when nothing is there."""
        data = self._take()
        if data:
            self._idle_bytes += len(data)
            self._reader.feed(data)
        return bool(data)

    def _discard(self, now: float) -> bool:
        """Reads over the rest of a body; true when the next request is there."""
        while True:
            try:
                part = self._reader.read_body(PIECE)
            except ProtocolError:
                self._linger(now)
                return False
            if part is None:
                if self._idle_bytes > DISCARD_LIMIT:
                    self._linger(now)
                elif self._read_over():
                    continue
                return False
            if not self._reader.in_body:
                break
        self._body_open = False
        return self._rest(now)

    def _leave(self, now: float) -> None:
        """Closes after a last response; lingers where unread input would reset it."""
        if self._body_open or self._reader.buffered or self.signalled:
            self._linger(now)
            return
        if isinstance(self.sock, TlsTransport):
            self._shut()
        self.close()

    def _body_will_end(self, request: Request) -> bool:
        """Whether the rest of the request body is worth waiting for."""
        if not self._said_continue:
            return False
        return request.chunked or (request.content_length or 0) <= DISCARD_LIMIT
