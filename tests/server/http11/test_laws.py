"""Laws of the reader: one reading whatever the split, whatever the bytes."""

from __future__ import annotations

from itertools import pairwise
from unittest import mock

from http_cases import SMALL_LIMITS, request
from hypothesis import given, settings
from hypothesis import strategies as st
from server.http11.mutation import mutated
from server.http11.reading import (
    Message,
    Outcome,
    begun,
    limits,
    read,
    read_with,
)
from wsgi_server._http11 import (
    Limits,
    ProtocolError,
    RequestHeads,
    RequestReader,
    bodies,
)

SMALL = limits(SMALL_LIMITS)


@st.composite
def split(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """`data` in parts, some of them empty."""
    cuts = draw(st.lists(st.integers(0, len(data)), max_size=8))
    places = [0, *sorted(cuts), len(data)]
    return [data[a:b] for a, b in pairwise(places)]


def same(first: Outcome, second: Outcome) -> None:
    """Two outcomes tell the same.

    Where a body is refused, what had come of it before depends on the split: parts are
    given as they arrive, an application may not rely on any of it.
    """
    assert first.status == second.status
    assert len(first.messages) == len(second.messages)
    for one, other in zip(first.messages, second.messages, strict=True):
        assert one.head == other.head
        assert one.ended == other.ended
        assert one.body == other.body
        assert one.trailers == other.trailers
    assert first.left == second.left


@settings(max_examples=500, deadline=None)
@given(st.data(), mutated(), st.sampled_from([Limits(), SMALL]))
def test_any_split_gives_the_same_reading(
    data: st.DataObject, raw: bytes, bounds: Limits
) -> None:
    whole = read([raw], bounds)
    same(whole, read(data.draw(split(raw)), bounds))
    same(whole, read([raw[at : at + 1] for at in range(len(raw))], bounds))


#: Those that have read whatever was tried before, with what they remember of it.
USED = {bounds: RequestHeads(bounds) for bounds in (Limits(), SMALL)}


@settings(max_examples=500, deadline=None)
@given(st.data(), mutated(), st.sampled_from([Limits(), SMALL]))
def test_what_is_remembered_changes_no_reading(
    data: st.DataObject, raw: bytes, bounds: Limits
) -> None:
    fresh = read([raw], bounds)
    for _ in range(3):
        same(fresh, read_with(USED[bounds], [raw]))
    same(fresh, read_with(USED[bounds], data.draw(split(raw))))


@settings(max_examples=500, deadline=None)
@given(st.data(), mutated(), st.sampled_from([Limits(), SMALL]))
def test_a_body_may_be_received_as_it_is_wanted(
    data: st.DataObject, raw: bytes, bounds: Limits
) -> None:
    """As a connection does: with limits, and parts that pass by the buffer."""
    with mock.patch.object(bodies, "LARGE", 1):
        outcome = read_as_wanted(data, raw, bounds)
    same(read([raw], bounds), outcome)


def read_as_wanted(data: st.DataObject, raw: bytes, bounds: Limits) -> Outcome:
    """The outcome of reading by what the reader says to receive, and how."""
    sizes = st.integers(1, 20)
    reader = RequestReader(RequestHeads(bounds))
    messages: list[Message] = []
    outcome = Outcome(messages)
    rest = raw
    try:
        while True:
            limit = data.draw(sizes)
            if not reader.in_body:
                request = reader.read_head()
                if request is not None:
                    messages.append(begun(request, reader))
                elif rest:
                    wanted = data.draw(sizes)
                    reader.feed(rest[:wanted])
                    rest = rest[wanted:]
                else:
                    break
                continue
            part = reader.read_body(limit)
            if part is not None:
                assert len(part) <= limit
                messages[-1].body += part
            elif not rest:
                break
            else:
                count = reader.direct(limit)
                assert count <= limit
                behind = reader.behind(count)
                wanted = min(count + behind or reader.appetite(), data.draw(sizes))
                part, rest = rest[:wanted], rest[wanted:]
                if count:
                    messages[-1].body += part[:count]
                    reader.pass_body(len(part[:count]), part[count:])
                else:
                    reader.feed(part)
            messages[-1].ended = not reader.in_body
    except ProtocolError as exc:
        outcome.status = exc.status
    else:
        outcome.left = reader.buffered
    return outcome


@settings(max_examples=300, deadline=None)
@given(mutated(), st.binary(max_size=50))
def test_nothing_behind_a_refusal_changes_the_reading(raw: bytes, more: bytes) -> None:
    outcome = read([raw])
    if outcome.status is not None:
        same(outcome, read([raw + more + request()]))


@settings(max_examples=300, deadline=None)
@given(mutated())
def test_more_bytes_never_change_what_was_said(raw: bytes) -> None:
    whole = read([raw])
    for at in range(len(raw)):
        part = read([raw[:at]])
        if part.status is not None:
            assert whole.status == part.status
            break
        ended = [message for message in part.messages if message.ended]
        assert whole.messages[: len(ended)] == ended


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([Limits(), SMALL]))
def test_any_bytes_are_read_or_refused(raw: bytes, bounds: Limits) -> None:
    outcome = read([raw], bounds)
    assert outcome.status in (None, 400, 413, 414, 417, 431, 501)
    assert all(message.ended for message in outcome.messages[:-1])


names = st.from_regex(r"\AX-[!#$%&'*+.^`|~0-9A-Za-z-]{0,8}\Z")
values = (
    st.text(
        st.characters(
            min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"
        ),
        max_size=12,
    )
    | st.just("a\tb")
).map(lambda text: text.strip(" \t"))
blank = st.text(" \t", max_size=3)


@given(
    st.lists(st.tuples(names, blank, values, blank), max_size=8),
    st.binary(max_size=60),
    st.lists(st.integers(1, 20), max_size=6),
)
def test_what_was_written_is_read_back(
    fields: list[tuple[str, str, str, str]], body: bytes, sizes: list[int]
) -> None:
    expected: dict[str, str] = {}
    for name, _, value, _ in fields:
        key = f"HTTP_{name.upper().replace('-', '_')}"
        expected[key] = f"{expected[key]},{value}" if key in expected else value
    lines = [f"{n}:{a}{v}{b}".encode("latin-1") for n, a, v, b in fields]

    coded, rest = b"", body
    for size in sizes:
        part, rest = rest[:size], rest[size:]
        coded += b"%X\r\n%b\r\n" % (len(part), part) if part else b""
    coded += b"%x;a=b\r\n%b\r\n" % (len(rest), rest) if rest else b""
    line = b"PUT /case HTTP/1.1"
    raw = request(
        *lines, b"Content-Length: %d" % len(body), line=line, body=body
    ) + request(
        *lines, b"Transfer-Encoding: chunked", line=line, body=coded + b"0\r\n\r\n"
    )
    outcome = read([raw])
    assert outcome.status is None
    assert outcome.left == 0
    assert [message.body for message in outcome.messages] == [body, body]
    for message in outcome.messages:
        assert message.ended
        found = message.head["headers"]
        assert {key: found[key] for key in expected} == expected
        assert len(found) == len(expected) + 2
