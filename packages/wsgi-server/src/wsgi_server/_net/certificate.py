"""When a certificate ends: as much of its encoding as that takes (RFC 5280 4.1, X.690).

Python's `ssl` tells it of a peer's certificate and of an authority's, not of one's own.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Final

#: The first certificate of a file is the server's, those behind it its chain (RFC 8446 4.4.2).
_PEM: Final = re.compile(
    rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----(.+?)-----END", re.DOTALL
)
_SEQUENCE: Final = 0x30
#: A year of two digits, which stands for one from 1950 on (RFC 5280 4.1.2.5.1).
_UTC_TIME: Final = 0x17


def certificate_end(path: str) -> float | None:
    """The seconds since the epoch until which a PEM file's first certificate is valid.

    None where that cannot be made out: to serve with it nobody needs this.
    """
    try:
        with open(path, "rb") as file:
            found = _PEM.search(file.read())
        return None if found is None else _not_after(base64.b64decode(found[1]))
    except (OSError, ValueError, IndexError):
        # OpenSSL has read it a moment ago.
        return None


def _not_after(encoded: bytes) -> float:
    ((_, certificate),) = _elements(encoded, most=1)
    ((_, content),) = _elements(certificate, most=1)
    # Its version, where it has one, and its number; then algorithm, issuer, validity.
    sequences = [value for tag, value in _elements(content) if tag == _SEQUENCE]
    _, (tag, value) = _elements(sequences[2])
    text = value.decode("ascii")
    if tag == _UTC_TIME:
        text = ("19" if text >= "50" else "20") + text
    end = datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=timezone.utc)
    return end.timestamp()


def _elements(data: bytes, most: int = 10) -> Iterator[tuple[int, bytes]]:
    """Up to `most` elements that follow one another: each one's tag and what is in it."""
    at = 0
    while at < len(data) and most:
        tag, length = data[at], data[at + 1]
        at += 2
        if length >= 0x80:
            size = length & 0x7F
            length = int.from_bytes(data[at : at + size], "big")
            at += size
        yield tag, data[at : at + length]
        at += length
        most -= 1
