"""Range and Content-Range of a request, checked against the size of the content."""

from __future__ import annotations

import re

import webob.exc
from webob.byterange import ContentRange, Range

from wsgi_api._i18n import Text

# RFC 9110 14.1.2
_RANGE = re.compile(r"(?:([0-9]+)[ \t]*)?-[ \t]*([0-9]*)")
# Nineteen digits: no content is larger than 2**63.
_CONTENT_BYTES = re.compile(
    r"bytes[ \t]+([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)[ \t]*", re.IGNORECASE
)
# Stands for every number of more digits: int() refuses those of some thousands.
_BEYOND = 10**19

_SEVERAL = Text("Only one range can be requested at a time; send one request for each.")
MALFORMED = Text("The %(header)s header cannot be understood.")
_START = Text(
    "The range of the %(header)s header starts outside the content, which has "
    "%(size)d bytes."
)
_STOP = Text(
    "The range of the %(header)s header ends outside the content, which has "
    "%(size)d bytes."
)


def requested_range(header: str, size: int) -> Range | None:
    """Parses a ``Range`` header for a content of ``size`` bytes.

    :returns: ``start`` (negative: that many bytes from the end) and ``end``, which
        is not included, or ``None`` for all that follows; ``None`` in place of them
        where the answer is the whole content: for other units than bytes (14.2), and
        for the last bytes of an empty content
    :raises webob.exc.HTTPBadRequest: it asks for several ranges
    :raises webob.exc.HTTPRequestRangeNotSatisfiable: it is malformed or starts
        outside the content
    """
    unit, ranges = _parts(header)
    if unit != "bytes" and "=" in header:
        return None
    if len(ranges) > 1:
        raise webob.exc.HTTPBadRequest(explanation=_SEVERAL)
    match = _RANGE.fullmatch(ranges[0]) if ranges else None
    if match is None:
        raise _unsatisfiable(MALFORMED, "Range", size)
    first, last = match.groups()
    if not first:
        if not last:
            raise _unsatisfiable(MALFORMED, "Range", size)
        if _number(last) == 0:
            raise _unsatisfiable(_START, "Range", size)
        # Satisfiable for an empty content, too, but no Content-Range could tell it.
        return Range(-_number(last), None) if size else None
    start = _number(first)
    end = _number(last) + 1 if last else None
    if end is not None and start >= end:
        raise _unsatisfiable(MALFORMED, "Range", size)
    if start >= size:
        raise _unsatisfiable(_START, "Range", size)
    return Range(start, end)


def asks_for_one_part(header: str) -> bool:
    """Returns whether a ``Range`` header asks for a single range of bytes.

    RFC 9110 14.2: other units must be ignored, and several ranges may be.
    """
    unit, ranges = _parts(header)
    return unit == "bytes" and len(ranges) <= 1


def requested_content_range(header: str, size: int) -> ContentRange:
    """Parses a ``Content-Range`` header that a client sent instead of ``Range``.

    Old clients of image services ask this way; RFC 9110 knows it in responses only.

    :returns: ``start``, ``stop`` (not included) and ``length``
    :raises webob.exc.HTTPRequestRangeNotSatisfiable: it is malformed, starts outside
        the content, or ends outside it while the length is left open
    """
    match = _CONTENT_BYTES.fullmatch(header.strip())
    if match is None:
        raise _unsatisfiable(MALFORMED, "Content-Range", size)
    start, stop = int(match[1]), int(match[2]) + 1
    length = None if match[3] == "*" else int(match[3])
    if start >= stop or (length is not None and stop > length):
        raise _unsatisfiable(MALFORMED, "Content-Range", size)
    if length is None and stop > size:
        raise _unsatisfiable(_STOP, "Content-Range", size)
    if start >= size:
        raise _unsatisfiable(_START, "Content-Range", size)
    return ContentRange(start, stop, length)


def _parts(header: str) -> tuple[str, list[str]]:
    unit, _, listed = header.partition("=")
    ranges = [each.strip(" \t") for each in listed.split(",")]
    # RFC 9110 5.6.1.2: empty elements of a list do not count.
    return unit.strip(" \t").lower(), [each for each in ranges if each]


def _number(digits: str) -> int:
    digits = digits.lstrip("0")
    return int(digits or 0) if len(digits) < 20 else _BEYOND


def _unsatisfiable(
    text: Text, header: str, size: int
) -> webob.exc.HTTPRequestRangeNotSatisfiable:
    # RFC 9110 15.5.17: a 416 should tell the current length.
    return webob.exc.HTTPRequestRangeNotSatisfiable(
        explanation=text.filled(header=header, size=size),
        headers=[("Content-Range", f"bytes */{size}")],
    )
