"""The rules of RFC 9110 and RFC 9112 as regular expressions, and the two errors.

Every expression is matched against a whole line, none of them can backtrack badly: each
alternative begins with a byte that the others exclude.
"""

from __future__ import annotations

import re
from typing import Final

TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"

#: method SP request-target SP HTTP-version (RFC 9112 3). The target is visible ASCII
#: without "#": a fragment is never sent (RFC 9112 3.2), and whoever sends one means
#: something that we and the next hop could read differently.
REQUEST_LINE: Final = re.compile(
    rb"(" + TOKEN + rb") ([\x21\x22\x24-\x7e]+) HTTP/1\.([01])"
)

#: field-name ":" OWS field-value OWS (RFC 9112 5, RFC 9110 5.5): no control characters but
#: horizontal tab inside, no white space before the colon, no folding.
FIELD: Final = re.compile(
    rb"(" + TOKEN + rb"):[ \t]*([\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*"
    rb"[\x21-\x7e\x80-\xff])?)?[ \t]*"
)

#: A chunk-size with its extensions (RFC 9112 7.1); sixteen digits are more than anybody has.
CHUNK_LINE: Final = re.compile(
    rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?"
)

CONTENT_LENGTH: Final = re.compile(rb"[0-9]{1,19}")

#: uri-host [":" port] (RFC 3986 3.2.2), without user information.
HOST: Final = re.compile(
    r"(?:\[[0-9A-Fa-f:.]+(?:%25[\w.~\-]+)?\]|\[v[0-9A-Fa-f]+\.[\w.~!$&'()*+,;=:\-]+\]"
    r"|(?:[\w.~!$&'()*+,;=\-]|%[0-9A-Fa-f]{2})*)(?::[0-9]{0,5})?",
    re.ASCII,
)

#: absolute-form of http and https; the authority goes up to the first "/" or "?".
ABSOLUTE: Final = re.compile(r"([Hh][Tt][Tt][Pp][Ss]?)://([^/?]*)(/[^?]*)?(?:\?(.*))?")

#: A percent sign without two hexadecimal digits, or an encoded NUL.
BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})|%00")

#: Requests whose fields may hold secrets are never kept in a cache.
SECRET: Final = re.compile(
    rb"auth|cookie|token|secret|passw|key|signature|credential|session", re.IGNORECASE
)

STATUS: Final = re.compile(r"[2-5][0-9]{2} [\t\x20-\x7e\x80-\xff]*")
FIELD_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
FIELD_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class ProtocolError(Exception):
    """The peer broke the rules; nothing behind this point can be trusted.

    `status` is the answer it deserves, `detail` a sentence that is safe to send.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class ResponseError(ValueError):
    """The application's status or headers cannot be sent; `detail` says which and why."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail
