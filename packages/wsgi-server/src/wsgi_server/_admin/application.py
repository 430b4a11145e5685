"""The paths of the admin side, over what a `Server` shows and does."""

from __future__ import annotations

import ipaddress
import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qs

from . import documents, page
from .events import Event, Events
from .exporter import INSTALL, Exporter, MetricsMissing
from .health import PROBES
from .http import Answer, Call, Reply, as_json
from .state import Outcome, Server, State, Tell

LOG = logging.getLogger(__name__)

PROBLEM: Final = "application/problem+json"
_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class Refusal(Exception):
    """The answer to a call that cannot be done."""

    def __init__(self, status: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Application:
    """Answers calls. `hosts` are names that a Host field may have beside addresses.

    `drain_status` is what the readiness probe says while the server drains.
    """

    def __init__(
        self,
        server: Server,
        events: Events,
        *,
        hosts: Sequence[str] = (),
        drain_status: int = 503,
    ) -> None:
        self._server = server
        self._events = events
        self._hosts = frozenset(host.lower() for host in hosts)
        self._drain_status = drain_status
        self._exporter: Exporter | None = None
        self._history = documents.History()

    def tick(self) -> None:
        """Once a second: notes what the page shows the past of."""
        self._history.note(self._server.state())

    def __call__(self, call: Call, reply: Reply) -> None:
        """Answers `call` through `reply`, at once or when there is an answer."""
        try:
            self._check(call)
            if call.method == "POST":
                self._order(call, reply)
            elif call.path == "/stacks" and call.steers:
                self._stacks(call, reply)
            else:
                reply(self._get(call))
        except Refusal as exc:
            reply(problem(exc.status, exc.detail))

    def _check(self, call: Call) -> None:
        if call.method not in ("GET", "HEAD", "POST"):
            raise Refusal("405 Method Not Allowed", "GET, HEAD and POST are known")
        if call.method == "POST" and not call.steers:
            raise Refusal(
                "403 Forbidden", "orders are taken over the control socket alone"
            )
        # A page of somebody else's that a browser was made to load from here by its name.
        if not call.local and not self._is_ours(call.header("HOST")):
            raise Refusal(
                "421 Misdirected Request",
                "the Host field is no address, not localhost and not in admin_hosts",
            )

    def _is_ours(self, host: str) -> bool:
        name = host.rpartition(":")[0] if _has_port(host) else host
        name = name.strip("[]").lower()
        if name == "localhost" or name in self._hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _get(self, call: Call) -> Answer:
        probe = PROBES.get(call.path)
        if probe is not None:
            return self.health(call.path, call.header("ACCEPT"))
        state = self._server.state
        match call.path.strip("/").split("/"):
            case [""]:
                return self._page(fragment=_asked(call, "fragment", "0") == "1")
            case ["metrics"]:
                return self._metrics(call)
            case ["status"]:
                return _document(self._status())
            case ["workers"]:
                return _document({"workers": documents.workers(state())})
            case ["workers", number]:
                return _document(_worker(state(), number))
            case ["config"]:
                if not call.steers:
                    raise Refusal(
                        "403 Forbidden", "options are shown over the control socket"
                    )
                return _document({"options": self._server.config()})
            case ["events"]:
                return self._told(call)
            case ["stacks"]:
                raise Refusal(
                    "403 Forbidden", "stacks are shown over the control socket alone"
                )
        raise Refusal("404 Not Found", f"there is nothing at {call.path}")

    def health(self, path: str, accept: str) -> Answer:
        """The answer to the probe at `path`."""
        verdict = PROBES[path](self._server.state(brief=True))
        status, kind, body = verdict.rendered(accept, self._drain_status)
        return Answer(status, body, {"Content-Type": kind})

    def _status(self) -> dict[str, Any]:
        return documents.status(
            self._server.state(), self._history, self._events.last()
        )

    def _page(self, *, fragment: bool) -> Answer:
        content = page.render_content(self._status())
        headers = {
            "Content-Type": "text/html; charset=utf-8",
            "Content-Security-Policy": page.POLICY,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        }
        text = content if fragment else page.render_page(content)
        return Answer("200 OK", text.encode(), headers)

    def _metrics(self, call: Call) -> Answer:
        if self._exporter is None:
            try:
                self._exporter = Exporter(self._server.state)
            except MetricsMissing:
                raise Refusal(
                    "501 Not Implemented", f"metrics need an extra: {INSTALL}"
                ) from None
        body, headers = self._exporter.render(
            call.header("ACCEPT"), call.header("ACCEPT_ENCODING")
        )
        return Answer("200 OK", body, headers)

    def _told(self, call: Call) -> Answer:
        events = self._events.last()
        if _asked(call, "follow", "0") == "0":
            return _document({"events": [documents.event(one) for one in events]})
        headers = {"Content-Type": "text/event-stream"}

        def follow(more: Callable[[bytes], bool]) -> None:
            def tell(event: Event) -> None:
                if not more(_server_sent(event)):
                    stop()

            stop = self._events.follow(tell)
            for one in events:
                tell(one)

        return Answer("200 OK", b"", headers, follow)

    def _order(self, call: Call, reply: Reply) -> None:
        """Gives an order of the control socket; its outcome is the answer."""
        given = _json_object(call.body)
        server = self._server
        LOG.info("%s: POST %s", call.peer, call.path)

        def tell(outcome: Outcome) -> None:
            reply(_outcome(outcome))

        match call.path.strip("/").split("/"):
            case ["reload"]:
                self._reload(call, reply, tell)
            case ["scale"]:
                workers, by = _whole(given, "workers"), _whole(given, "by")
                if (workers is None) == (by is None):
                    raise _bad('give {"workers": N} or {"by": N}')
                if workers is not None and workers < 1:
                    raise _bad(f"workers = {workers}: at least one has to serve")
                server.scale(tell, workers=workers, by=by)
            case ["workers", number, "restart"]:
                if not number.isdecimal():
                    raise Refusal("404 Not Found", f"there is no worker {number}")
                server.restart(tell, int(number))
            case ["log-level"]:
                level, logger, seconds = _log_level(given)
                server.log_level(tell, level, logger, seconds)
            case ["drain" | "undrain" as word]:
                server.hold(tell, held=word == "drain")
            case ["stop"]:
                how = given.get("how", "graceful")
                if how not in ("graceful", "quick"):
                    raise _bad(f"how = {how!r}: graceful or quick")
                server.stop(tell, graceful=how == "graceful")
            case ["reopen-logs"]:
                server.reopen_logs(tell)
            case ["upgrade"]:
                server.upgrade(tell)
            case _:
                raise Refusal("404 Not Found", f"there is no order {call.path}")

    def _reload(self, call: Call, reply: Reply, tell: Tell) -> None:
        if _asked(call, "wait", "1") != "0":
            self._server.reload(tell)
            return
        self._server.reload(lambda _: None)
        reply(as_json("202 Accepted", {"api": 1, "detail": "a reload was noted"}))

    def _stacks(self, call: Call, reply: Reply) -> None:
        number = _asked(call, "worker", "")
        if number and not number.isdecimal():
            raise Refusal("404 Not Found", f"there is no worker {number}")
        self._server.stacks(
            lambda outcome: reply(_outcome(outcome)), int(number) if number else None
        )


def _has_port(host: str) -> bool:
    return "]:" in host or host.count(":") == 1


def problem(status: str, detail: str) -> Answer:
    """An error for machines and people (RFC 9457)."""
    code, _, title = status.partition(" ")
    content = {"title": title, "status": int(code), "detail": detail, "api": 1}
    return as_json(status, content, PROBLEM)


def _outcome(outcome: Outcome) -> Answer:
    if not outcome.done:
        return problem("409 Conflict", outcome.detail)
    return _document({"detail": outcome.detail, **outcome.facts})


def _bad(detail: str) -> Refusal:
    return Refusal("400 Bad Request", detail)


def _json_object(body: bytes) -> Mapping[str, Any]:
    if not body:
        return {}
    try:
        found = json.loads(body)
    except ValueError as exc:
        raise _bad(f"the body is not JSON: {exc}") from exc
    if not isinstance(found, dict):
        raise _bad("the body is JSON, but no object")
    return found


def _whole(given: Mapping[str, Any], name: str) -> int | None:
    value = given.get(name)
    if value is not None and type(value) is not int:
        raise _bad(f"{name} = {value!r}: not a whole number")
    return value


def _log_level(given: Mapping[str, Any]) -> tuple[str, str, float | None]:
    level, logger = given.get("level"), given.get("logger", "")
    if not isinstance(level, str) or level.upper() not in _LEVELS:
        raise _bad(f"level = {level!r}: one of {', '.join(_LEVELS)}")
    if not isinstance(logger, str):
        raise _bad(f"logger = {logger!r}: a name, or empty for all")
    seconds = given.get("for")
    if seconds is not None and not (
        type(seconds) in (int, float) and math.isfinite(seconds) and seconds > 0
    ):
        raise _bad(f"for = {seconds!r}: a number of seconds")
    return level.upper(), logger, seconds


def _document(content: Mapping[str, Any]) -> Answer:
    return as_json("200 OK", {"api": 1, **content})


def _asked(call: Call, name: str, default: str) -> str:
    return parse_qs(call.query, keep_blank_values=True).get(name, [default])[-1]


def _worker(state: State, number: str) -> Mapping[str, Any]:
    for row in documents.workers(state):
        if str(row["number"]) == number:
            return row
    raise Refusal("404 Not Found", f"there is no worker {number}")


def _server_sent(event: Event) -> bytes:
    text = json.dumps(documents.event(event), ensure_ascii=False)
    return f"id: {event.number}\ndata: {text}\n\n".encode()
