"""The life of one client connection: reading, running, writing, idling, leaving.

What an engine calls says what is wanted next. While a request runs, the connection asks the
engine to wait; otherwise it never waits. A deadline is a number to compare, not a timer.
"""

from __future__ import annotations

import io
import logging
from math import inf as _NEVER
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from wsgi_server._http11 import ProtocolError, Request, RequestReader
from wsgi_server._wsgi.exchange import Exchange
from wsgi_server._wsgi.input import BodyInput

from .body import RequestBody
from .closing import Closing, dismiss
from .opening import Opening
from .patience import LINGER_SECONDS
from .scheduler import Next, Running, Scheduler
from .state import SHOWN, State
from .stream import Stream

if TYPE_CHECKING:
    from wsgi_server._http11 import Declaration, Head

    from .endpoint import Endpoint
    from .transport import PlainTransport

LOG = logging.getLogger(__name__)

#: A body up to this size is awaited before the application is called.
SMALL_BODY: Final = 32768

_IDLE, _HEAD, _BODY, _READY = State.IDLE, State.HEAD, State.BODY, State.READY
_RUNNING, _FLUSHING, _DISCARDING = State.RUNNING, State.FLUSHING, State.DISCARDING
_LINGERING, _CLOSED = State.LINGERING, State.CLOSED
#: Where no request is there, and none may ever come.
_SILENT: Final = {State.PREFACE, State.HANDSHAKE, _IDLE, _DISCARDING}
_INPUT, _RUN, _NOTHING = Next.INPUT, Next.RUN, Next.NOTHING


class Connection:
    """One client. To an engine it is a `Client`, to an exchange its channel."""

    __slots__ = (
        "_body",
        "_closing",
        "_count",
        "_exchange",
        "_extra",
        "_interrupted",
        "_keep",
        "_opening",
        "_peer",
        "_reader",
        "_request",
        "_small_body",
        "answered",
        "deadline",
        "declarations",
        "endpoint",
        "fd",
        "state",
        "stream",
    )

    def __init__(
        self,
        sock: PlainTransport,
        peer: tuple[str, str],
        endpoint: Endpoint,
        engine: Scheduler,
        now: float,
    ) -> None:
        self.fd = sock.fileno()
        endpoint.note_accepted()
        self.endpoint, self.declarations = endpoint, endpoint.declarations
        self.deadline = now + endpoint.settings.header_timeout
        # Address and port of the client; both empty where it has none.
        self._peer = peer
        self.stream = Stream(sock, self.fd, endpoint, engine)
        self._reader = RequestReader(endpoint.request_heads)
        self._closing: Closing | None = None
        # The request that is ready with its body, if that came at once.
        self._request: Request | None = None
        self._small_body: bytes | None = None
        self._exchange: Exchange | None = None
        self._body: RequestBody | None = None
        # Requests so far, and whether another may follow.
        self._count, self._keep, self._interrupted = 0, False, False
        self._extra: dict[str, Any] | None = None
        self._opening: Opening | None = None
        if endpoint.tls is None and not endpoint.settings.proxy_protocol:
            self.state = _HEAD
        else:
            self._opening = Opening(self.stream, endpoint, peer)
            self.state = self._opening.begin()

    # What an engine calls; see `Client`.

    def step(self, now: float) -> Next:
        """Takes in what has arrived, or sends what is left."""
        state = self.state
        if state is not _IDLE and state is not _HEAD:
            return self._step_aside(now)
        self.stream.signalled = False
        data = self.stream.take()
        if not data:
            return self._found(data)
        try:
            request = self._request = self._reader.read_head(data)
        except ProtocolError as exc:
            return self.refuse(exc.status, exc.detail)
        if request is None or request.has_body:
            return self._begin(request, now)
        self.state, self.deadline = _READY, _NEVER
        return _RUN

    def run(self, now: float, waited: float = 0.0) -> Next:
        """Runs the request that is ready, and waited for so many seconds, to its end."""
        request = self._request
        assert request is not None  # noqa: S101  what READY means
        endpoint, self._request = self.endpoint, None
        self._count += 1
        self.state = _RUNNING
        environ = endpoint.environs.make(request, self._peer, self._extra)
        if request.has_body:
            environ["wsgi.input"] = self._input(request)
            if request.chunked:
                environ["wsgi_server.trailers"] = self._reader.trailers()
        known = (
            "" if endpoint.ids is None else endpoint.ids.give(environ, self._peer[0])
        )
        exchange = self._exchange = Exchange(self, request, environ, now, known)
        environ["wsgi.early_hints"] = exchange.early_hints
        environ["wsgi_server.client_gone"] = self.stream.client_gone
        if endpoint.settings.request_timeout is not None:
            self._interrupted = False
            self.stream.waited = 0.0
            exchange.compete()
        try:
            endpoint.run(exchange, endpoint.app)
        finally:
            self._exchange = None
            self.answered = done = monotonic()
            exchange.seconds = done - now
            if exchange.seconds >= endpoint.slow:
                endpoint.note_slow(exchange)
            if endpoint.log is not None or endpoint.recorder is not None:
                exchange.waited = waited
                endpoint.note_answered(exchange)
            exchange.environ = {}  # it holds a method of the exchange: a circle
        if self.state is not _RUNNING:
            return self._wanted()
        stream = self.stream
        if stream.outbox is None and not (stream.tls and stream.transport.unsent):
            return self._sent(done)
        self.state = _FLUSHING
        return self._flush(done)

    def expire(self, now: float) -> Next:
        """The deadline has passed: ends what the client let lie."""
        if self.state is _BODY or (self.state is _HEAD and self._reader.buffered):
            self.refuse(408, "The request did not arrive in time.")
        elif self.state is _DISCARDING or (self.idle and self.endpoint.draining):
            self._linger(now)
        else:
            self.close()
        if self.state is _LINGERING and self.endpoint.draining:
            self.deadline = now + self.endpoint.linger
        return self._wanted()

    def signal(self) -> None:
        """Something has arrived while a request runs or waits for its turn."""
        self.stream.signalled = True

    def end(self) -> None:
        """The client will send no more than what it has sent."""
        self.stream.ended = True

    def retire(self, now: float) -> None:
        """Its endpoint has retired, or stops: one that has no request may bring one yet."""
        endpoint, due = self.endpoint, _NEVER
        if self.state is _HEAD:
            due = endpoint.last_head
            if not self._reader.buffered:
                self.state = _IDLE
        if self.state in _SILENT:
            due = now + endpoint.patience
        elif self.state is _LINGERING:
            due = now + endpoint.patience + endpoint.linger
        self.deadline = min(self.deadline, due)

    def move_to(self, endpoint: Endpoint) -> None:
        """The next requests are for this one."""
        self.endpoint = self.stream.endpoint = endpoint
        self.declarations = endpoint.declarations

    def seen(self) -> tuple[str, Running | None]:
        """Where it is, in the words of metrics, and the request that runs."""
        state = "draining" if self.endpoint.draining else SHOWN[self.state]
        exchange = self._exchange
        return state, None if exchange is None else Running(*exchange.about(), exchange)

    def request_due(self, now: float) -> float:
        """When the running request has lasted for `request_timeout`, or infinity."""
        exchange = self._exchange
        limit = self.endpoint.settings.request_timeout
        if exchange is None or limit is None or self._interrupted:
            return _NEVER
        return self.stream.put_off(exchange.started + limit, now)

    def interrupt(self, where: str, fate: str, *, answer: bool) -> bool:
        """Notes that the running request has had its time; false where it was answered.

        With `answer` the client gets one from here, unless some of another was sent.
        """
        exchange, self._interrupted = self._exchange, True
        if exchange is None:
            return False
        text = "%s exceeded request_timeout; %s; it stands at\n%s"
        LOG.error(text, exchange, fate, where)
        if answer and exchange.claim():
            detail = "The request took too long."
            dismiss(self.stream, self.endpoint.short_answer(503, detail, exchange))
        return True

    def cut(self, now: float, where: str) -> None:
        """Closes; names the request that runs, and at `where` it stands."""
        exchange = self._exchange
        if exchange is not None:
            text = "%s cut after %.1f s; it stands at\n%s"
            LOG.error(text, exchange, now - exchange.started, where)
            self.abort()
        self.close()

    def close(self) -> None:
        """Closes at once. Harmless when it is closed already."""
        if self.state is not _CLOSED:
            self.endpoint.note_closed(self.state, self.deadline, self._count)
            self.state, self.deadline, self._body = _CLOSED, _NEVER, None
            self.stream.engine.forget(self.fd)
            self.stream.transport.close()

    @property
    def idle(self) -> bool:
        """Whether it is between two requests, and can be closed without a loss."""
        return self.state is _IDLE

    @property
    def killed_by(self) -> tuple[type[BaseException], ...]:
        """What ends whoever runs the request, from outside."""
        return self.stream.engine.killed_by

    def head(
        self, request: Request, declaration: Declaration, body_length: int | None
    ) -> Head:
        """Renders the head; decides whether the connection can be kept."""
        endpoint = self.endpoint
        body = self._body
        keep_alive = (
            request.keep_alive
            and self._count < endpoint.most_requests
            and (body is None or not body.open or body.will_end)
        )
        head = endpoint.heads.head(request, declaration, body_length, keep_alive)
        self._keep = head.keep_alive
        return head

    def refuse(self, status: int, detail: str) -> Next:
        """Answers for the application, or instead of it, and leaves."""
        if self.state is _CLOSED:
            return _NOTHING
        LOG.info("%s:%s answered %d: %s", *self._peer, status, detail)
        exchange = self._exchange
        if exchange is None:
            self.endpoint.note_rejected(status, in_body=self.state is _BODY)
        answer = self.endpoint.short_answer(status, detail, exchange)
        self._linger(monotonic(), answer)
        return self._wanted()

    def abort(self) -> None:
        """Resets the connection, so that no client takes the response for whole."""
        if self.state is not _CLOSED:
            self.stream.transport.reset()
            self.close()

    def abandon(self) -> None:
        """In a process that the application forked: this is another's connection."""
        self.stream.abandon()

    def _wanted(self) -> Next:
        state = self.state
        if state is _CLOSED:
            return _NOTHING
        if state is _FLUSHING:
            return Next.OUTPUT
        if state is _READY:
            return _RUN
        return Next.AGAIN if self.stream.signalled else _INPUT

    def _found(self, data: bytes | None) -> Next:
        """Nothing has arrived, or nothing will any more."""
        if data is not None:
            if self._reader.buffered:
                LOG.debug("%s:%s closed in the middle of a request", *self._peer)
            self.close()
        return self._wanted()

    def _open(self, opening: Opening, now: float) -> Next:
        """Goes on with what precedes the first request."""
        state = opening.goes_on(self.state)
        if state is _CLOSED:
            self.close()
        if state is self.state:
            return self._wanted()
        self.state = state
        if state is _HEAD:
            self._opening = None
            self._peer, self._extra = opening.peer, opening.environ
        return self.step(now)

    def _input(self, request: Request) -> io.BufferedIOBase:
        """`wsgi.input`: a short body that is all there, or one that is read as it comes."""
        small, self._small_body = self._small_body, None
        if small is not None:
            return io.BytesIO(small)
        has_begun = lambda: self._exchange is None or self._exchange.has_begun  # noqa: E731
        body = RequestBody(request, self._reader, self.stream, has_begun)
        self._body = body
        return BodyInput(body)

    def _begin(self, request: Request | None, now: float) -> Next:
        """Goes on with a head, or waits for the rest of it."""
        if request is None:
            if self.state is _IDLE and self._reader.buffered:
                self.state = _HEAD
                limit = self.endpoint.settings.header_timeout
                self.deadline = min(now + limit, self.endpoint.last_head)
            return self._wanted()
        if 0 < (request.content_length or 0) <= SMALL_BODY:
            self._small_body = self._reader.read_whole_body()
            if self._small_body is None and not request.expect_continue:
                # Not worth occupying an application while it arrives.
                self.state = _BODY
                self.deadline = now + self.endpoint.body_patience
                return self._wanted()
        self.state, self.deadline = _READY, _NEVER
        return _RUN

    def _flush(self, now: float) -> Next:
        """Sends what is left of a response."""
        try:
            deadline = self.stream.flush(now)
        except OSError as exc:
            LOG.debug("%s:%s while sending: %s", *self._peer, exc)
            self.close()
        else:
            if deadline is None:
                return self._sent(now)
            self.deadline = deadline
        return self._wanted()

    def _sent(self, now: float) -> Next:
        if not self._keep:
            self._leave(now)
            return self._wanted()
        if self._body is None:
            return self._rest(now)
        if self._body.open:
            self.state = _DISCARDING
            self.deadline = now + LINGER_SECONDS
        return self._discard(self._body, now)

    def _discard(self, body: RequestBody, now: float) -> Next:
        """Reads over what is left of the body, and finds perhaps the next request."""
        try:
            if body.read_over():
                self._body = None
                return self._rest(now)
        except ProtocolError:
            self._linger(now)
        except OSError:
            self.close()
        return self._wanted()

    def _rest(self, now: float) -> Next:
        """Waits for the next request, or finds that it is already there."""
        self.deadline = now + self.endpoint.patience
        self.state = _IDLE
        if not self._reader.buffer.unread:
            return Next.AGAIN if self.stream.signalled else _INPUT
        try:
            request = self._request = self._reader.read_head()
        except ProtocolError as exc:
            return self.refuse(exc.status, exc.detail)
        return self._begin(request, now)

    def _step_aside(self, now: float) -> Next:
        """`step` in the states that do not read a head."""
        state = self.state
        if state is _READY or state is _CLOSED:
            # Nothing is read: what has arrived behind this request stays signalled.
            return self._wanted()
        if state is _FLUSHING:
            # What has arrived is read when the response is out.
            self.stream.signalled = True
            return self._flush(now)
        self.stream.signalled = False
        if state is _BODY:
            return self._read_small_body()
        if state is _DISCARDING and self._body is not None:
            return self._discard(self._body, now)
        if self._opening is not None:
            return self._open(self._opening, now)
        if self._closing is not None and not self._closing.goes_on():
            self.close()
        return self._wanted()

    def _read_small_body(self) -> Next:
        data = self.stream.take()
        if not data:
            return self._found(data)
        self._reader.feed(data)
        self._small_body = self._reader.read_whole_body()
        if self._small_body is not None:
            self.state, self.deadline = _READY, _NEVER
        return self._wanted()

    def _leave(self, now: float) -> None:
        """Closes after a last response; lingers where unread input would reset it."""
        unread = self._body is not None and self._body.open
        if unread or self._reader.buffered or self.stream.signalled:
            self._linger(now)
        else:
            self.stream.transport.farewell()
            self.close()

    def _linger(self, now: float, answer: bytes = b"") -> None:
        """Half-closes, then listens until the client has read the answer and closes."""
        self._closing = Closing(self.stream)
        if self._closing.begin(answer):
            self.state = _LINGERING
            self.deadline = now + LINGER_SECONDS
        else:
            self.close()
