"""Reads bytes with the sans-I/O core and tells what came out, in a form to compare."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from wsgi_server._http11 import (
    Limits,
    ProtocolError,
    Request,
    RequestHeads,
    RequestReader,
)
from wsgi_server._http11.names import is_forwarding

#: More than any part of a body in a test.
MUCH = 1 << 30


def limits(options: Mapping[str, Any]) -> Limits:
    """`http_cases.SMALL_LIMITS` as the core wants them."""
    return Limits(
        request_line=options["max_request_line"],
        header_line=options["max_header_line"],
        headers=options["max_headers"],
        header_bytes=options["max_header_bytes"],
        body=options["max_request_body"],
        underscores=options["underscore_headers"],
    )


@dataclass
class Message:
    """A request with its body, as far as it was read."""

    head: dict[str, Any]
    body: bytes = b""
    trailers: dict[str, str] = field(default_factory=dict)
    ended: bool = False


@dataclass
class Outcome:
    """Everything a reader said about some bytes."""

    messages: list[Message]
    status: int | None = None
    #: Fed bytes that were not used; what an ended reading leaves open.
    left: int = 0


#: Attributes that say nothing about the request.
BOOKKEEPING = frozenset({"familiar"})


def head_of(request: Request) -> dict[str, Any]:
    """What a request says, by name."""
    names = BOOKKEEPING.symmetric_difference(Request.__slots__)
    return {name: getattr(request, name) for name in names}


def begun(request: Request, reader: RequestReader) -> Message:
    """What was read when a head has been."""
    assert request.forwarding == set(filter(is_forwarding, request.headers))
    if not request.has_body:
        assert not reader.in_body
        return Message(head_of(request), ended=True)
    assert reader.in_body
    return Message(head_of(request), trailers=reader.trailers())


def read(parts: Iterable[bytes], limits: Limits | None = None) -> Outcome:
    """Feeds the parts one by one, as a connection does, reading after each what there is.

    Checks on the way what holds for every reading.
    """
    return read_with(RequestHeads(limits or Limits()), parts)


def read_with(heads: RequestHeads, parts: Iterable[bytes]) -> Outcome:
    """As `read`, by one of the readers that share `heads`."""
    reader = RequestReader(heads)
    outcome = Outcome([])
    try:
        for part in parts:
            if reader.in_body:
                reader.feed(part)
            else:
                request = reader.read_head(part)
                if request is None:
                    continue
                outcome.messages.append(begun(request, reader))
            _drain(reader, outcome.messages)
    except ProtocolError as exc:
        outcome.status = exc.status
        assert not reader.buffered
        assert not reader.idle
    else:
        outcome.left = reader.buffered
    return outcome


def _drain(reader: RequestReader, messages: list[Message]) -> None:
    while True:
        if not reader.in_body:
            request = reader.read_head()
            if request is None:
                return
            messages.append(begun(request, reader))
        else:
            part = reader.read_body(MUCH)
            if part is None:
                return
            assert type(part) is bytes
            assert part or not reader.in_body
            assert messages[-1].head["has_body"]
            messages[-1].body += part
            messages[-1].ended = not reader.in_body


def ways(data: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """`data` whole, byte by byte, and cut in two at every place; long data at some."""
    yield "whole", [data]
    yield "byte by byte", [data[at : at + 1] for at in range(len(data))]
    step = 1 if len(data) < 400 else 41
    for at in range(1, len(data), step):
        yield f"cut at {at}", [data[:at], data[at:]]
