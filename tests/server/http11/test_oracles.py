"""Judged by others: h11 and httptools read the same tables.

Both are more lenient than we are. What they take and we refuse is listed below by the name
of its case; the case carries the sentence that decides, and the comment here says why we
keep to it. A case that is not listed must be read alike by all three.
"""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase

import h11
import httptools
import pytest
from http_cases import REFUSED, Refused, request
from http_readings import ACCEPTED, Accepted
from hypothesis import given, settings
from server.http11.mutation import mutated
from server.http11.reading import read

#: Method, target and body of every whole request, and whether the oracle refused the rest.
Reading = tuple[list[tuple[str, str, bytes]], bool]
Oracle = Callable[[bytes], Reading]


def by_h11(data: bytes) -> Reading:
    """What h11 reads; every request is answered with 404, so that CONNECT stays HTTP."""
    server = h11.Connection(h11.SERVER)
    found: list[tuple[str, str, bytes]] = []
    method = target = ""
    body = b""
    server.receive_data(data)
    try:
        while True:
            event = server.next_event()
            if event is h11.NEED_DATA or event is h11.PAUSED:
                state: object = server.our_state
                if state is not h11.SEND_RESPONSE:
                    return found, False
                server.send(
                    h11.Response(status_code=404, headers=[("Content-Length", "0")])
                )
                server.send(h11.EndOfMessage())
                if (
                    server.our_state is h11.MUST_CLOSE
                    or server.their_state is not h11.DONE
                ):
                    return found, False
                server.start_next_cycle()
            elif isinstance(event, h11.Request):
                method, target = event.method.decode(), event.target.decode()
                body = b""
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                found.append((method, target, body))
            else:
                return found, False
    except h11.RemoteProtocolError:
        return found, True


class _Calls:
    """Callbacks for httptools."""

    def __init__(self) -> None:
        self.found: list[tuple[str, str, bytes]] = []
        self.parser = httptools.HttpRequestParser(self)
        self._target = self._body = b""

    def on_message_begin(self) -> None:
        self._target = self._body = b""

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        method = self.parser.get_method().decode()
        self.found.append((method, self._target.decode("latin-1"), self._body))


def by_httptools(data: bytes) -> Reading:
    """What httptools reads, which is llhttp."""
    calls = _Calls()
    try:
        calls.parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        return calls.found, False
    except httptools.HttpParserError:
        return calls.found, True
    return calls.found, False


#: Named cases that an oracle takes and we refuse.
TAKEN: dict[Oracle, list[str]] = {
    by_h11: [
        # RFC 9112 2.3: a version is known or it is none; h11 takes any two digits.
        *("HTTP/1.2", "HTTP/2.0", "HTTP/0.9", "HTTP/2 preface"),
        # RFC 9112 3.2 and RFC 3986: h11 leaves the target and Host to the application.
        *("target: *", "Host *"),
        # RFC 9112 2.2 lets a recipient take a bare LF for a line end; who does reads other
        # messages than a proxy that does not.
        *("bare LF *", "chunks: bare LF *", "chunks: trailer with bare LF"),
        # RFC 9112 5.2: a server may refuse obs-fold or replace it; h11 replaces.
        *("folded *", "empty fold", "space before the name"),
        *("Transfer-Encoding folded", "chunks: trailer folded"),
        # RFC 9110 5.5: other controls "may be retained"; nobody needs them, logs suffer.
        *("bell in *", "escape in *", "DEL in *"),
        # RFC 9112 6.3: both framings "ought to be handled as an error".
        *("Transfer-Encoding with *", "Transfer-Encoding in HTTP/1.0"),
        *("Transfer-Encoding be* a *", "Transfer-Encoding behind two *"),
        # RFC 9112 6.3: a list of equal lengths may be taken for one, or refused.
        *("Content-Length as a list*", "Content-Length twice*", "Content-Length of *"),
        # RFC 9112 7.1: neither white space nor rubbish belongs to a chunk's line.
        *("chunks: space behind *", "chunks: tab behind *", "chunks: size *"),
        *("chunks: extension *", "chunks: * in an extension"),
        # RFC 9110 5.3 and 10.1.1: left to the application.
        *("Content-Type twice", "*expectation*"),
        # RFC 9110 5.4: limits are a server's own.
        *("101 fields", "chunks: 101 *", "chunks: trailers too long"),
    ],
    by_httptools: [
        # RFC 9112 2.3: llhttp knows HTTP/0.9 and the version of another protocol.
        *("HTTP/0.9", "HTTP/2.0", "no version"),
        # RFC 9112 3: one SP is what separates; more "may" be taken by who wants to.
        "two spaces *",
        # RFC 9112 2.2: "at least one empty line", and no bare CR or LF in it.
        *("two empty lines", "bare LF first", "bare CR first"),
        *("target: *", "Host *", "Content-Type twice", "*expectation*"),
        *("Transfer-Encoding be* a*", "Transfer-Encoding behind two *"),
        *("Transfer-Encoding in HTTP/1.0", "Transfer-Encoding list opened first"),
        # RFC 9110 8.6: zeros in front; we stop counting digits at nineteen.
        *(
            "Content-Length of twenty *",
            "chunks: size *",
            "chunks: extension without *",
        ),
        *("101 fields", "chunks: 101 *", "chunks: trailers too long"),
    ],
}

#: Named requests that an oracle refuses although they are right.
REFUSED_BY_ORACLE: dict[Oracle, list[str]] = {
    by_h11: [
        # RFC 9112 2.2: a server SHOULD ignore an empty line before a request.
        *("an empty line first", "two empty lines", "bare LF first", "bare CR first"),
        # RFC 9112 7.1.1: a recipient MUST take BWS around ";".
        *("chunked: extensions", "chunks: extension before a space"),
    ],
    by_httptools: [
        *("chunked: extensions", "chunks: extension before a space"),
        # RFC 9112 7.1.2: trailers that mean nothing there are for ignoring.
        "chunked: trailers that may not be there",
        # RFC 9110 9.1: a method is any token.
        *("lower-case method", "no method", "method no token"),
    ],
}

oracles = pytest.mark.parametrize("oracle", [by_h11, by_httptools])


def listed(table: dict[Oracle, list[str]], oracle: Oracle, name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in table[oracle])


@oracles
@pytest.mark.parametrize("case", REFUSED, ids=lambda case: f"{case.name} ({case.rule})")
def test_what_we_refuse_is_refused_unless_listed(oracle: Oracle, case: Refused) -> None:
    _, refused = oracle(case.data)
    assert refused or listed(TAKEN, oracle, case.name)


@oracles
@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_a_control_is_read_alike_unless_listed(oracle: Oracle, case: Refused) -> None:
    if not listed(REFUSED_BY_ORACLE, oracle, case.name):
        assert oracle(case.control) == (ours(case.control), False)


@oracles
@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case.name)
def test_what_we_accept_is_read_alike_unless_listed(
    oracle: Oracle, case: Accepted
) -> None:
    if not listed(REFUSED_BY_ORACLE, oracle, case.name):
        assert oracle(case.data) == (ours(case.data), False)


@oracles
def test_a_body_behind_an_upgrade_belongs_to_the_request(oracle: Oracle) -> None:
    # RFC 9110 7.8: a server may ignore Upgrade. llhttp takes the connection for upgraded
    # where Connection names it, and never gives the body out.
    data = request(
        *(b"Connection: upgrade", b"Upgrade: h2c", b"Content-Length: 5"),
        line=b"POST /case HTTP/1.1",
        body=b"hello",
    )
    assert ours(data) == [("POST", "/case", b"hello")]
    lost = [("POST", "/case", b"")]
    assert oracle(data) == (lost if oracle is by_httptools else ours(data), False)


def ours(data: bytes) -> list[tuple[str, str, bytes]]:
    """The whole requests as we read them."""
    return [
        (message.head["method"], message.head["target"], message.body)
        for message in read([data]).messages
        if message.ended
    ]


@settings(max_examples=500, deadline=None)
@given(mutated())
def test_no_two_readers_tell_different_requests(raw: bytes) -> None:
    # One may stop where another goes on; what both call a whole request is the same.
    mine = ours(raw)
    for oracle in (by_h11, by_httptools):
        for own, other in zip(mine, oracle(raw)[0], strict=False):
            assert own == other
