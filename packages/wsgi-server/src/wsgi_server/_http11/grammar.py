"""The rules of RFC 9110 and RFC 9112 as regular expressions, and the two errors.

Every expression is matched against a whole line and in linear time: each alternative begins
with a byte that the others exclude, and no two repetitions of the same bytes touch.
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

#: The bytes that a line may be made of, and with the horizontal tab a field's value (RFC 9112
#: 5, RFC 9110 5.5): no other control characters, and no folding.
IN_LINES: Final = bytes([*range(0x20, 0x7F), *range(0x80, 0x100)])
IN_VALUES: Final = b"\t" + IN_LINES

_QUOTED: Final = (
    rb'"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"'
)
#: Digits of a chunk-size (RFC 9112 7.1): more than anybody has.
CHUNK_DIGITS: Final = 16
#: A chunk-size with its extensions (7.1.1). White space may only stand around ";" and "=",
#: never at the end of the line.
CHUNK_LINE: Final = re.compile(
    rb"([0-9A-Fa-f]{1,%d})(?:[ \t]*;[ \t]*" % CHUNK_DIGITS
    + TOKEN
    + rb"(?:[ \t]*=[ \t]*(?:"
    + TOKEN
    + rb"|"
    + _QUOTED
    + rb"))?)*"
)

#: A Content-Length has digits only (RFC 9110 8.6); more of them are more than anybody has.
LENGTH_DIGITS: Final = 19

_H16: Final = r"[0-9A-Fa-f]{1,4}"
_OCTET: Final = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_LS32: Final = rf"(?:{_H16}:{_H16}|{_OCTET}(?:\.{_OCTET}){{3}})"
#: IPv6address (RFC 3986 3.2.2): eight groups, or fewer around one "::".
_IPV6: Final = "|".join(
    (
        rf"(?:{_H16}:){{6}}{_LS32}",
        rf"::(?:{_H16}:){{5}}{_LS32}",
        *(
            rf"(?:(?:{_H16}:){{0,{before}}}{_H16})?::(?:{_H16}:){{{4 - before}}}{_LS32}"
            for before in range(5)
        ),
        rf"(?:(?:{_H16}:){{0,5}}{_H16})?::{_H16}",
        rf"(?:(?:{_H16}:){{0,6}}{_H16})?::",
    )
)
#: uri-host [":" port] (RFC 9110 7.2, RFC 3986 3.2.2), without user information. Zone
#: identifiers are no part of a URI (RFC 9844).
HOST: Final = re.compile(
    rf"(?:\[(?:{_IPV6}|[vV][0-9A-Fa-f]+\.[\w.~!$&'()*+,;=:\-]+)\]"
    r"|(?:[\w.~!$&'()*+,;=\-]|%[0-9A-Fa-f]{2})*)(?::[0-9]{0,5})?",
    re.ASCII,
)

#: absolute-form of http and https; the authority goes up to the first "/" or "?".
ABSOLUTE: Final = re.compile(r"([Hh][Tt][Tt][Pp][Ss]?)://([^/?]*)(/[^?]*)?(?:\?(.*))?")

#: A percent sign without two hexadecimal digits, or an encoded NUL.
BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})|%00")

#: Names of fields that may hold a secret: these are never kept in a cache.
SECRET_NAME: Final = re.compile(
    "auth|cookie|token|secret|passw|key|signature|credential|session", re.IGNORECASE
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
