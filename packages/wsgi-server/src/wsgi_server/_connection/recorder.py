"""What requests and connections add to the counts of their worker.

Whoever runs a request notes what became of it; the loop, which alone writes the counts, takes
the notes once per turn. So a request pays for a tuple, and threads share nothing but a queue.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from wsgi_server._scoreboard.counts import METHODS, OTHER

if TYPE_CHECKING:
    from wsgi_server._logs.answered import Answered
    from wsgi_server._scoreboard.counts import Counts

#: Routes that are told apart.
ROUTES: Final = 200

_REASONS: Final = {
    413: "body_too_large",
    414: "target_too_long",
    431: "headers_too_large",
    503: "overload",
}


class Recorder:
    """Takes notes of a worker's requests and connections, for its `counts`."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        #: Whether requests are told apart by their routes as well.
        self.by_route = False
        self._notes: deque[tuple[Any, ...]] = deque()
        self._routes: set[str] = set()

    def answered(self, exchange: Answered) -> None:
        """A request has ended."""
        environ = exchange.environ
        request = exchange.request
        self._notes.append(
            (
                request.method,
                (exchange.status or "")[:3],
                environ.get("wsgi.url_scheme", ""),
                environ.get("wsgi_server.route", "") if self.by_route else "",
                exchange.error,
                exchange.seconds,
                exchange.sent,
                request.content_length or 0,
                exchange.waited,
            )
        )

    def slow(self) -> None:
        """A request has lasted for `slow_request_time`."""
        self._notes.append(("slow_requests",))

    def dropped(self, lines: int) -> None:
        """So many lines of the access log were lost; for the loop to say."""
        self._counts.add("access_log_lines_dropped", lines)

    def accepted(self) -> None:
        """A connection was accepted."""
        self._notes.append(("connections_accepted",))

    def closed(self, reason: str) -> None:
        """A connection was closed."""
        self._notes.append((f"closed_{reason}",))

    def rejected(self, status: int, *, in_body: bool) -> None:
        """A request was answered without an application."""
        late = "body_timeout" if in_body else "header_timeout"
        reason = late if status == 408 else _REASONS.get(status, "syntax")
        self._notes.append((f"rejected_{reason}",))

    def flush(self) -> bool:
        """Adds what was noted, if anything was; called by the loop, once per turn."""
        counts, notes = self._counts, self._notes
        # Those that other threads add meanwhile belong to the next turn.
        new = len(notes)
        for _ in range(new):
            note = notes.popleft()
            if len(note) == 1:
                counts.add(note[0])
            else:
                self._count(*note)
        return bool(new)

    def _count(
        self,
        method: str,
        status: str,
        scheme: str,
        route: object,
        error: str,
        seconds: float,
        sent: int,
        body: int,
        waited: float,
    ) -> None:
        counts = self._counts
        key = (
            method if method in METHODS else OTHER,
            status,
            scheme,
            self._known(route),
            error,
        )
        counts.took(key, seconds)
        counts.waited(waited)
        counts.add("requests")
        counts.add("threads_busy_seconds", seconds)
        if sent:
            counts.add("response_body_bytes", sent)
        if body:
            counts.add("request_body_bytes", body)
        if error == "timeout":
            counts.add("request_timeouts")
        elif error == "client_gone":
            counts.add("client_disconnects")
        elif error:
            counts.add("application_errors")

    def _known(self, route: object) -> str:
        if not isinstance(route, str) or not route:
            return ""
        if route not in self._routes:
            if len(self._routes) >= ROUTES:
                return OTHER
            self._routes.add(route)
        return route
