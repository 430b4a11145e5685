"""Reads bytes with the sans-I/O core and tells what came out, in a form to compare."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from wsgi_server._http11 import (
    END,
    NEED_DATA,
    Limits,
    ProtocolError,
    Request,
    RequestReader,
)


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
    trailers: dict[str, str] | None = None
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


def read(
    parts: Iterable[bytes], limits: Limits | None = None, *, eof: bool = False
) -> Outcome:
    """Feeds the parts one by one, as a connection does, reading after each what there is.

    Checks on the way what holds for every sequence of events.
    """
    reader = RequestReader(limits or Limits())
    outcome = Outcome([])
    try:
        for part in parts:
            request = reader.recognize(part)
            if request is not None:
                outcome.messages.append(Message(head_of(request), ended=True))
                continue
            reader.feed(part)
            _drain(reader, outcome)
        if eof:
            reader.feed_eof()
            _drain(reader, outcome)
    except ProtocolError as exc:
        outcome.status = exc.status
        assert not reader.buffered
        assert not reader.idle
    else:
        outcome.left = reader.buffered
    return outcome


def _drain(reader: RequestReader, outcome: Outcome) -> None:
    messages = outcome.messages
    while (event := reader.next_event()) is not NEED_DATA:
        inside = bool(messages) and not messages[-1].ended
        if isinstance(event, Request):
            assert not inside
            messages.append(Message(head_of(event)))
        elif event is END:
            assert inside
            messages[-1].ended = True
            messages[-1].trailers = reader.trailers
        else:
            assert inside
            assert type(event) is bytes
            assert event
            assert messages[-1].head["has_body"]
            messages[-1].body += event


def ways(data: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """`data` whole, byte by byte, and cut in two at every place; long data at some."""
    yield "whole", [data]
    yield "byte by byte", [data[at : at + 1] for at in range(len(data))]
    step = 1 if len(data) < 400 else 41
    for at in range(1, len(data), step):
        yield f"cut at {at}", [data[:at], data[at:]]
