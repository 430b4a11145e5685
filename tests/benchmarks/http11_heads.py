"""What reading one request and writing one response head costs, beside h11 and httptools.

    python tests/benchmarks/http11_heads.py [ROUNDS]

Rounds of all contestants are interleaved, CPU time is what counts and the median is shown,
so that a busy machine disturbs them alike. httptools is driven as servers do: a Python
callback for every header.
"""

from __future__ import annotations

import statistics
import sys
import time
import timeit
from collections.abc import Callable

import h11
import httptools
from wsgi_server._http11 import (
    Limits,
    Request,
    RequestHeads,
    RequestReader,
    ResponseHeads,
)

CALLS = 2000
BODY = b"x" * 1024
TWO = b"GET /v2/images HTTP/1.1\r\nHost: 127.0.0.1:9292\r\n\r\n"
TEN = (
    b"GET /v2/images HTTP/1.1\r\nHost: 127.0.0.1:9292\r\nUser-Agent: python-glanceclient\r\n"
    b"Accept-Encoding: gzip, deflate\r\nAccept: */*\r\nConnection: keep-alive\r\n"
    b"Content-Type: application/octet-stream\r\nX-Project-Id: 7d1b5ad5f3f14b0f\r\n"
    b"X-Roles: member,reader\r\nX-Identity-Status: Confirmed\r\n"
    b"X-Openstack-Request-Id: req-54ab7a2a\r\n\r\n"
)
POST = (
    b"POST /v2/images HTTP/1.1\r\nHost: 127.0.0.1:9292\r\n"
    b"Content-Type: application/json\r\nContent-Length: 1024\r\n\r\n" + BODY
)
CHUNKED = (
    b"POST /v2/images HTTP/1.1\r\nHost: 127.0.0.1:9292\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n400\r\n" + BODY + b"\r\n0\r\n\r\n"
)
REQUESTS = {
    "2 lines": TWO,
    "11 lines": TEN,
    "1 KiB sized": POST,
    "1 KiB chunked": CHUNKED,
}
#: What an application gives to `start_response`.
DECLARED = (
    "200 OK",
    (("Content-Type", "application/json"), ("Content-Length", "70")),
)
DATE = b"Sun, 06 Nov 1994 08:49:37 GMT"


def ours(data: bytes) -> Callable[[], object]:
    """One reader for all requests, as on a kept connection."""
    reader = RequestReader(RequestHeads(Limits()))

    def read() -> None:
        reader.read_head(data)
        while reader.in_body:
            reader.read_body(65536)

    return read


def ours_unknown(data: bytes) -> Callable[[], object]:
    """The same when no head and no line came before."""
    heads = RequestHeads(Limits())
    reader = RequestReader(heads)

    def read() -> None:
        heads.known.clear()
        heads.names.lines.clear()
        reader.read_head(data)
        while reader.in_body:
            reader.read_body(65536)

    return read


class _Environ:
    """What a server makes of llhttp's callbacks."""

    def on_message_begin(self) -> None:
        self.headers: dict[str, str] = {}
        self.body: list[bytes] = []
        self.complete = False

    def on_url(self, url: bytes) -> None:
        self.url = url

    def on_header(self, name: bytes, value: bytes) -> None:
        key = "HTTP_" + name.decode("latin-1").upper().replace("-", "_")
        self.headers[key] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self.body.append(body)

    def on_message_complete(self) -> None:
        self.complete = True


def by_httptools(data: bytes) -> Callable[[], object]:
    environ = _Environ()
    parser = httptools.HttpRequestParser(environ)
    return lambda: parser.feed_data(data)


def by_h11(data: bytes) -> Callable[[], object]:
    def read() -> None:
        connection = h11.Connection(h11.SERVER)
        connection.receive_data(data)
        while type(connection.next_event()) is not h11.EndOfMessage:
            continue

    return read


def our_heads() -> Callable[[], object]:
    heads, request = response_heads(), asked()
    return lambda: heads.head(request, heads.declarations[DECLARED], 70, True)


def our_new_heads() -> Callable[[], object]:
    heads, request = response_heads(), asked()

    def render() -> None:
        heads.set_date(DATE)
        heads.declarations.clear()
        heads.head(request, heads.declarations[DECLARED], 70, True)

    return render


def response_heads() -> ResponseHeads:
    heads = ResponseHeads()
    heads.set_date(DATE)
    return heads


def asked() -> Request:
    """What the response answers."""
    reader = RequestReader(RequestHeads(Limits()))
    reader.feed(TWO)
    request = reader.read_head()
    assert request is not None
    return request


def measure(contestants: dict[str, Callable[[], object]], rounds: int) -> None:
    """Prints the median microseconds of each, and the ratio to the first."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for call in contestants.values():
        call()
    for _ in range(rounds):
        for name, call in contestants.items():
            times[name].append(
                timeit.timeit(call, timer=time.process_time, number=CALLS) / CALLS * 1e6
            )
    first = statistics.median(next(iter(times.values())))
    for name, found in times.items():
        median = statistics.median(found)
        print(
            f"  {name:22} {median:8.2f} us  best {min(found):7.2f}  x{median / first:.2f}"
        )


def main() -> None:
    """Every request by every reader."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    for name, data in REQUESTS.items():
        print(f"request, {name}:")
        measure(
            {
                "ours": ours(data),
                "ours, a new head": ours_unknown(data),
                "httptools": by_httptools(data),
                "h11": by_h11(data),
            },
            rounds,
        )
    print("response head:")
    measure({"ours": our_heads(), "ours, a new one": our_new_heads()}, rounds)


if __name__ == "__main__":
    main()
