"""W3C Trace Context: which trace a request belongs to, as far as that can be believed."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

#: version "-" trace-id "-" parent-id "-" flags; later versions may have more behind it.
_PARENT: Final = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(-.*)?"
)


class Trace(NamedTuple):
    """A trace, and the span of the caller in it; both empty where there is none."""

    trace_id: str
    span_id: str


#: Where the span is noted that the server has made, of the type `Trace`.
TRACE: Final = "wsgi_server.trace"
NO_TRACE: Final = Trace("", "")


def parse_traceparent(text: str) -> Trace:
    """The trace that a `traceparent` names; none where its form is not W3C's (section 3.2)."""
    match = _PARENT.fullmatch(text)
    if match is None or (match[1] == "00" and match[4] is not None):
        return NO_TRACE
    return Trace(match[2], match[3])
