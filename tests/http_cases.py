"""What an HTTP/1.1 server must refuse, as bytes; `http_readings` has what it must accept.

The tables know nothing of our parser. `server/http11` reads them with the sans-I/O core at
every split of the bytes, `server/test_http_live.py` sends them through a socket. Every
refusal carries its control: the same request one step less wrong, which must succeed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

CRLF: Final = b"\r\n"


@dataclass(frozen=True)
class Refused:
    """Bytes that end the connection with `status`; `control` is one request that is read."""

    name: str
    data: bytes
    control: bytes
    #: The sentence that decides, as document and section.
    rule: str
    status: int = 400
    #: The head is read, and with it the application called; what follows is wrong.
    in_body: bool = False


def request(
    *fields: bytes,
    line: bytes = b"GET /case HTTP/1.1",
    host: bytes = b"Host: a.example",
    body: bytes = b"",
) -> bytes:
    """A request with `fields` as they are; `host` comes first unless it is empty."""
    lines = [line, *([host] if host else []), *fields]
    return CRLF.join([*lines, b"", body])


def chunked(body: bytes) -> bytes:
    """A chunked POST with the coded `body` as it is."""
    return request(
        b"Transfer-Encoding: chunked", line=b"POST /case HTTP/1.1", body=body
    )


def _line(name: str, bad: bytes, good: bytes, rule: str = "RFC 9112 3") -> Refused:
    return Refused(name, request(line=bad), request(line=good), rule)


def _target(
    name: str,
    bad: bytes,
    good: bytes,
    rule: str = "RFC 9112 3.2",
    method: bytes = b"GET",
) -> Refused:
    first, last = method + b" ", b" HTTP/1.1"
    return _line(f"target: {name}", first + bad + last, first + good + last, rule)


def _field(
    name: str, bad: bytes, good: bytes, rule: str = "RFC 9112 5", status: int = 400
) -> Refused:
    return Refused(name, request(bad), request(good), rule, status)


def _host(name: str, bad: bytes, good: bytes = b"Host: a.example") -> Refused:
    return Refused(
        f"Host {name}", request(host=bad), request(host=good), "RFC 9112 3.2"
    )


def _framed(
    name: str,
    bad: bytes,
    good: bytes,
    rule: str,
    status: int = 400,
    body: bytes = b"hello",
) -> Refused:
    """Fields that decide how long the body is."""
    line = b"POST /case HTTP/1.1"
    if b"Transfer-Encoding" in good:
        body = b"5\r\nhello\r\n0\r\n\r\n"
    return Refused(
        name,
        request(*bad.split(CRLF), line=line, body=body),
        request(*good.split(CRLF), line=line, body=body),
        rule,
        status,
    )


def _chunks(
    name: str, bad: bytes, good: bytes, rule: str = "RFC 9112 7.1", status: int = 400
) -> Refused:
    return Refused(
        f"chunks: {name}", chunked(bad), chunked(good), rule, status, in_body=True
    )


SIZED: Final = b"Content-Length: 5"
CODED: Final = b"Transfer-Encoding: chunked"
ONE: Final = b"5\r\nhello\r\n0\r\n\r\n"

_REQUEST_LINES: Final = (
    _line("HTTP/1.2", b"GET /case HTTP/1.2", b"GET /case HTTP/1.1", "RFC 9112 2.3"),
    _line("HTTP/2.0", b"GET /case HTTP/2.0", b"GET /case HTTP/1.0", "RFC 9112 2.3"),
    _line("HTTP/0.9", b"GET /case HTTP/0.9", b"GET /case HTTP/1.0", "RFC 9112 2.3"),
    _line("HTTP/1.10", b"GET /case HTTP/1.10", b"GET /case HTTP/1.1", "RFC 9112 2.3"),
    _line("HTTP/01.1", b"GET /case HTTP/01.1", b"GET /case HTTP/1.1", "RFC 9112 2.3"),
    _line("HTTP/11", b"GET /case HTTP/11", b"GET /case HTTP/1.1", "RFC 9112 2.3"),
    _line("http/1.1", b"GET /case http/1.1", b"GET /case HTTP/1.1", "RFC 9112 2.3"),
    _line("HTTPS/1.1", b"GET /case HTTPS/1.1", b"GET /case HTTP/1.1", "RFC 9112 2.3"),
    _line("no version", b"GET /case", b"GET /case HTTP/1.1"),
    _line("no target", b"GET  HTTP/1.1", b"GET / HTTP/1.1"),
    _line("no method", b" /case HTTP/1.1", b"G /case HTTP/1.1"),
    _line("method alone", b"GET", b"GET / HTTP/1.1"),
    _line("space first", b" GET /case HTTP/1.1", b"GET /case HTTP/1.1"),
    _line("space last", b"GET /case HTTP/1.1 ", b"GET /case HTTP/1.1"),
    _line("two spaces before target", b"GET  /case HTTP/1.1", b"GET /case HTTP/1.1"),
    _line("two spaces before version", b"GET /case  HTTP/1.1", b"GET /case HTTP/1.1"),
    _line("tab for space", b"GET\t/case HTTP/1.1", b"GET /case HTTP/1.1"),
    _line("form feed for space", b"GET\x0c/case HTTP/1.1", b"GET /case HTTP/1.1"),
    _line("method no token", b"G(T /case HTTP/1.1", b"G!T /case HTTP/1.1"),
    _line("method with colon", b"GET: /case HTTP/1.1", b"GET /case HTTP/1.1"),
    _line("method not ASCII", b"G\xc9T /case HTTP/1.1", b"GET /case HTTP/1.1"),
    _line("NUL in the method", b"G\0T /case HTTP/1.1", b"GET /case HTTP/1.1"),
    _line("HTTP/2 preface", b"PRI * HTTP/2.0", b"OPTIONS * HTTP/1.1", "RFC 9113 3.4"),
    _line("CR before the end", b"GET /case HTTP/1.1\r", b"GET /case HTTP/1.1"),
    Refused(
        "bare LF behind the request line",
        b"GET /case HTTP/1.1\nHost: a.example\r\n\r\n",
        request(),
        "RFC 9112 2.2",
    ),
    Refused(
        "bare LF everywhere",
        b"GET /case HTTP/1.1\nHost: a.example\n\n",
        request(),
        "RFC 9112 2.2",
    ),
    Refused(
        "bare CR behind the request line",
        b"GET /case HTTP/1.1\rHost: a.example\r\n\r\n",
        request(),
        "RFC 9112 2.2",
    ),
    Refused(
        "two empty lines", b"\r\n\r\n" + request(), CRLF + request(), "RFC 9112 2.2"
    ),
    Refused("bare LF first", b"\n" + request(), CRLF + request(), "RFC 9112 2.2"),
    Refused("bare CR first", b"\r" + request(), CRLF + request(), "RFC 9112 2.2"),
    Refused(
        "white space before the first field",
        b"GET /case HTTP/1.1\r\n Host: a.example\r\n\r\n",
        request(),
        "RFC 9112 2.2",
    ),
    Refused(
        "binary noise", b"\x16\x03\x01\x02\x00\x01\xfc\r\n\r\n", request(), "RFC 9112 3"
    ),
)

_TARGETS: Final = (
    _target("fragment", b"/case#top", b"/case%23top"),
    _target("raw non-ASCII", b"/x\xc3\xa9", b"/x%c3%a9", "RFC 3986 2"),
    _target("DEL", b"/a\x7f", b"/a%7f", "RFC 3986 2"),
    _target("NUL", b"/a\0b", b"/ab", "RFC 3986 2"),
    _target("escaped NUL", b"/a%00b", b"/a%01b", "RFC 3986 7.3"),
    _target("percent alone", b"/a%", b"/a%25", "RFC 3986 2.1"),
    _target("percent with one digit", b"/a%2", b"/a%20", "RFC 3986 2.1"),
    _target("percent with no digits", b"/a%zz", b"/a%aa", "RFC 3986 2.1"),
    _target("percent u", b"/a%u0041", b"/a%41", "RFC 3986 2.1"),
    _target("no slash", b"case", b"/case"),
    _target("query alone", b"?a=b", b"/?a=b"),
    _target("backslash first", b"\\case", b"/case"),
    _target("asterisk for GET", b"*", b"/*", "RFC 9112 3.2.4"),
    _target("asterisk with more", b"*x", b"*", "RFC 9112 3.2.4", b"OPTIONS"),
    _target("authority-form for GET", b"a.example:80", b"/", "RFC 9112 3.2.3"),
    _target("path for CONNECT", b"/", b"a.example:80", "RFC 9112 3.2.3", b"CONNECT"),
    _target("no port", b"a.example", b"a.example:80", "RFC 9112 3.2.3", b"CONNECT"),
    _target("empty port", b"a.example:", b"a.example:1", "RFC 9112 3.2.3", b"CONNECT"),
    _target("port alone", b":80", b"a:80", "RFC 9112 3.2.3", b"CONNECT"),
    _target("user for CONNECT", b"u@a:80", b"a:80", "RFC 9112 3.2.3", b"CONNECT"),
    _target("URI for CONNECT", b"http://a:80", b"a:80", "RFC 9112 3.2.3", b"CONNECT"),
    _target("other scheme", b"ftp://a/", b"http://a/", "RFC 9112 3.2.2"),
    _target("scheme without slashes", b"http:a/", b"http://a/", "RFC 9112 3.2.2"),
    _target("no authority", b"http:///case", b"http://a/case", "RFC 9110 4.2.1"),
    _target("URI with port alone", b"http://:80/", b"http://a:80/", "RFC 9110 4.2.1"),
    _target("URI with user", b"http://u@a/", b"http://a/", "RFC 9110 4.2.4"),
    _target("URI with bad port", b"http://a:b/", b"http://a:1/", "RFC 3986 3.2.3"),
    _target("URI with bad escape", b"http://a/%", b"http://a/%25", "RFC 3986 2.1"),
)

_FIELDS: Final = (
    _field("no colon", b"X-A", b"X-A:"),
    _field("empty name", b": x", b"X: x"),
    _field("space before the colon", b"X-A : x", b"X-A: x", "RFC 9112 5.1"),
    _field("tab before the colon", b"X-A\t: x", b"X-A:\tx", "RFC 9112 5.1"),
    _field("space before the name", b" X-A: x", b"X-A: x", "RFC 9112 5.2"),
    _field("folded with space", b"X-A: x\r\n y", b"X-A: x y", "RFC 9112 5.2"),
    _field("folded with tab", b"X-A: x\r\n\ty", b"X-A: x\ty", "RFC 9112 5.2"),
    _field("empty fold", b"X-A: x\r\n ", b"X-A: x", "RFC 9112 5.2"),
    _field("space in the name", b"X A: x", b"X-A: x", "RFC 9110 5.1"),
    _field("parenthesis in the name", b"X(A): x", b"X-A: x", "RFC 9110 5.1"),
    _field("slash in the name", b"X/A: x", b"X|A: x", "RFC 9110 5.1"),
    _field("quote in the name", b'X"A": x', b"X'A': x", "RFC 9110 5.1"),
    _field("name not ASCII", b"X-\xc9: x", b"X-E: \xc9", "RFC 9110 5.1"),
    _field("NUL in the name", b"X\0A: x", b"XA: x", "RFC 9110 5.1"),
    _field("NUL in the value", b"X-A: a\0b", b"X-A: ab", "RFC 9110 5.5"),
    _field("NUL for a value", b"X-A: \0", b"X-A: ", "RFC 9110 5.5"),
    _field("bell in the value", b"X-A: a\x07b", b"X-A: a\tb", "RFC 9110 5.5"),
    _field("escape in the value", b"X-A: \x1b[1m", b"X-A: [1m", "RFC 9110 5.5"),
    _field("vertical tab first", b"X-A:\x0bx", b"X-A:\tx", "RFC 9110 5.5"),
    _field("form feed last", b"X-A: x\x0c", b"X-A: x\t", "RFC 9110 5.5"),
    _field("DEL in the value", b"X-A: a\x7fb", b"X-A: a\xffb", "RFC 9110 5.5"),
    _field("bare CR in the value", b"X-A: a\rb", b"X-A: a b", "RFC 9112 2.2"),
    _field("bare CR last", b"X-A: a\r", b"X-A: a", "RFC 9112 2.2"),
    _field(
        "bare LF in the value", b"X-A: a\nX-B: b", b"X-A: a\r\nX-B: b", "RFC 9112 2.2"
    ),
    _field("bare LF last", b"X-A: a\n", b"X-A: a", "RFC 9112 2.2"),
    _field("LF CR for CR LF", b"X-A: a\n\rX-B: b", b"X-A: a\r\nX-B: b", "RFC 9112 2.2"),
    Refused(
        "bare LF for the empty line",
        b"GET /case HTTP/1.1\r\nHost: a.example\r\n\n",
        request(),
        "RFC 9112 2.2",
    ),
    _field(
        "Content-Type twice",
        b"Content-Type: a/b\r\nContent-Type: a/c",
        b"Content-Type: a/b",
        "RFC 9110 5.3",
    ),
    _field(
        "unknown expectation",
        b"Expect: 200-ok",
        b"Expect: 100-continue",
        "RFC 9110 10.1.1",
        417,
    ),
    _field(
        "two expectations",
        b"Expect: 100-continue, x",
        b"Expect: 100-Continue",
        "RFC 9110 10.1.1",
        417,
    ),
    _field(
        "expectation twice",
        b"Expect: 100-continue\r\nExpect: 100-continue",
        b"Expect: 100-continue",
        "RFC 9110 10.1.1",
        417,
    ),
    _field(
        "101 fields",
        b"\r\n".join([b"A: b"] * 100),
        b"\r\n".join([b"A: b"] * 99),
        "RFC 9110 5.4",
        431,
    ),
)

_HOSTS: Final = (
    _host("missing", b""),
    _host("empty", b"Host:"),
    _host("blank", b"Host:  "),
    _host("port alone", b"Host: :80", b"Host: a:80"),
    _host("twice", b"Host: a.example\r\nHost: b.example"),
    _host("twice the same", b"Host: a.example\r\nHost: a.example"),
    _host("twice, one empty", b"Host: a.example\r\nHost:"),
    _host("list", b"Host: a.example, b.example", b"Host: a.example,b.example"),
    _host("user", b"Host: u@a.example"),
    _host("path", b"Host: a.example/x"),
    _host("query", b"Host: a.example?x"),
    _host("fragment", b"Host: a.example#x"),
    _host("URI", b"Host: http://a.example"),
    _host("port not a number", b"Host: a.example:http", b"Host: a.example:80"),
    _host("port too long", b"Host: a.example:123456", b"Host: a.example:12345"),
    _host("two ports", b"Host: a.example:80:80", b"Host: a.example:80"),
    _host("space", b"Host: a example"),
    _host("not ASCII", b"Host: x\xe9.example", b"Host: x%e9.example"),
    _host("bad escape", b"Host: a%zz", b"Host: a%aa"),
    _host("bracket open", b"Host: [::1", b"Host: [::1]"),
    _host("IPv6 without brackets", b"Host: ::1", b"Host: [::1]"),
    _host("IPv6 too long", b"Host: [1:2:3:4:5:6:7:8:9]", b"Host: [1:2:3:4:5:6:7:8]"),
    _host("IPv6 too short", b"Host: [1:2:3]", b"Host: [1:2::3]"),
    _host("IPv6 with two gaps", b"Host: [1::2::3]", b"Host: [1::2:3]"),
    _host("IPv6 with a zone", b"Host: [fe80::1%25eth0]", b"Host: [fe80::1]"),
    _host("IPv6 with a bad tail", b"Host: [::1.2.3.256]", b"Host: [::1.2.3.255]"),
    _host("IPv4 in brackets", b"Host: [1.2.3.4]", b"Host: 1.2.3.4"),
    _host("empty brackets", b"Host: []", b"Host: [::]"),
    _host("future address without a version", b"Host: [v.x]", b"Host: [v1.x]"),
)

_LENGTHS: Final = tuple(
    _framed(f"Content-Length {name}", bad, SIZED, rule)
    for name, bad, rule in (
        ("with plus", b"Content-Length: +5", "RFC 9110 8.6"),
        ("with minus", b"Content-Length: -5", "RFC 9110 8.6"),
        ("hexadecimal", b"Content-Length: 0x5", "RFC 9110 8.6"),
        ("empty", b"Content-Length:", "RFC 9110 8.6"),
        ("blank", b"Content-Length: \t ", "RFC 9110 8.6"),
        ("with a fraction", b"Content-Length: 5.0", "RFC 9110 8.6"),
        ("with an exponent", b"Content-Length: 5e0", "RFC 9110 8.6"),
        ("with an underscore", b"Content-Length: 0_5", "RFC 9110 8.6"),
        ("with a space inside", b"Content-Length: 0 5", "RFC 9110 8.6"),
        ("quoted", b'Content-Length: "5"', "RFC 9110 8.6"),
        ("in superscript", b"Content-Length: \xb2", "RFC 9110 8.6"),
        ("as words", b"Content-Length: five", "RFC 9110 8.6"),
        ("of twenty digits", b"Content-Length: " + b"5".zfill(20), "RFC 9110 8.6"),
        ("as a list", b"Content-Length: 5, 5", "RFC 9112 6.3"),
        ("as a list without space", b"Content-Length: 5,5", "RFC 9112 6.3"),
        ("as an open list", b"Content-Length: 5,", "RFC 9112 6.3"),
        ("twice", b"Content-Length: 5\r\nContent-Length: 6", "RFC 9112 6.3"),
        ("twice the same", b"Content-Length: 5\r\nContent-Length: 5", "RFC 9112 6.3"),
        ("twice, one empty", b"Content-Length: 5\r\nContent-Length:", "RFC 9112 6.3"),
        (
            "twice, apart",
            b"content-length: 5\r\nX-A: b\r\nCONTENT-LENGTH: 5",
            "RFC 9112 6.3",
        ),
    )
)

_CODINGS: Final = (
    *(
        _framed(f"Transfer-Encoding {name}", bad, CODED, rule, status)
        for name, bad, rule, status in (
            ("unknown", b"Transfer-Encoding: gzip", "RFC 9112 6.1", 501),
            ("identity", b"Transfer-Encoding: identity", "RFC 9112 7", 501),
            ("almost chunked", b"Transfer-Encoding: xchunked", "RFC 9112 6.1", 501),
            (
                "chunked with parameter",
                b"Transfer-Encoding: chunked;a=b",
                "RFC 9112 7.1",
                501,
            ),
            ("quoted", b'Transfer-Encoding: "chunked"', "RFC 9112 7", 501),
            ("empty", b"Transfer-Encoding:", "RFC 9112 6.1", 400),
            (
                "behind another",
                b"Transfer-Encoding: gzip, chunked",
                "RFC 9112 6.1",
                400,
            ),
            (
                "before another",
                b"Transfer-Encoding: chunked, gzip",
                "RFC 9112 6.1",
                400,
            ),
            (
                "listed twice",
                b"Transfer-Encoding: chunked, chunked",
                "RFC 9112 6.1",
                400,
            ),
            ("open list", b"Transfer-Encoding: chunked,", "RFC 9112 6.1", 400),
            ("list opened first", b"Transfer-Encoding: ,chunked", "RFC 9112 6.1", 400),
            ("twice", CODED + CRLF + CODED, "RFC 9112 6.1", 400),
            (
                "twice, one unknown",
                CODED + b"\r\nTransfer-Encoding: identity",
                "RFC 9112 6.1",
                400,
            ),
            ("behind a tab", b"Transfer-Encoding:\tchunked", "RFC 9112 6.1", 400),
            ("behind two spaces", b"Transfer-Encoding:  chunked", "RFC 9112 6.1", 400),
            ("before a space", b"Transfer-Encoding: chunked ", "RFC 9112 6.1", 400),
            (
                "before a vertical tab",
                b"Transfer-Encoding: chunked\x0b",
                "RFC 9110 5.5",
                400,
            ),
            (
                "before the colon a space",
                b"Transfer-Encoding : chunked",
                "RFC 9112 5.1",
                400,
            ),
            ("folded", b"Transfer-Encoding:\r\n chunked", "RFC 9112 5.2", 400),
            ("with Content-Length behind", CODED + CRLF + SIZED, "RFC 9112 6.3", 400),
            ("with Content-Length before", SIZED + CRLF + CODED, "RFC 9112 6.3", 400),
            (
                "with Content-Length 0",
                CODED + b"\r\nContent-Length: 0",
                "RFC 9112 6.3",
                400,
            ),
        )
    ),
    Refused(
        "Transfer-Encoding in HTTP/1.0",
        request(CODED, line=b"POST /case HTTP/1.0", body=ONE),
        request(CODED, line=b"POST /case HTTP/1.1", body=ONE),
        "RFC 9112 6.1",
    ),
)

_CHUNKS: Final = (
    _chunks("size empty", b"\r\nhello\r\n0\r\n\r\n", ONE),
    _chunks("size with 0x", b"0x5\r\nhello\r\n0\r\n\r\n", ONE),
    _chunks("size with plus", b"+5\r\nhello\r\n0\r\n\r\n", ONE),
    _chunks("size with minus", b"-5\r\nhello\r\n0\r\n\r\n", ONE),
    _chunks("size with underscore", b"0_5\r\nhello\r\n0\r\n\r\n", ONE),
    _chunks(
        "size no number",
        b"g\r\nhello\r\n0\r\n\r\n",
        b"F\r\nhello, hello!..\r\n0\r\n\r\n",
    ),
    _chunks("size of 17 digits", b"5".zfill(17) + ONE[1:], b"5".zfill(16) + ONE[1:]),
    _chunks("space before the size", b" " + ONE, ONE),
    _chunks("space behind the size", b"5 \r\nhello\r\n0\r\n\r\n", ONE),
    _chunks("tab behind the size", b"5\t\r\nhello\r\n0\r\n\r\n", ONE),
    _chunks("bare LF behind the size", b"5\nhello\r\n0\r\n\r\n", ONE),
    _chunks("bare CR behind the size", b"5\rhello\r\n0\r\n\r\n", ONE),
    _chunks(
        "bare LF in an extension",
        b"5;a\nhello\r\n0\r\n\r\n",
        b"5;a\r\nhello\r\n0\r\n\r\n",
        "RFC 9112 7.1.1",
    ),
    _chunks(
        "bare CR in an extension",
        b"5;a\rb\r\nhello\r\n0\r\n\r\n",
        b"5;a;b\r\nhello\r\n0\r\n\r\n",
        "RFC 9112 7.1.1",
    ),
    _chunks(
        "NUL in an extension",
        b'5;a="\0"\r\nhello\r\n0\r\n\r\n',
        b'5;a="0"\r\nhello\r\n0\r\n\r\n',
        "RFC 9112 7.1.1",
    ),
    _chunks(
        "extension without a name",
        b"5;\r\nhello\r\n0\r\n\r\n",
        b"5;a\r\nhello\r\n0\r\n\r\n",
        "RFC 9112 7.1.1",
    ),
    _chunks(
        "extension without a value",
        b"5;a=\r\nhello\r\n0\r\n\r\n",
        b"5;a=b\r\nhello\r\n0\r\n\r\n",
        "RFC 9112 7.1.1",
    ),
    _chunks(
        "extension with an open quote",
        b'5;a="b\r\nhello\r\n0\r\n\r\n',
        b'5;a="b"\r\nhello\r\n0\r\n\r\n',
        "RFC 9112 7.1.1",
    ),
    _chunks(
        "extension before a space",
        b"5;a \r\nhello\r\n0\r\n\r\n",
        b"5 ; a\r\nhello\r\n0\r\n\r\n",
        "RFC 9112 7.1.1",
    ),
    _chunks(
        "extension without semicolon",
        b"5 a\r\nhello\r\n0\r\n\r\n",
        b"5;a\r\nhello\r\n0\r\n\r\n",
        "RFC 9112 7.1.1",
    ),
    _chunks(
        "size line too long",
        b"5;" + b"a" * 1023 + ONE[1:],
        b"5;" + b"a" * 1022 + ONE[1:],
        "RFC 9112 7.1.1",
    ),
    _chunks("data too long", b"5\r\nhello!\r\n0\r\n\r\n", b"6\r\nhello!\r\n0\r\n\r\n"),
    _chunks("data too short", b"6\r\nhello\r\n0\r\n\r\n", ONE),
    _chunks("no CR LF behind the data", b"5\r\nhello0\r\n\r\n", ONE),
    _chunks("bare LF behind the data", b"5\r\nhello\n0\r\n\r\n", ONE),
    _chunks("bare CR behind the data", b"5\r\nhello\r0\r\n\r\n", ONE),
    _chunks("two CR LF behind the data", b"5\r\nhello\r\n\r\n0\r\n\r\n", ONE),
    _chunks("bare LF behind the last chunk", b"5\r\nhello\r\n0\n\r\n", ONE),
    _chunks("bare LF at the end", b"5\r\nhello\r\n0\r\n\n", ONE),
    _chunks(
        "trailer no field", b"0\r\nX-A\r\n\r\n", b"0\r\nX-A:\r\n\r\n", "RFC 9112 7.1.2"
    ),
    _chunks(
        "trailer folded",
        b"0\r\nX-A: a\r\n b\r\n\r\n",
        b"0\r\nX-A: a b\r\n\r\n",
        "RFC 9112 5.2",
    ),
    _chunks(
        "trailer with bare LF",
        b"0\r\nX-A: a\n\r\n",
        b"0\r\nX-A: a\r\n\r\n",
        "RFC 9112 2.2",
    ),
    _chunks(
        "trailer with NUL",
        b"0\r\nX-A: \0\r\n\r\n",
        b"0\r\nX-A: 0\r\n\r\n",
        "RFC 9110 5.5",
    ),
    _chunks(
        "trailer with space before the colon",
        b"0\r\nX-A : a\r\n\r\n",
        b"0\r\nX-A: a\r\n\r\n",
        "RFC 9112 5.1",
    ),
    _chunks(
        "101 trailer fields",
        b"0\r\n" + b"A: b\r\n" * 101 + CRLF,
        b"0\r\n" + b"A: b\r\n" * 100 + CRLF,
        "RFC 9110 5.4",
        431,
    ),
    _chunks(
        "trailers too long",
        b"0\r\n" + b"A: bcd\r\n" * 2 + b"X-A: " + b"x" * 8170 + b"\r\n\r\n",
        b"0\r\n" + b"A: bcd\r\n" * 2 + b"X-A: " + b"x" * 8169 + b"\r\n\r\n",
        "RFC 9110 5.4",
        431,
    ),
    _chunks(
        "a request for a trailer",
        b"0\r\n" + request(line=b"GET /smuggled HTTP/1.1"),
        b"0\r\n\r\n",
        "RFC 9112 7.1.2",
    ),
)

#: Refused whatever the limits are.
REFUSED: Final = (
    *_REQUEST_LINES,
    *_TARGETS,
    *_FIELDS,
    *_HOSTS,
    *_LENGTHS,
    *_CODINGS,
    *_CHUNKS,
)

#: The limits that the table below is made for, as options of the server; sizes in bytes.
SMALL_LIMITS: Final = {
    "max_request_line": 64,
    "max_header_line": 48,
    "max_headers": 4,
    "max_header_bytes": 180,
    "max_request_body": 10,
    "underscore_headers": "refuse",
}


def _long_head(last: int) -> bytes:
    """141 + `last` bytes, no line of them too long."""
    return request(
        b"A: " + b"a" * 45,
        b"B: " + b"b" * 45,
        b"C: " + b"c" * last,
        line=b"GET /c HTTP/1.1",
    )


#: Refused by a server with `SMALL_LIMITS`.
LIMITED: Final = (
    Refused(
        "request line too long",
        request(line=b"GET /" + b"a" * 51 + b" HTTP/1.1"),
        request(line=b"GET /" + b"a" * 50 + b" HTTP/1.1"),
        "RFC 9110 15.5.15",
        414,
    ),
    Refused(
        "header line too long",
        request(b"X-A: " + b"a" * 44),
        request(b"X-A: " + b"a" * 43),
        "RFC 6585 5",
        431,
    ),
    Refused(
        "too many fields",
        request(b"A: a", b"B: b", b"C: c", b"D: d"),
        request(b"A: a", b"B: b", b"C: c"),
        "RFC 6585 5",
        431,
    ),
    Refused("head too long", _long_head(40), _long_head(39), "RFC 6585 5", 431),
    Refused(
        "head too long behind an empty line",
        CRLF + _long_head(38),
        CRLF + _long_head(37),
        "RFC 6585 5",
        431,
    ),
    Refused(
        "body too long by Content-Length",
        request(b"Content-Length: 11", line=b"PUT /c HTTP/1.1", body=b"0123456789a"),
        request(b"Content-Length: 10", line=b"PUT /c HTTP/1.1", body=b"0123456789"),
        "RFC 9110 15.5.14",
        413,
    ),
    Refused(
        "body too long in one chunk",
        chunked(b"b\r\n0123456789a\r\n0\r\n\r\n"),
        chunked(b"a\r\n0123456789\r\n0\r\n\r\n"),
        "RFC 9110 15.5.14",
        413,
        in_body=True,
    ),
    Refused(
        "body too long in several chunks",
        chunked(ONE[:-5] + ONE[:-5] + b"1\r\n!\r\n0\r\n\r\n"),
        chunked(ONE[:-5] + ONE),
        "RFC 9110 15.5.14",
        413,
        in_body=True,
    ),
    Refused(
        "name with an underscore",
        request(b"X_A: a"),
        request(b"X-A: a"),
        "RFC 3875 4.1.18",
    ),
)
