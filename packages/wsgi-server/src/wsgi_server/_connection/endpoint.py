"""What the connections of one listener share: application, environs, limits, logs."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import TYPE_CHECKING

from wsgi_server._http11 import Limits, RequestHeads, ResponseHeads, error_response
from wsgi_server._wsgi.environ import SOFTWARE, EnvironFactory
from wsgi_server._wsgi.exchange import Exchange
from wsgi_server._wsgi.forwarded import TrustedPeers
from wsgi_server._wsgi.request_id import RequestIds

from .patience import LINGER_SECONDS
from .state import State

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from wsgi_server._config.settings import Settings
    from wsgi_server._logs.access import RequestLog
    from wsgi_server._net.listeners import Listener
    from wsgi_server._scoreboard.slots import Slot

    from .recorder import Recorder


class Endpoint:
    """One application on one listener under one configuration."""

    def __init__(
        self,
        listener: Listener,
        app: WSGIApplication,
        settings: Settings,
        log: RequestLog | None,
        slot: Slot,
    ) -> None:
        self.listener = listener
        self.app = app
        self.settings = settings
        self.log = log
        #: Its worker's, which says where the server is.
        self.slot = slot
        #: Counts what happens here, where somebody may want to know.
        self.recorder: Recorder | None = None
        #: Seconds after which a request is slow, and who is told when such a one has ended.
        self.slow = settings.slow_request_time or math.inf
        self.note_slow: Callable[[Exchange], object] = lambda _: None
        self.tls = listener.tls
        self.draining = False
        #: Requests that a connection may bring, and seconds that it may wait for the next.
        self.most_requests = sys.maxsize
        if not settings.http_keepalive:
            self.most_requests = 1
        elif settings.max_keepalive_requests is not None:
            self.most_requests = settings.max_keepalive_requests
        self.patience = settings.keepalive_timeout
        #: Seconds for a short body to arrive.
        self.body_patience = _least(
            settings.body_timeout, settings.client_socket_timeout
        )
        #: When a head has to be there at the latest, in monotonic seconds.
        self.last_head = math.inf
        #: Seconds for which a drained connection, half-closed, is still listened to.
        self.linger = min(LINGER_SECONDS, settings.drain_idle_timeout / 2)
        limits = Limits(
            request_line=settings.max_request_line,
            header_line=settings.max_header_line,
            headers=settings.max_headers,
            header_bytes=settings.max_header_bytes,
            body=settings.max_request_body,
            underscores=settings.underscore_headers,
        )
        self.request_heads = RequestHeads(limits)
        self.environs = EnvironFactory(
            *(listener.sock, settings),
            tls=self.tls is not None,
            worker_id=slot.worker_id,
        )
        if log is not None and log.put is not None:
            self.environs.add("wsgi_server.log", log.put)
        #: Gives requests their ids; None where they have none.
        self.ids: RequestIds | None = None
        if settings.request_id_header is not None:
            trusted = TrustedPeers(settings.forwarded_allow)
            self.ids = RequestIds(
                settings.request_id_header,
                trusted if settings.forwarded_allow else None,
                openstack=settings.request_id_openstack,
            )
        #: Has an exchange run the application.
        self.run: Callable[[Exchange, WSGIApplication], None] = Exchange.run
        if settings.spans:
            from wsgi_server._wsgi.spans import Spans

            self.run = Spans().run
        self._heads = ResponseHeads(SOFTWARE, id_name=settings.request_id_header)
        self.declarations = self._heads.declarations
        self._second = 0.0
        self._next_second = 0.0

    @property
    def place(self) -> tuple[object, bool]:
        """What a connection must find again in an endpoint to go on there."""
        return self.listener.address, self.tls is None

    @property
    def heads(self) -> ResponseHeads:
        """The renderer of response heads, with the `Date` of this second."""
        now = time.time()
        if not self._second <= now < self._next_second:
            self._second = now // 1
            self._next_second = self._second + 1
            date = formatdate(self._second, usegmt=True)
            self._heads.set_date(date.encode("ascii"))
        return self._heads

    def note_accepted(self) -> None:
        """A connection was accepted."""
        if self.recorder is not None:
            self.recorder.accepted()

    def note_answered(self, exchange: Exchange) -> None:
        """A request has ended."""
        if self.recorder is not None:
            self.recorder.answered(exchange)
        if self.log is not None:
            self.log.record(exchange)

    def note_closed(self, state: State, deadline: float, count: int) -> None:
        """A connection that was at `state` is closed, after `count` requests."""
        if self.recorder is None:
            return
        if state is State.HANDSHAKE:
            reason = "tls"
        elif self.draining:
            reason = "drain"
        elif state is State.LINGERING or not count:
            reason = "error" if state is not State.HEAD else "client"
        elif state is State.IDLE:
            reason = "idle" if deadline <= time.monotonic() else "client"
        else:
            reason = "max" if count >= self.most_requests else "client"
        self.recorder.closed(reason)

    def note_rejected(self, status: int, *, in_body: bool) -> None:
        """A request was answered without the application."""
        if self.recorder is not None:
            self.recorder.rejected(status, in_body=in_body)

    def retire(self) -> None:
        """The worker drains: from now on every response says that it was the last."""
        self.draining = True
        self.most_requests = 1
        self.patience = self.settings.drain_idle_timeout

    def stop(self, now: float) -> None:
        """As `retire`, where nothing newer serves: who has no request loses nothing.

        All that such a connection takes is `drain_idle_timeout`: to bring a request after
        all, and then to close.
        """
        self.retire()
        self.patience -= self.linger
        self.last_head = now + self.patience

    def short_answer(
        self, status: int, detail: str, exchange: Exchange | None
    ) -> bytes:
        """Of the server's own; `exchange` is what it answers, where that came so far."""
        date = formatdate(time.time(), usegmt=True).encode("ascii")
        if exchange is None:
            return error_response(status, detail, date)
        more = "" if self.ids is None else self.ids.line(exchange.request_id)
        is_head = exchange.request.method == "HEAD"
        return error_response(status, detail, date, is_head, more=more)


def _least(*limits: float | None) -> float:
    """The shortest of some limits, of which None is none."""
    return min(math.inf if limit is None else limit for limit in limits)
