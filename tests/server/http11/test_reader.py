"""What `RequestReader` promises besides the rules: order, bounds, memory, its caches."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time

import pytest
from http_cases import CODED, SIZED, chunked, request
from server.http11.reading import MUCH, read, read_with
from wsgi_server import _http11 as package_of_the_core
from wsgi_server._http11 import (
    Limits,
    ProtocolError,
    Request,
    RequestHeads,
    RequestReader,
)
from wsgi_server._http11.bodies import LARGE
from wsgi_server._http11.buffer import ReceiveBuffer
from wsgi_server._http11.heads import KNOWN_HEAD, KNOWN_HEADS, SEEN_ONCE
from wsgi_server._http11.names import (
    DROPPED,
    KNOWN_LINE,
    KNOWN_LINES,
    KNOWN_NAME,
    KNOWN_NAMES,
    FieldNames,
)

POST = b"POST /case HTTP/1.1"


def fed(*parts: bytes, limits: Limits | None = None) -> RequestReader:
    reader = RequestReader(RequestHeads(limits or Limits()))
    for part in parts:
        reader.feed(part)
    return reader


def next_request(reader: RequestReader) -> Request:
    request = reader.read_head()
    assert request is not None
    return request


def drain(reader: RequestReader) -> None:
    """Reads what there is."""
    while True:
        if reader.in_body:
            if reader.read_body(MUCH) is None:
                return
        elif reader.read_head() is None:
            return


def test_a_request_without_a_body_ends_at_once() -> None:
    reader = fed(request())
    assert next_request(reader).has_body is False
    assert not reader.in_body
    assert reader.idle
    assert reader.read_head() is None


def test_pipelined_requests_come_in_order() -> None:
    first, second = request(SIZED, line=POST, body=b"hello"), request()
    reader = fed(first + second)
    assert next_request(reader).content_length == 5
    was_in_body, body = reader.in_body, reader.read_body(MUCH)
    assert (was_in_body, body, reader.in_body) == (True, b"hello", False)
    assert reader.buffered == len(second)
    assert (bool(reader.buffer.unread), reader.idle) == (True, False)
    assert next_request(reader).method == "GET"
    assert (bool(reader.buffer.unread), reader.idle) == (False, True)


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        (request(SIZED, line=POST, body=b"hello"), [b"he", b"ll", b"o"]),
        (chunked(b"5\r\nhello\r\n0\r\n\r\n"), [b"he", b"ll", b"o", b""]),
    ],
)
def test_read_body_gives_no_more_than_asked_for(
    data: bytes, parts: list[bytes]
) -> None:
    reader = fed(data + request())
    next_request(reader)
    found = []
    while reader.in_body:
        found.append(reader.read_body(2))
    assert found == parts
    assert next_request(reader).method == "GET"


def test_a_body_part_is_the_object_that_was_fed() -> None:
    reader = fed(request(SIZED, line=POST))
    next_request(reader)
    part = b"hello"
    reader.feed(part)
    assert reader.read_body(MUCH) is part


def test_a_body_is_given_as_it_arrives() -> None:
    reader = fed(request(SIZED, line=POST, body=b"he"))
    next_request(reader)
    assert reader.read_body(MUCH) == b"he"
    assert reader.read_body(MUCH) is None
    assert reader.in_body
    reader.feed(b"llo")
    assert reader.read_body(MUCH) == b"llo"
    assert not reader.in_body


def test_body_limit_counts_bytes_not_chunks() -> None:
    limits = Limits(body=5)
    whole = read([chunked(b"1\r\n \r\n" * 5 + b"0\r\n\r\n")], limits)
    assert whole.status is None
    assert whole.messages[0].body == b" " * 5
    # Refused with its size line: not a byte of the chunk that passes the limit comes out.
    over = read([chunked(b"4\r\nabcd\r\n2\r\nef")], limits)
    assert over.status == 413
    assert over.messages[0].body == b"abcd"


def test_equal_large_chunks_pass_by_with_what_announces_the_next() -> None:
    size = LARGE
    frame = b"\r\n%x\r\n" % size
    reader = fed(chunked(frame[2:]), limits=Limits(body=3 * size))
    next_request(reader)
    assert reader.read_body(1) is None
    for _ in range(2):
        assert reader.direct(size - 1) == size - 1
        assert reader.behind(size - 1) == 0
        assert reader.direct(size + 1) == size
        assert reader.behind(size) == len(frame)
        reader.pass_body(size, frame)
        assert not reader.buffered
    # The limit is as for any other frame.
    reader.pass_body(size, frame)
    with pytest.raises(ProtocolError, match="limited"):
        reader.read_body(1)


@pytest.mark.parametrize("cut", [1, 2, 3, 6, 7])
@pytest.mark.parametrize("size", [LARGE, LARGE + 1, 5])
def test_what_came_behind_a_large_chunk_is_read_like_anything_else(
    cut: int, size: int
) -> None:
    reader = fed(chunked(b"%x\r\n" % LARGE))
    next_request(reader)
    assert reader.read_body(1) is None
    rest = b"\r\n%x\r\n%b\r\n0\r\n\r\n" % (size, b"x" * size)
    reader.pass_body(LARGE, rest[:cut])
    reader.feed(rest[cut:])
    parts = iter(lambda: reader.read_body(LARGE), b"")
    assert b"".join(part for part in parts if part is not None) == b"x" * size


def test_a_body_can_only_be_read_inside_a_request() -> None:
    for data in (b"", request()[:20], request()):
        reader = fed(data)
        with pytest.raises(RuntimeError, match="no request body"):
            reader.read_body(1)
        with pytest.raises(RuntimeError, match="no request body"):
            reader.read_whole_body()


def test_a_head_can_only_be_read_behind_a_body() -> None:
    reader = fed(request(SIZED, line=POST))
    next_request(reader)
    reader.feed(request())
    with pytest.raises(RuntimeError, match="has not been read"):
        reader.read_head()


def test_a_dead_reader_repeats_its_error_and_keeps_nothing() -> None:
    reader = fed(b"GARBAGE\r\n" + request())
    with pytest.raises(ProtocolError) as first:
        reader.read_head()
    reader.feed(request())
    assert reader.buffered == 0
    assert not reader.idle
    for ask in (reader.read_head, lambda: reader.read_body(1)):
        with pytest.raises(ProtocolError) as again:
            ask()
        assert again.value is first.value


def test_a_body_error_is_repeated_too() -> None:
    reader = fed(chunked(b"x\r\n"))
    next_request(reader)
    for ask in (lambda: reader.read_body(1), reader.read_whole_body, reader.read_head):
        with pytest.raises(ProtocolError, match="chunk size"):
            ask()
    assert not reader.in_body


@pytest.mark.parametrize(
    "data",
    [
        b"GET /\x1b[31m<script> HTTP/1.1\r\n\r\n",
        request(b"X-\x00<script>: a"),
        request(host=b"Host: <script>"),
        chunked(b"<script>\r\n"),
    ],
)
def test_the_detail_of_an_error_repeats_nothing_of_the_request(data: bytes) -> None:
    reader = fed(data)
    with pytest.raises(ProtocolError) as caught:
        drain(reader)
    assert caught.value.detail == str(caught.value)
    assert caught.value.detail.isascii()
    assert "script" not in caught.value.detail


def test_an_unfinished_head_counts_as_buffered() -> None:
    reader = fed()
    for count, byte in enumerate(request()[:-1], 1):
        reader.feed(bytes([byte]))
        assert reader.read_head() is None
        assert reader.buffered == count
        assert not reader.idle
    reader.feed(b"\n")
    next_request(reader)
    assert reader.buffered == 0


def test_an_empty_line_does_not_start_a_request() -> None:
    reader = fed(b"\r\n")
    assert reader.read_head() is None
    assert reader.idle


def test_trailers_are_those_of_one_request() -> None:
    reader = fed(chunked(b"0\r\nX-A: a\r\n\r\n") + chunked(b"0\r\n\r\n"))
    found = []
    for _ in range(2):
        next_request(reader)
        found.append(reader.trailers())
        assert found[-1] == {}
        assert reader.read_body(1) == b""
    assert found == [{"HTTP_X_A": "a"}, {}]


def test_a_sized_body_has_no_trailers() -> None:
    reader = fed(request(SIZED, line=POST))
    next_request(reader)
    assert reader.trailers() == {}


def test_limits_reject_an_unknown_choice() -> None:
    with pytest.raises(ValueError, match="underscores: 'keep'"):
        Limits(underscores="keep")


def test_without_a_line_limit_the_head_limit_is_left() -> None:
    limits = Limits(header_line=None, header_bytes=20000)
    assert read([request(b"X: " + b"x" * 19000)], limits).status is None
    assert read([request(b"X: " + b"x" * 20000)], limits).status == 431
    assert read([request(b"X: " + b"x" * 19000)]).status == 431


@pytest.mark.parametrize(
    ("endless", "status"),
    [
        (b"GET /" + b"a" * 100_000, 414),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000, 431),
        (b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 1000, 431),
        (request(CODED, line=POST, body=b"5;" + b"a" * 100_000), 400),
        (request(CODED, line=POST, body=b"0\r\nX: " + b"a" * 100_000), 431),
        (request(CODED, line=POST, body=b"0\r\n" + b"X: a\r\n" * 1000), 431),
    ],
)
def test_an_endless_line_or_head_is_refused_before_it_fills_memory(
    endless: bytes, status: int
) -> None:
    most = 0

    def drip(reader: RequestReader) -> None:
        nonlocal most
        for at in range(0, len(endless), 100):
            reader.feed(endless[at : at + 100])
            drain(reader)
            most = max(most, reader.buffered)

    with pytest.raises(ProtocolError) as caught:
        drip(fed())
    assert caught.value.status == status
    assert most <= 16384 + 100


@pytest.mark.parametrize(
    ("limits", "begun", "rest", "status"),
    [
        (Limits(request_line=40), b"", 42, 414),
        (Limits(header_line=40), b"GET / HTTP/1.1\r\n", 42, 431),
        (Limits(header_bytes=100), b"GET / HTTP/1.1\r\n", 84, 431),
        (Limits(chunk_line=40), chunked(b""), 42, 400),
        (Limits(trailer_bytes=40), chunked(b"0\r\n"), 42, 431),
        (Limits(trailer_bytes=40), chunked(b"0\r\nX: abcdef\r\n"), 31, 431),
    ],
)
def test_a_line_is_refused_with_the_byte_that_leaves_no_room_for_its_end(
    limits: Limits, begun: bytes, rest: int, status: int
) -> None:
    reader = fed(begun + b"x" * (rest - 1), limits=limits)
    drain(reader)
    reader.feed(b"x")
    with pytest.raises(ProtocolError) as caught:
        drain(reader)
    assert caught.value.status == status


def test_consumed_bytes_of_a_long_buffer_are_given_back() -> None:
    # One piece at a time is taken out while more comes in: the buffer must not grow.
    buffer = ReceiveBuffer()
    for _ in range(3):
        buffer.feed(b"x" * 65536)
    for _ in range(20):
        for _ in range(64):
            assert buffer.take(1024) == b"x" * 1024
        buffer.feed(b"x" * 65536)
        assert len(buffer) == 3 * 65536
        assert sys.getsizeof(buffer.unread) < 6 * 65536


def test_an_idle_reader_is_small() -> None:
    reader = fed(request()[:10], request()[10:])
    next_request(reader)
    assert reader.idle
    assert not reader.buffer.unread
    assert sys.getsizeof(reader) < 200


@pytest.mark.parametrize(
    "line",
    [
        b"X:" + b" " * 60_000 + b"\0",
        b"X: " + b"a " * 30_000 + b"\0",
        b"X: a" + b" \t" * 30_000 + b"\0",
        b"X" * 60_000 + b"\0",
        b"Host: " + b"a" * 60_000 + b"\0",
        b"Host: " + b"%61" * 20_000 + b"!:x",
        b"Host: [" + b"1:" * 30_000 + b"]",
        b"Connection: " + b"," * 60_000,
        b"Transfer-Encoding: " + b"a," * 30_000,
        b"Content-Length: " + b"1" * 60_000,
    ],
)
def test_no_line_costs_more_than_linear_time(line: bytes) -> None:
    # Quadratic work on 60,000 bytes is seconds; linear work is a few milliseconds.
    limits = Limits(header_line=None, header_bytes=65536 * 2)
    started = time.process_time()
    read([request(line)], limits)
    assert time.process_time() - started < 1


def test_single_bytes_cost_linear_time() -> None:
    limits = Limits(header_line=None, header_bytes=1 << 20)
    data = request(b"X: " + b"x" * 200_000)
    started = time.process_time()
    outcome = read([data[at : at + 1] for at in range(len(data))], limits)
    assert outcome.status is None
    assert time.process_time() - started < 5


def test_ten_thousand_pipelined_requests_cost_linear_time() -> None:
    started = time.process_time()
    outcome = read([request() * 10_000])
    assert len(outcome.messages) == 10_000
    assert time.process_time() - started < 5


def test_one_byte_chunks_cost_linear_time() -> None:
    started = time.process_time()
    outcome = read([chunked(b"1\r\nx\r\n" * 50_000 + b"0\r\n\r\n")])
    assert len(outcome.messages[0].body) == 50_000
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "Cookie",
        "Proxy-Authorization",
        "X-Auth-Token",
        "x-service-token",
        "X-Storage-Token",
        "X-Subject-Token",
        "X-Amz-Security-Token",
        "X-Api-Key",
        "X-Password",
        "X-Object-Meta-Secret",
        "X-Signature",
        "X-Session-Id",
        "X_Auth_Token",
        "X_A",
        "Proxy",
    ],
)
def test_a_field_that_may_hold_a_secret_is_known_by_its_name(name: str) -> None:
    names = FieldNames("drop")
    assert names["X-Control"] == "HTTP_X_CONTROL"
    assert names.secrets == {DROPPED}
    assert names[name] in names.secrets
    assert names.get(name) == names.find(name)


@pytest.mark.parametrize(
    "name",
    [
        "Forwarded",
        "FORWARDED",
        "x-forwarded-for",
        "X-Forwarded-Client-Cert",
        "X-Real-IP",
    ],
)
def test_a_field_that_speaks_of_forwarding_is_known_by_its_name(name: str) -> None:
    names = FieldNames("drop")
    assert names["X-Control"] == "HTTP_X_CONTROL"
    assert names.forwarding == set()
    assert names.forwarding == {names[name]}


@pytest.mark.parametrize(
    "name", ["", "X A", "X\xe9", "X:", "X_A", "x" * (KNOWN_NAME + 1)]
)
def test_a_name_that_must_be_looked_at_every_time_is_not_kept(name: str) -> None:
    names = FieldNames("refuse")
    with pytest.raises(KeyError):
        names[name]
    assert names == {}
    assert names["x" * KNOWN_NAME] == "HTTP_" + "X" * KNOWN_NAME


def test_lines_of_fields_that_say_the_same_again_are_kept() -> None:
    heads = RequestHeads(Limits())
    long = b"User-Agent: " + b"x" * KNOWN_LINE
    data = request(b"User-Agent: a", b"X-Auth-Token: a", b"X-A: b", b"Cookie: c")
    assert read_with(heads, [data]) == read_with(heads, [data])
    assert read_with(heads, [request(long)]).status is None
    assert set(heads.names.lines) == {"Host: a.example", "User-Agent: a"}


def test_names_and_lines_start_over_when_there_are_too_many() -> None:
    heads = RequestHeads(Limits())
    steady = b"X-Forwarded-Proto: https"
    most = 0
    for number in range(3 * KNOWN_NAMES):
        data = request(b"X-Forwarded-%d: a" % number, b"Accept: %d" % number, steady)
        (message,) = read_with(heads, [data]).messages
        # Whoever is remembered, and whoever was pushed out: all are found.
        assert message.head["forwarding"] == {
            "HTTP_X_FORWARDED_PROTO",
            f"HTTP_X_FORWARDED_{number}",
        }
        assert len(heads.names.lines) <= KNOWN_LINES
        most = max(most, len(heads.names))
    assert KNOWN_NAMES < most <= KNOWN_NAMES + 100
    assert len(heads.names.forwarding) <= len(heads.names)


def test_a_head_with_a_long_name_says_where_it_comes_from_too() -> None:
    name = b"X-Forwarded-" + b"x" * KNOWN_NAME
    heads = RequestHeads(Limits())
    (message,) = read_with(heads, [request(name + b": a")]).messages
    assert message.head["forwarding"] == {
        "HTTP_" + name.decode().upper().replace("-", "_")
    }
    assert name.decode() not in heads.names


def test_a_remembered_line_obeys_the_limits_of_its_reader() -> None:
    data = request(b"X-Number: 123456")
    assert read([data]).status is None
    assert read([data], Limits(header_line=15)).status == 431
    assert read([data], Limits(header_line=16)).status is None
    assert read([request(b"X_A: a")]).status is None
    assert read([request(b"X_A: a")], Limits(underscores="refuse")).status == 400


def test_the_core_knows_no_socket_clock_thread_or_option() -> None:
    # The parent package is replaced by an empty one: only the core's own imports count.
    script = (
        "import sys, types\n"
        "from pathlib import Path\n"
        "parent = types.ModuleType('wsgi_server')\n"
        "parent.__path__ = [sys.argv[1]]\n"
        "sys.modules['wsgi_server'] = parent\n"
        "import wsgi_server._http11\n"
        "print(*sorted(sys.modules))\n"
    )
    package = str(package_of_the_core.__file__).rpartition("/_http11/")[0]
    found = subprocess.run(
        [sys.executable, "-I", "-c", script, package],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.split()
    assert "wsgi_server._http11.reader" in found
    foreign = {"socket", "select", "selectors", "logging", "threading", "eventlet"}
    assert foreign.isdisjoint(found)
    assert not [name for name in found if name.startswith("oslo")]


def heads_of(heads: RequestHeads, *parts: bytes) -> list[Request]:
    """The requests that a reader makes of parts of which each is read to its end."""
    reader = RequestReader(heads)
    found = []
    for part in parts:
        request = reader.read_head(part)
        assert request is not None
        while reader.in_body:
            reader.read_body(MUCH)
        found.append(request)
    return found


def test_a_head_that_comes_again_is_the_same_request() -> None:
    heads = RequestHeads(Limits())
    data = request(b"X-A: a", line=b"GET /case HTTP/1.1")
    _, first, second, third = heads_of(heads, *[data] * 4)
    assert first is second is third
    assert second.familiar
    assert second.headers == {"HTTP_HOST": "a.example", "HTTP_X_A": "a"}
    # And for every reader with these limits, but for no other.
    assert heads_of(heads, data) == [first]
    assert heads_of(RequestHeads(Limits()), data) != [first]


@pytest.mark.parametrize(
    "framed",
    [
        request(b"Content-Length: 5", line=b"PUT /case HTTP/1.1", body=b"hello"),
        request(
            b"Transfer-Encoding: chunked",
            line=b"PUT /case HTTP/1.1",
            body=b"5\r\nhello\r\n0\r\nX-T: a\r\n\r\n",
        ),
    ],
)
def test_a_known_head_has_its_body_every_time(framed: bytes) -> None:
    plain = request(line=b"GET /case HTTP/1.1")
    heads = RequestHeads(Limits())
    outcomes = [read_with(heads, [framed, plain, framed]) for _ in range(3)]
    assert [message.body for message in outcomes[0].messages] == [
        b"hello",
        b"",
        b"hello",
    ]
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert len(heads.known) == 2


@pytest.mark.parametrize(
    ("line", "field"),
    [
        (b"GET /case?signature=x HTTP/1.1", b"X-A: a"),
        (b"GET /case HTTP/1.1", b"X-Auth-Token: x"),
        (b"GET /case HTTP/1.1", b"Cookie: a=b"),
        (b"GET /case HTTP/1.1", b"X_A: a"),
    ],
)
def test_a_head_with_a_secret_or_a_dropped_field_is_never_kept(
    line: bytes, field: bytes
) -> None:
    heads = RequestHeads(Limits())
    heads_of(heads, *[request(field, line=line)] * 3)
    assert heads.known == {}
    heads_of(heads, *[request(b"X-A: a", line=b"GET /case HTTP/1.1")] * 3)
    assert len(heads.known) == 1


def test_a_longer_head_is_never_kept() -> None:
    fields = [b"X-%d: %s" % (number, b"x" * 190) for number in range(5)]
    room = KNOWN_HEAD - len(request(*fields))
    longest = request(*fields[:-1], fields[-1] + b"x" * room)
    assert len(longest) == KNOWN_HEAD
    heads = RequestHeads(Limits())
    heads_of(heads, *[longest.replace(b"X-0: ", b"X-0:  ")] * 3)
    assert heads.known == {}
    heads_of(heads, *[longest] * 3)
    assert set(heads.known) == {longest}


def test_heads_start_over_when_there_are_too_many() -> None:
    heads = RequestHeads(Limits())
    for number in range(KNOWN_HEADS + 1):
        data = request(line=b"GET /%d HTTP/1.1" % number)
        heads_of(heads, data, data)
        assert len(heads.known) == number % KNOWN_HEADS + 1


@pytest.mark.parametrize(
    "before",
    [
        b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n",
        request()[:-1],
        b"\r\n",
        b"bad\r\n\r\n",
    ],
)
def test_only_a_reader_between_two_requests_knows_one_again(before: bytes) -> None:
    heads = RequestHeads(Limits())
    data = request(line=b"GET /case HTTP/1.1")
    known = heads_of(heads, data, data)[1]
    assert known.familiar
    reader = RequestReader(heads)
    with contextlib.suppress(ProtocolError):
        reader.read_head(before)
    with contextlib.suppress(ProtocolError, RuntimeError):
        assert reader.read_head(data) is not known
    assert RequestReader(heads).read_head(data) is known


def test_a_head_whose_body_comes_later_is_read_once() -> None:
    heads = RequestHeads(Limits())
    reader = RequestReader(heads)
    found = reader.read_head(request(SIZED, line=POST))
    assert found is not None
    assert not reader.buffer.unread
    assert reader.read_body(MUCH) is None
    reader.feed(b"hello" + request())
    assert reader.read_body(MUCH) == b"hello"
    assert next_request(reader).method == "GET"


def test_of_heads_that_come_once_only_a_number_is_kept() -> None:
    heads = RequestHeads(Limits())
    for number in range(SEEN_ONCE + 1):
        heads_of(heads, request(line=b"GET /%d HTTP/1.1" % number))
    assert heads.known == {}
    # The first was forgotten, the last was not.
    for number, kept in ((0, False), (SEEN_ONCE, True)):
        found = heads_of(heads, request(line=b"GET /%d HTTP/1.1" % number))
        assert found[0].familiar == kept


def test_a_whole_body_is_taken_or_not_at_all() -> None:
    reader = fed(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhell")
    next_request(reader)
    assert reader.read_whole_body() is None
    assert reader.buffered == 4
    reader.feed(b"oGET")
    assert reader.read_whole_body() == b"hello"
    assert not reader.in_body
    assert reader.buffered == 3
    assert reader.read_head() is None
    chunked_one = fed(
        b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    )
    next_request(chunked_one)
    assert chunked_one.read_whole_body() is None
    assert chunked_one.in_body
