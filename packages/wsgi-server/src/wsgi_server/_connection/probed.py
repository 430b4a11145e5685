"""A client of a service that answers probes itself (`health_on_service`).

Which of the two classes a client gets is decided when it comes in, so that nobody pays for
probes who has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wsgi_server._scoreboard.standing import WORKER_PROBES
from wsgi_server._wsgi.channel import ClientGone

from .connection import Connection
from .scheduler import Next
from .state import State

if TYPE_CHECKING:
    from wsgi_server._config.settings import Settings
    from wsgi_server._http11 import Request

_METHODS: Final = ("GET", "HEAD")


def client_class(settings: Settings) -> type[Connection]:
    """What a client is to be of a service with these settings."""
    return ProbedConnection if settings.health_on_service else Connection


class ProbedConnection(Connection):
    """Answers probes in the loop: no place, no queue, no application, no line in a log."""

    __slots__ = ()

    def step(self, now: float) -> Next:
        """As of every connection; a probe is answered on the way."""
        wanted = super().step(now)
        if wanted is not Next.RUN:
            return wanted
        request = self._request
        assert request is not None  # noqa: S101  what READY means
        if (
            request.path not in WORKER_PROBES
            or request.method not in _METHODS
            or request.has_body
        ):
            return wanted
        wanted = self._answer_probe(request, now)
        # The next request is there already: it has to come by here as well.
        return Next.AGAIN if wanted is Next.RUN else wanted

    def _answer_probe(self, request: Request, now: float) -> Next:
        endpoint = self.endpoint
        verdict = WORKER_PROBES[request.path][endpoint.slot.standing]
        status, kind, body = verdict.rendered(
            request.headers.get("HTTP_ACCEPT", ""), endpoint.settings.drain_status
        )
        fields: tuple[tuple[str, str], ...] = (
            ("Content-Type", kind),
            ("Cache-Control", "no-store"),
        )
        if endpoint.ids is not None:
            fields += ((endpoint.ids.name, endpoint.ids.make()),)
        self._request = None
        self._count += 1
        self.state = State.RUNNING
        head = self.head(request, self.declarations[status, fields], len(body))
        try:
            self.stream.send(head.data + (body if head.has_body else b""), last=True)
        except ClientGone:
            self.abort()
            return self._wanted()
        self.state = State.FLUSHING
        return self._flush(now)
