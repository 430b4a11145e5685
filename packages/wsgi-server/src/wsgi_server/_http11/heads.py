"""Request heads that are all there; the same one again costs a lookup."""

from __future__ import annotations

from typing import Final

from .framing import complete
from .lines import (
    FRAMING,
    add_field,
    known_fields,
    known_request_lines,
    parse_field,
    parse_request_line,
)
from .messages import Limits, Request

#: Whole heads that are kept, and how long they may be; more start over.
KNOWN_HEADS: Final = 256
KNOWN_HEAD: Final = 1024


class RequestHeads:
    """Parses the heads that the readers of one server see, within the same limits."""

    __slots__ = ("known", "limits", "quick")

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        #: Heads up to this size, the empty line included, cannot break a limit on bytes.
        self.quick = 4 + min(
            limits.request_line,
            limits.header_bytes - 4,
            limits.header_bytes if limits.header_line is None else limits.header_line,
        )
        #: Of whole heads what was made of them, as long as they may come again.
        self.known: dict[bytes, Request] = {}

    def parse(self, head: bytes) -> Request | None:
        """The request of a head with its empty line, of no more than `quick` bytes.

        None where it has to be read line by line. Raises `ProtocolError`.
        """
        request = self.known.get(head)
        if request is not None:
            request.familiar = True
            return request
        limits = self.limits
        lines = head[:-4].split(b"\r\n")
        if len(lines) > limits.headers or not lines[0]:
            return None
        memorable = lines[0] in known_request_lines
        request = new_request(lines[0])
        headers = request.headers
        known = known_fields
        for line in lines[1:]:
            try:
                key, value = known[line]
            except KeyError:
                key, value = parse_field(line, limits.underscores)
                memorable = memorable and key in FRAMING
            if key in headers:
                add_field(headers, key, value)
            else:
                headers[key] = value
        complete(request, limits)
        if memorable and len(head) <= KNOWN_HEAD:
            # None of its lines holds a secret, and nearly all of them came before.
            if len(self.known) >= KNOWN_HEADS:
                self.known.clear()
            self.known[head] = request
        return request


def new_request(line: bytes) -> Request:
    """A request as far as its first line tells. Raises `ProtocolError`."""
    request = Request()
    (
        request.method,
        request.target,
        request.path,
        request.query,
        request.http11,
        request.scheme,
    ) = known_request_lines.get(line) or parse_request_line(line)
    request.headers = {}
    request.familiar = False
    return request
