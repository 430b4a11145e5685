"""Requests that an HTTP/1.1 server must accept, and how each has to be read.

The counterpart of `http_cases`, used by the same tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from http_cases import CODED, CRLF, ONE, SIZED, chunked, request


@dataclass(frozen=True)
class Accepted:
    """One request and how it has to be read."""

    name: str
    data: bytes
    rule: str
    method: str = "GET"
    path: str = "/case"
    query: str = ""
    body: bytes = b""
    #: By environ name; those named here, and no others but Host.
    headers: Mapping[str, str] = field(default_factory=dict)
    host: str | None = "a.example"
    keep_alive: bool = True
    trailers: Mapping[str, str] = field(default_factory=dict)


ACCEPTED: Final = (
    Accepted("plain", request(), "RFC 9112 3"),
    Accepted("an empty line first", CRLF + request(), "RFC 9112 2.2"),
    Accepted(
        "lower-case method",
        request(line=b"get /case HTTP/1.1"),
        "RFC 9110 9.1",
        method="get",
    ),
    Accepted(
        "unknown method",
        request(line=b"M-SEARCH /case HTTP/1.1"),
        "RFC 9110 9.1",
        method="M-SEARCH",
    ),
    Accepted(
        "HEAD", request(line=b"HEAD /case HTTP/1.1"), "RFC 9110 9.3.2", method="HEAD"
    ),
    Accepted(
        "HTTP/1.0",
        request(line=b"GET /case HTTP/1.0"),
        "RFC 9112 9.3",
        keep_alive=False,
    ),
    Accepted(
        "HTTP/1.0 without Host",
        request(line=b"GET /case HTTP/1.0", host=b""),
        "RFC 9112 3.2",
        host=None,
        keep_alive=False,
    ),
    Accepted(
        "HTTP/1.0 with keep-alive",
        request(b"Connection: Keep-Alive", line=b"GET /case HTTP/1.0"),
        "RFC 9112 9.3",
        headers={"HTTP_CONNECTION": "Keep-Alive"},
    ),
    Accepted(
        "HTTP/1.0 with keep-alive and close",
        request(b"Connection: keep-alive, close", line=b"GET /case HTTP/1.0"),
        "RFC 9112 9.3",
        headers={"HTTP_CONNECTION": "keep-alive, close"},
        keep_alive=False,
    ),
    Accepted(
        "close",
        request(b"Connection: Close"),
        "RFC 9112 9.3",
        headers={"HTTP_CONNECTION": "Close"},
        keep_alive=False,
    ),
    Accepted(
        "close among others",
        request(b"Connection: te ,\tclose ", b"TE: trailers"),
        "RFC 9110 7.6.1",
        headers={"HTTP_CONNECTION": "te ,\tclose", "HTTP_TE": "trailers"},
        keep_alive=False,
    ),
    Accepted(
        "close in a second line",
        request(b"Connection: x-a", b"Connection: close"),
        "RFC 9110 5.3",
        headers={"HTTP_CONNECTION": "x-a,close"},
        keep_alive=False,
    ),
    Accepted(
        "not quite close",
        request(b"Connection: closed"),
        "RFC 9110 7.6.1",
        headers={"HTTP_CONNECTION": "closed"},
    ),
    Accepted(
        "query",
        request(line=b"GET /case?a=%zz&b=?/ HTTP/1.1"),
        "RFC 9112 3.2.1",
        query="a=%zz&b=?/",
    ),
    Accepted(
        "escapes",
        request(line=b"GET /a%20%2Fb%c3%A9+ HTTP/1.1"),
        "PEP 3333",
        path="/a /b\xc3\xa9+",
    ),
    Accepted(
        "escaped question mark",
        request(line=b"GET /a%3Fb HTTP/1.1"),
        "RFC 3986 2.2",
        path="/a?b",
    ),
    Accepted(
        "dots and slashes",
        request(line=b"GET //a/../b/./ HTTP/1.1"),
        "RFC 9112 3.2.1",
        path="//a/../b/./",
    ),
    Accepted(
        "odd but visible",
        request(line=b'GET /<>"{}|\\^` HTTP/1.1'),
        "RFC 9112 3.2",
        path='/<>"{}|\\^`',
    ),
    Accepted(
        "absolute-form replaces Host",
        request(line=b"GET HTTP://b.example:81/case?x HTTP/1.1"),
        "RFC 9112 3.2.2",
        query="x",
        host="b.example:81",
    ),
    Accepted(
        "absolute-form without a path",
        request(line=b"GET https://b.example HTTP/1.1"),
        "RFC 9110 4.2.3",
        path="/",
        host="b.example",
    ),
    Accepted(
        "absolute-form with a query alone",
        request(line=b"GET http://[::1]?x HTTP/1.1"),
        "RFC 9110 4.2.3",
        path="/",
        query="x",
        host="[::1]",
    ),
    Accepted(
        "absolute-form with an empty Host",
        request(line=b"GET http://b/ HTTP/1.1", host=b"Host:"),
        "RFC 9112 3.2.2",
        path="/",
        host="b",
    ),
    Accepted(
        "absolute-form in HTTP/1.0",
        request(line=b"GET http://b/ HTTP/1.0", host=b""),
        "RFC 9112 3.2.2",
        path="/",
        host="b",
        keep_alive=False,
    ),
    Accepted(
        "asterisk-form",
        request(line=b"OPTIONS * HTTP/1.1"),
        "RFC 9112 3.2.4",
        method="OPTIONS",
        path="",
    ),
    Accepted(
        "authority-form",
        request(line=b"CONNECT a.example:443 HTTP/1.1"),
        "RFC 9112 3.2.3",
        method="CONNECT",
        path="",
        keep_alive=False,
    ),
    Accepted(
        "Host with an empty port",
        request(host=b"Host: a.example:"),
        "RFC 3986 3.2.3",
        host="a.example:",
    ),
    Accepted(
        "Host with odd characters",
        request(host=b"host:\ta_b~!$&'()*+;=%2f "),
        "RFC 3986 3.2.2",
        host="a_b~!$&'()*+;=%2f",
    ),
    Accepted(
        "IPv6 with IPv4 tail",
        request(host=b"Host: [::ffff:1.2.3.4]:80"),
        "RFC 3986 3.2.2",
        host="[::ffff:1.2.3.4]:80",
    ),
    Accepted(
        "OWS around a value",
        request(b"X-A: \t a \tb\t "),
        "RFC 9110 5.5",
        headers={"HTTP_X_A": "a \tb"},
    ),
    Accepted(
        "no white space", request(b"X-A:a"), "RFC 9112 5", headers={"HTTP_X_A": "a"}
    ),
    Accepted(
        "colons in a value",
        request(b"X-A: :a:"),
        "RFC 9112 5",
        headers={"HTTP_X_A": ":a:"},
    ),
    Accepted(
        "empty value",
        request(b"X-A:", b"X-B:  "),
        "RFC 9110 5.5",
        headers={"HTTP_X_A": "", "HTTP_X_B": ""},
    ),
    Accepted(
        "latin-1 value",
        request(b"X-A: \xe9\xff\x80"),
        "RFC 9110 5.5",
        headers={"HTTP_X_A": "\xe9\xff\x80"},
    ),
    Accepted(
        "any token for a name",
        request(b"!#$%&'*+.^`|~09aZ: a"),
        "RFC 9110 5.6.2",
        headers={"HTTP_!#$%&'*+.^`|~09AZ": "a"},
    ),
    Accepted(
        "repeated fields",
        request(b"X-A: a", b"x-a:", b"X-a: b, c"),
        "RFC 9110 5.3",
        headers={"HTTP_X_A": "a,,b, c"},
    ),
    Accepted(
        "repeated Cookie",
        request(b"Cookie: a=b", b"Cookie: c=d"),
        "RFC 9113 8.2.3",
        headers={"HTTP_COOKIE": "a=b; c=d"},
    ),
    Accepted(
        "underscores are dropped",
        request(b"X_A: a", b"X_A: b", b"Content_Length: 9", b"X-B: b"),
        "RFC 3875 4.1.18",
        headers={"HTTP_X_B": "b"},
    ),
    Accepted(
        "Proxy is dropped",
        request(b"Proxy: a", b"pROXY: b", b"X-Proxy: b"),
        "RFC 3875 4.1.18",
        headers={"HTTP_X_PROXY": "b"},
    ),
    Accepted(
        "99 fields",
        request(*[b"A: b"] * 99),
        "RFC 9110 5.4",
        headers={"HTTP_A": ",".join("b" * 99)},
    ),
    Accepted(
        "Upgrade",
        request(b"Upgrade: h2c", b"Connection: upgrade"),
        "RFC 9110 7.8",
        headers={"HTTP_UPGRADE": "h2c", "HTTP_CONNECTION": "upgrade"},
    ),
    Accepted(
        "Upgrade with a body",
        request(
            b"Upgrade: websocket", SIZED, line=b"POST /case HTTP/1.1", body=b"hello"
        ),
        "RFC 9110 7.8",
        method="POST",
        headers={"HTTP_UPGRADE": "websocket", "CONTENT_LENGTH": "5"},
        body=b"hello",
    ),
    Accepted(
        "Content-Length and type",
        request(
            SIZED, b"Content-Type: a/b", line=b"POST /case HTTP/1.1", body=b"a\r\n\r\n"
        ),
        "RFC 9112 6.2",
        method="POST",
        headers={"CONTENT_LENGTH": "5", "CONTENT_TYPE": "a/b"},
        body=b"a\r\n\r\n",
    ),
    Accepted(
        "Content-Length of nineteen digits",
        request(b"Content-Length: 0000000000000000005", body=b"hello"),
        "RFC 9110 8.6",
        headers={"CONTENT_LENGTH": "0000000000000000005"},
        body=b"hello",
    ),
    Accepted(
        "Content-Length 0",
        request(b"Content-Length:0"),
        "RFC 9112 6.3",
        headers={"CONTENT_LENGTH": "0"},
    ),
    Accepted(
        "Content-Length in HTTP/1.0",
        request(SIZED, line=b"PUT /case HTTP/1.0", body=b"hello"),
        "RFC 9112 6.2",
        method="PUT",
        headers={"CONTENT_LENGTH": "5"},
        body=b"hello",
        keep_alive=False,
    ),
    Accepted(
        "100-continue",
        request(
            b"Expect: 100-CONTINUE", SIZED, line=b"PUT /case HTTP/1.1", body=b"hello"
        ),
        "RFC 9110 10.1.1",
        method="PUT",
        headers={"HTTP_EXPECT": "100-CONTINUE", "CONTENT_LENGTH": "5"},
        body=b"hello",
    ),
    Accepted(
        "unknown expectation in HTTP/1.0",
        request(b"Expect: x", line=b"GET /case HTTP/1.0"),
        "RFC 9110 10.1.1",
        headers={"HTTP_EXPECT": "x"},
        keep_alive=False,
    ),
    *(
        Accepted(
            f"chunked: {name}",
            chunked(coded),
            rule,
            method="POST",
            headers={"HTTP_TRANSFER_ENCODING": "chunked"},
            body=body,
            trailers=trailers,
        )
        for name, coded, body, trailers, rule in (
            ("one chunk", ONE, b"hello", {}, "RFC 9112 7.1"),
            ("nothing", b"0\r\n\r\n", b"", {}, "RFC 9112 7.1"),
            ("zeros", b"005\r\nhello\r\n000\r\n\r\n", b"hello", {}, "RFC 9112 7.1"),
            (
                "several",
                b"1\r\nh\r\n2\r\nel\r\n2\r\nlo\r\n0\r\n\r\n",
                b"hello",
                {},
                "RFC 9112 7.1",
            ),
            (
                "both cases of digits",
                b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
                b"0123456789" * 2,
                {},
                "RFC 9112 7.1",
            ),
            (
                "CR LF in the data",
                b"4\r\n\r\n\r\n\r\n0\r\n\r\n",
                b"\r\n\r\n",
                {},
                "RFC 9112 7.1",
            ),
            (
                "extensions",
                b'5 ; a ;b=c;\td="e;\\"\xff"\r\nhello\r\n0;z\r\n\r\n',
                b"hello",
                {},
                "RFC 9112 7.1.1",
            ),
            (
                "trailers",
                b"0\r\nX-A: a\r\nX-A: b\r\nX-Sum:c\r\n\r\n",
                b"",
                {"HTTP_X_A": "a,b", "HTTP_X_SUM": "c"},
                "RFC 9112 7.1.2",
            ),
            (
                "trailers that may not be there",
                b"0\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\nHost: b\r\n"
                b"Authorization: x\r\nX-Auth-Token: x\r\nCookie: x\r\nContent-Type: x/y\r\n"
                b"Expect: x\r\nIf-Match: x\r\nX-Forwarded-For: x\r\nForwarded: x\r\n"
                b"X_B: x\r\nConnection: close\r\nX-A: a key\r\n\r\n",
                b"",
                {"HTTP_X_A": "a key"},
                "RFC 9110 6.5.1",
            ),
        )
    ),
    Accepted(
        "chunked in capitals",
        request(b"TRANSFER-ENCODING:CHUNKED", line=b"PUT /case HTTP/1.1", body=ONE),
        "RFC 9112 7",
        method="PUT",
        headers={"HTTP_TRANSFER_ENCODING": "CHUNKED"},
        body=b"hello",
    ),
    Accepted(
        "chunked for GET",
        request(CODED, body=ONE),
        "RFC 9110 9.3.1",
        headers={"HTTP_TRANSFER_ENCODING": "chunked"},
        body=b"hello",
    ),
)
