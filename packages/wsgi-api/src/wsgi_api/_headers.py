"""Small answers that need no response object, and what all answers share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class Redirect:
    """A WSGI application that sends the client elsewhere.

    :param status: such as ``302 Found``
    :param location: where to
    """

    def __init__(self, status: str, location: str) -> None:
        self.status = status
        self.location = location

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        start_response(
            self.status,
            [
                ("Content-Type", "text/plain; charset=utf8"),
                ("Content-Length", "0"),
                ("Location", self.location),
            ],
        )
        return []


def vary_by(headers: list[tuple[str, str]], field: str) -> None:
    """Tell caches that a field of the request chose the answer (RFC 9110, 12.5.5)."""
    known = [value for name, value in headers if name.lower() == "vary"]
    if not known:
        headers.append(("Vary", field))
        return
    names = {name.strip().lower() for value in known for name in value.split(",")}
    if not names & {"*", field.lower()}:
        headers[:] = [pair for pair in headers if pair[0].lower() != "vary"]
        headers.append(("Vary", ", ".join([*known, field])))
