"""Which request this is: an id of its own, and the trace that it belongs to.

An id is taken from the client's header only where the client is trusted, and only if it
cannot break a log; otherwise it is made here. `traceparent` (W3C Trace Context) is looked at
and left for the application as it came.
"""

from __future__ import annotations

import re
import secrets
from typing import Any, Final

_ID: Final = re.compile(r"[A-Za-z0-9._~+/=:@-]{1,128}")
#: version "-" trace-id "-" parent-id "-" flags; later versions may have more behind it.
_PARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?"
)

#: A UUID with or without `req-` in front and dashes inside.
_UUID: Final = re.compile(
    "(?:req-)?([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})"
)

REQUEST_ID: Final = "wsgi_server.request_id"
TRACEPARENT: Final = "wsgi_server.traceparent"


class RequestIds:
    """Gives requests their ids, by the header `name` (as `X-Request-Id`).

    With `openstack` the id also stands where oslo.middleware looks for one that came from
    another service, so that all logs of OpenStack show it.
    """

    def __init__(self, name: str, *, openstack: bool) -> None:
        self.name = name
        self._key = f"HTTP_{name.upper().replace('-', '_')}"
        self._openstack = openstack

    def give(self, environ: dict[str, Any], *, trusted: bool) -> str:
        """Puts the id of a request, and its trace, into `environ`; returns the id."""
        given = environ.get(self._key) if trusted else None
        if given is None or _ID.fullmatch(given) is None:
            given = secrets.token_hex(16)
        environ[REQUEST_ID] = given
        if self._openstack and (known := _as_openstack(given)) is not None:
            environ["HTTP_X_OPENSTACK_REQUEST_ID"] = known
        parent = environ.get("HTTP_TRACEPARENT")
        if parent is not None and is_traceparent(parent):
            environ[TRACEPARENT] = parent
        return given


def is_traceparent(text: str) -> bool:
    """Whether `text` is a traceparent that may be believed (W3C Trace Context 3.2)."""
    match = _PARENT.fullmatch(text)
    return match is not None and (not text.startswith("00-") or len(text) == 55)


def _as_openstack(given: str) -> str | None:
    """The form that oslo.middleware believes, `req-` and a UUID; None for another id."""
    match = _UUID.fullmatch(given)
    return None if match is None else f"req-{'-'.join(match.groups())}"
