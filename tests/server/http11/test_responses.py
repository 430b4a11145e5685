"""Responses to bytes: what is refused, how a body is framed, and that clients agree."""

from __future__ import annotations

import http.client
import io
from typing import Any

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsgi_server._http11 import (
    CONTINUE,
    LAST_CHUNK,
    Head,
    Request,
    ResponseError,
    ResponseHeads,
    early_hints,
    encode_chunk,
    error_response,
)
from wsgi_server._http11.response import CACHE_SIZE, CACHED_HEAD

DATE = b"Sun, 06 Nov 1994 08:49:37 GMT"
TEXT = ("Content-Type", "text/plain")


def make_heads() -> ResponseHeads:
    heads = ResponseHeads("s")
    heads.set_date(DATE)
    return heads


def head(
    status: Any = "200 OK",
    *headers: Any,
    http11: bool = True,
    head_request: bool = False,
    keep_alive: bool = True,
    body_length: int | None = None,
    heads: ResponseHeads | None = None,
) -> Head:
    heads = heads or make_heads()
    request = Request()
    request.method, request.http11 = "HEAD" if head_request else "GET", http11
    declaration = heads.declarations[status, headers]
    return heads.head(request, declaration, body_length, keep_alive)


def framing(found: Head) -> tuple[int | None, bool, bool, bool]:
    """What a head says about its body and its connection."""
    return found.content_length, found.chunked, found.has_body, found.keep_alive


def lines(found: Head) -> list[bytes]:
    """The lines that are not on every response."""
    text, end, rest = found.data.partition(b"\r\n\r\n")
    assert end
    assert not rest
    every = text.split(b"\r\n")
    every.remove(b"Date: " + DATE)
    every.remove(b"Server: s")
    return every


@pytest.mark.parametrize(
    ("status", "control"),
    [
        ("200", "200 "),
        ("20 OK", "200 OK"),
        ("2000 OK", "200 0 OK"),
        (" 200 OK", "200 OK"),
        ("abc OK", "299 OK"),
        ("100 Continue", "200 Continue"),
        ("101 Switching Protocols", "501 Switching Protocols"),
        ("600 Beyond", "599 Beyond"),
        ("\u0662\u0660\u0660 OK", "200 OK"),
        ("200 O\rK", "200 O K"),
        ("200 O\nK", "200 O\tK"),
        ("200 OK\r\n", "200 OK"),
        ("200 OK\r\nX: y", "200 OK X: y"),
        ("200 O\0K", "200 OK"),
        ("200 \u20ac", "200 \xa4"),
        ("", "200 OK"),
        (b"200 OK", "200 OK"),
        (200, "200 OK"),
        (None, "200 OK"),
    ],
)
def test_a_status_line_that_is_none_is_refused(status: Any, control: str) -> None:
    with pytest.raises(ResponseError, match="status"):
        head(status)
    assert lines(head(control))[0] == f"HTTP/1.1 {control}".encode("latin-1")


@pytest.mark.parametrize(
    ("header", "control"),
    [
        # RFC 9110 5.1: a field name is a token.
        (("", "a"), ("X", "a")),
        (("X A", "a"), ("X-A", "a")),
        (("X:", "a"), ("X", "a")),
        (("X\r\nY", "a"), ("X-Y", "a")),
        (("X\0", "a"), ("X", "a")),
        (("\xe9", "a"), ("e", "a")),
        ((b"X", "a"), ("X", "a")),
        ((None, "a"), ("None", "a")),
        # RFC 9110 5.5: CR, LF, NUL and other controls in a value.
        (("X", "a\rb"), ("X", "a b")),
        (("X", "a\nb"), ("X", "a\tb")),
        (("X", "a\r\nSet-Cookie: b"), ("X", "aSet-Cookie: b")),
        (("X", "a\n"), ("X", "a")),
        (("X", "\0"), ("X", "0")),
        (("X", "\x7f"), ("X", "\x80")),
        (("X", "\u0100"), ("X", "\u00ff")),
        (("X", b"a"), ("X", "a")),
        (("X", 1), ("X", "1")),
        (("X", None), ("X", "")),
        (("X", ["a"]), ("X", "a")),
        # PEP 3333: hop-by-hop fields belong to the server (RFC 9110 7.6.1).
        (("Connection", "close"), ("Connections", "close")),
        (("connection", "keep-alive"), ("X-Connection", "keep-alive")),
        (("Keep-Alive", "a"), ("X-Keep-Alive", "a")),
        (("Proxy-Authenticate", "a"), ("WWW-Authenticate", "a")),
        (("Proxy-Authorization", "a"), ("Proxy-Status", "a")),
        (("Proxy-Connection", "a"), ("Proxy-Status", "a")),
        (("TE", "trailers"), ("TEA", "trailers")),
        (("Trailer", "a"), ("Trailers", "a")),
        (("TRANSFER-ENCODING", "chunked"), ("Content-Encoding", "chunked")),
        (("Upgrade", "a"), ("Upgrade-Insecure-Requests", "a")),
        # RFC 9110 8.6
        (("Content-Length", ""), ("Content-Length", "0")),
        (("Content-Length", "+5"), ("Content-Length", "5")),
        (("Content-Length", "-5"), ("Content-Length", "5")),
        (("Content-Length", "5,5"), ("Content-Length", "5")),
        (("Content-Length", "5 5"), ("Content-Length", "55")),
        (("Content-Length", "\xb2"), ("Content-Length", "2")),
        (("Content-Length", "5\xa0"), ("Content-Length", "5 ")),
        (("Content-Length", "1" * 20), ("Content-Length", "1" * 19)),
        # PEP 3333: a list of (name, value) tuples.
        (("X", "a", "b"), ("X", "ab")),
        (("X",), ("X", "")),
        (["X", "a"], ("X", "a")),
        ("Xa", ("X", "a")),
        (None, ("X", "a")),
    ],
)
def test_a_header_that_must_not_be_sent_is_refused(
    header: Any, control: tuple[str, str]
) -> None:
    # TypeError: what cannot be a key of a dictionary.
    with pytest.raises((ResponseError, TypeError)):
        head("200 OK", TEXT, header)
    name, value = control
    sent = f"{name}: {value.strip(' ')}".encode("latin-1")
    assert sent in lines(head("200 OK", TEXT, control))


def test_two_content_lengths_are_refused() -> None:
    with pytest.raises(ResponseError, match="twice"):
        head("200 OK", ("Content-Length", "5"), ("content-length", "5"))
    assert head("200 OK", ("Content-Length", "5")).content_length == 5


def test_the_error_names_the_header_and_shows_little_of_it() -> None:
    with pytest.raises(ResponseError, match="header X-A: the value") as caught:
        head("200 OK", ("X-A", "\n" * 10000))
    assert caught.value.detail == str(caught.value)
    assert len(caught.value.detail) < 200
    with pytest.raises(ResponseError) as caught:
        head("200 OK", ("\n" * 10000, ""))
    assert len(caught.value.detail) < 200


def test_white_space_around_a_value_is_not_sent() -> None:
    assert b"X: a b\xa0" in lines(head("200 OK", ("X", " \ta b\xa0\t ")))


@pytest.mark.parametrize(
    ("arguments", "sent", "expected"),
    [
        ({}, [b"Transfer-Encoding: chunked"], (None, True, True, True)),
        ({"body_length": 5}, [b"Content-Length: 5"], (5, False, True, True)),
        ({"body_length": 0}, [b"Content-Length: 0"], (0, False, True, True)),
        ({"http11": False}, [b"Connection: close"], (None, False, True, False)),
        (
            {"http11": False, "body_length": 5},
            [b"Content-Length: 5", b"Connection: keep-alive"],
            (5, False, True, True),
        ),
        (
            {"keep_alive": False},
            [b"Transfer-Encoding: chunked", b"Connection: close"],
            (None, True, True, False),
        ),
        (
            {"keep_alive": False, "http11": False, "body_length": 5},
            [b"Content-Length: 5", b"Connection: close"],
            (5, False, True, False),
        ),
        # RFC 9110 8.6: what GET would have sent, or nothing.
        ({"head_request": True}, [], (None, False, False, True)),
        ({"head_request": True, "body_length": 0}, [], (None, False, False, True)),
        (
            {"head_request": True, "body_length": 5},
            [b"Content-Length: 5"],
            (None, False, False, True),
        ),
        (
            {"head_request": True, "http11": False},
            [b"Connection: keep-alive"],
            (None, False, False, True),
        ),
        # RFC 9110 15.3.5, 15.3.6, 15.4.5
        ({"status": "204 None"}, [], (None, False, False, True)),
        ({"status": "204 None", "body_length": 5}, [], (None, False, False, True)),
        (
            {"status": "204 None", "http11": False},
            [b"Connection: keep-alive"],
            (None, False, False, True),
        ),
        ({"status": "304 Same"}, [], (None, False, False, True)),
        ({"status": "304 Same", "body_length": 5}, [], (None, False, False, True)),
        ({"status": "205 Reset"}, [b"Content-Length: 0"], (None, False, False, True)),
        (
            {"status": "205 Reset", "body_length": 5},
            [b"Content-Length: 0"],
            (None, False, False, True),
        ),
    ],
)
def test_framing_without_content_length(
    arguments: dict[str, Any], sent: list[bytes], expected: tuple[Any, ...]
) -> None:
    found = head(**arguments)
    assert lines(found)[1:] == sent
    assert framing(found) == expected


@pytest.mark.parametrize(
    ("status", "sent", "expected"),
    [
        ("200 OK", [b"Content-Length: 7"], (7, False, True, True)),
        ("204 None", [], (None, False, False, True)),
        ("205 Reset", [b"Content-Length: 0"], (None, False, False, True)),
        ("304 Same", [b"Content-Length: 7"], (None, False, False, True)),
    ],
)
@pytest.mark.parametrize("body_length", [None, 7, 9])
def test_framing_with_content_length(
    status: str, sent: list[bytes], expected: tuple[Any, ...], body_length: int | None
) -> None:
    found = head(status, ("Content-Length", " 7 "), body_length=body_length)
    assert lines(found)[1:] == sent
    assert framing(found) == expected


def test_date_and_server_are_added_unless_given() -> None:
    found = head("200 OK", ("date", "d"), ("SERVER", "x"), body_length=0)
    assert found.data == (
        b"HTTP/1.1 200 OK\r\ndate: d\r\nSERVER: x\r\nContent-Length: 0\r\n\r\n"
    )
    nameless = ResponseHeads(None)
    nameless.set_date(DATE)
    assert b"Server" not in head(heads=nameless).data
    assert b"Date: " + DATE in head(heads=nameless).data


def test_the_same_response_in_the_same_second_is_the_same_object() -> None:
    heads = make_heads()
    # What comes once is not kept, for nearly all of that comes only once.
    once = head("200 OK", TEXT, heads=heads)
    assert heads.declarations == {}
    first = head("200 OK", TEXT, heads=heads)
    assert first == once
    assert head("200 OK", TEXT, heads=heads) is first
    heads.set_date(b"Sun, 06 Nov 1994 08:49:38 GMT")
    later = head("200 OK", TEXT, heads=heads)
    assert b"08:49:38" in later.data
    assert b"08:49:37" in first.data


def test_every_circumstance_is_part_of_the_key() -> None:
    heads = make_heads()
    changes: list[dict[str, Any]] = [
        {},
        {"http11": False},
        {"head_request": True},
        {"keep_alive": False},
        {"body_length": 0},
        {"body_length": 1},
        {"status": "201 OK"},
    ]
    for _ in range(2):
        for change in changes:
            assert head(heads=heads, **change) == head(**change)


@pytest.mark.parametrize(
    "name", ["Set-Cookie", "X-Subject-Token", "x-auth-token", "Authorization"]
)
def test_a_head_with_a_secret_is_not_kept(name: str) -> None:
    heads = make_heads()
    first = head("200 OK", (name, "x"), heads=heads)
    for _ in range(2):
        assert head("200 OK", (name, "x"), heads=heads) is not first
        assert head("200 OK", (name, "x"), heads=heads) == first
    assert heads.declarations == {}


def test_a_long_head_is_not_kept() -> None:
    heads = make_heads()
    rest = CACHED_HEAD - len("HTTP/1.1 200 OK\r\nX: \r\n")
    for length, kept in ((rest, True), (rest + 1, False)):
        given = "200 OK", ("X", "x" * length)
        _, second, third = (head(*given, heads=heads) for _ in range(3))
        assert (third is second) == kept


def test_the_cache_starts_over_when_it_is_full() -> None:
    heads = make_heads()
    head(heads=heads)
    first = head(body_length=0, heads=heads)
    for length in range(1, CACHE_SIZE):
        head(body_length=length, heads=heads)
    assert head(body_length=0, heads=heads) is first
    head(body_length=CACHE_SIZE, heads=heads)
    assert head(body_length=0, heads=heads) is not first


def test_declarations_start_over_when_there_are_too_many() -> None:
    heads = make_heads()
    for number in range(CACHE_SIZE + 1):
        for _ in range(2):
            assert heads.declarations["200 OK", (("X", str(number)),)].code == "200"
        assert len(heads.declarations) == number % CACHE_SIZE + 1


def test_names_of_fields_are_kept_while_they_are_few_and_short() -> None:
    declarations = make_heads().declarations
    for number in range(3 * CACHE_SIZE):
        given = "200 OK", ((f"X-{number}", "a"), ("x" * 200, "a"))
        assert declarations[given].lines.count("\r\n") == 3
        assert 1 <= len(declarations._names) <= CACHE_SIZE


def test_early_hints_name_the_links() -> None:
    links = [("Link", "</a>; rel=preload"), ("X", "y"), ("link", " </b> ")]
    assert early_hints([("X", "y")]) == early_hints([]) == b""
    assert early_hints(links) == (
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nLink: </b>\r\n\r\n"
    )
    with pytest.raises(ResponseError, match="Link"):
        early_hints([("Link", "</a>\r\nX: y")])


@pytest.mark.parametrize("status", [400, 408, 413, 414, 417, 431, 500, 501, 503])
def test_an_error_is_a_whole_response(status: int) -> None:
    raw = error_response(status, "That is \u20ac wrong.", DATE)
    parsed = parse(raw)
    assert parsed.status == status
    assert parsed.getheader("Connection") == "close"
    assert parsed.getheader("Date") == DATE.decode()
    assert parsed.getheader("Retry-After") == ("1" if status == 503 else None)
    assert parsed.read() == b"That is ? wrong.\n"
    without = error_response(status, "That is \u20ac wrong.", DATE, head_request=True)
    assert raw == without + b"That is ? wrong.\n"


class _Wire:
    """Bytes in the place of a socket, for `http.client`."""

    def __init__(self, data: bytes) -> None:
        self.file = io.BytesIO(data)

    def makefile(self, mode: str) -> io.BytesIO:
        return self.file


def parse(data: bytes, method: str = "GET") -> http.client.HTTPResponse:
    response = http.client.HTTPResponse(_Wire(data), method=method)  # type: ignore[arg-type]
    response.begin()
    return response


names = st.from_regex(r"\AX-[!#$%&'*+.^_`|~0-9A-Za-z-]{0,10}\Z")
values = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"),
    max_size=20,
).map(lambda text: text.strip(" "))
reasons = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=10)


@given(
    code=st.sampled_from([200, 204, 205, 299, 304, 404, 503]),
    reason=reasons,
    headers=st.lists(st.tuples(names, values), max_size=5),
    blocks=st.lists(st.binary(min_size=1, max_size=50), max_size=4),
    head_request=st.booleans(),
    sized=st.booleans(),
)
def test_h11_and_the_standard_library_read_what_we_write(
    code: int,
    reason: str,
    headers: list[tuple[str, str]],
    blocks: list[bytes],
    head_request: bool,
    sized: bool,
) -> None:
    body = b"".join(blocks)
    found = head(
        f"{code} {reason}",
        *headers,
        head_request=head_request,
        body_length=len(body) if sized else None,
    )
    raw = found.data
    if found.chunked:
        raw += b"".join(map(encode_chunk, blocks)) + LAST_CHUNK
    elif found.has_body:
        raw += body
    expected = body if found.has_body else b""
    method = "HEAD" if head_request else "GET"

    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(CONTINUE + raw)
    assert isinstance(client.next_event(), h11.InformationalResponse)
    response = client.next_event()
    assert isinstance(response, h11.Response)
    assert response.status_code == code
    assert list(response.headers)[: len(headers)] == [
        (name.lower().encode(), value.encode("latin-1")) for name, value in headers
    ]
    data = b""
    while isinstance(event := client.next_event(), h11.Data):
        data += bytes(event.data)
    assert isinstance(event, h11.EndOfMessage)
    assert data == expected
    assert client.trailing_data == (b"", False)

    parsed = parse(raw, method)
    assert parsed.status == code
    assert parsed.read() == expected
