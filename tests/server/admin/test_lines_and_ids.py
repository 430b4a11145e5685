"""JSON access lines whatever a client sends; ids that cannot be forged; traces."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsgi_server._http11 import Request
from wsgi_server._logs.json_line import FIELDS, JsonLines
from wsgi_server._wsgi.request_id import RequestIds, is_traceparent

ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{ID}-00f067aa0ba902b7-01"


def request(**changes: Any) -> Request:
    made = Request()
    made.method, made.target, made.path, made.query = "GET", "/a?b", "/a", "b"
    made.http11 = True
    made.headers = {"HTTP_HOST": "x.example"}
    for name, value in changes.items():
        setattr(made, name, value)
    return made


@dataclass
class Finished:
    """A request that was answered."""

    request: Request = field(default_factory=request)
    environ: dict[str, Any] = field(default_factory=dict)
    status: str | None = "200 OK"
    headers: list[tuple[str, str]] | None = field(default_factory=list)
    sent: int = 5
    seconds: float = 0.25


# What the reader lets through: latin-1 text.
TEXT = st.text(st.characters(max_codepoint=255))


@given(
    path=TEXT,
    host=TEXT,
    agent=TEXT,
    environ=st.dictionaries(
        st.sampled_from(
            [
                *("REMOTE_ADDR", "REMOTE_PORT", "wsgi.url_scheme"),
                *("wsgi_server.request_id", "wsgi_server.route"),
                *("openstack.request_id", "wsgi_server.traceparent"),
            ]
        ),
        st.one_of(st.text(), st.none(), st.integers(), st.binary()),
    ),
    status=st.one_of(st.none(), st.text(max_size=8)),
)
def test_a_line_is_one_line_that_can_be_parsed(
    path: str, host: str, agent: str, environ: dict[str, Any], status: str | None
) -> None:
    environ = {
        key: value
        for key, value in environ.items()
        # Of the server's own making, and checked by it.
        if key != "wsgi_server.traceparent"
    }
    headers = {"HTTP_HOST": host, "HTTP_USER_AGENT": agent}
    finished = Finished(request(path=path, headers=headers), environ, status)
    line = JsonLines({}).line(finished)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    found = json.loads(line)
    assert set(found) <= {"timestamp", "process.pid", *FIELDS}
    assert None not in found.values()
    assert all(type(value) in (str, int, float) for value in found.values())


def test_what_is_known_is_there_with_its_type() -> None:
    headers = {
        "HTTP_HOST": "x.example",
        "HTTP_USER_AGENT": "curl/8",
        "CONTENT_LENGTH": "12",
    }
    environ = {
        "REMOTE_ADDR": "192.0.2.7",
        "REMOTE_PORT": "4711",
        "wsgi.url_scheme": "https",
        "wsgi_server.request_id": "abc",
        "wsgi_server.traceparent": PARENT,
        "wsgi_server.route": "/v2/{id}",
    }
    finished = Finished(
        request(path="/\xc3\xa4", headers=headers),
        environ,
        "201 Created",
        [("X-OpenStack-Request-ID", "req-1")],
    )
    found = json.loads(JsonLines({"wsgi_server.worker": lambda _: 3}).line(finished))
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found.pop("timestamp")
    )
    assert type(found.pop("process.pid")) is int
    assert found == {
        "http.request.method": "GET",
        "url.scheme": "https",
        "url.path": "/ä",
        "http.route": "/v2/{id}",
        "http.response.status_code": 201,
        "http.request.body.size": 12,
        "http.response.body.size": 5,
        "network.protocol.version": "1.1",
        "client.address": "192.0.2.7",
        "client.port": 4711,
        "server.address": "x.example",
        "user_agent.original": "curl/8",
        "duration": 0.25,
        "http.request.id": "abc",
        "openstack.request_id": "req-1",
        "trace_id": ID,
        "span_id": "00f067aa0ba902b7",
        "wsgi_server.worker": 3,
    }


def test_the_query_is_not_in_it() -> None:
    line = JsonLines({}).line(Finished(request(query="token=secret")))
    assert b"secret" not in line


@pytest.mark.parametrize("given_id", ["abc", "req-1", "A.b_c~d+e/f=g:h@i-j", "x" * 128])
def test_an_id_is_taken_from_whom_we_trust(given_id: str) -> None:
    environ: dict[str, Any] = {"HTTP_X_REQUEST_ID": given_id}
    ids = RequestIds("X-Request-Id", openstack=False)
    assert ids.give(environ, trusted=True) == given_id
    assert environ["wsgi_server.request_id"] == given_id
    strange: dict[str, Any] = {"HTTP_X_REQUEST_ID": given_id}
    assert ids.give(strange, trusted=False) != given_id


@pytest.mark.parametrize(
    "bad", ["", " ", "a b", 'a"b', "a\tb", "x" * 129, "ä", "a,b", "a\\b", "<a>"]
)
def test_an_id_that_could_break_a_log_is_made_anew(bad: str) -> None:
    environ: dict[str, Any] = {"HTTP_X_REQUEST_ID": bad}
    made = RequestIds("X-Request-Id", openstack=False).give(environ, trusted=True)
    assert re.fullmatch("[0-9a-f]{32}", made)


def test_ids_differ() -> None:
    ids = RequestIds("X-Request-Id", openstack=False)
    assert len({ids.give({}, trusted=False) for _ in range(100)}) == 100


@pytest.mark.parametrize(
    ("given_id", "shown"),
    [
        (ID, "req-4bf92f35-77b3-4da6-a3ce-929d0e0e4736"),
        (
            "4bf92f35-77b3-4da6-a3ce-929d0e0e4736",
            "req-4bf92f35-77b3-4da6-a3ce-929d0e0e4736",
        ),
        ("req-4bf92f35-77b3-4da6-a3ce-929d0e0e4736",) * 2,
        ("something-else", None),
    ],
)
def test_an_id_goes_on_to_openstack_in_the_form_that_is_believed_there(
    given_id: str, shown: str | None
) -> None:
    environ: dict[str, Any] = {"HTTP_X_REQUEST_ID": given_id}
    RequestIds("X-Request-Id", openstack=True).give(environ, trusted=True)
    assert environ.get("HTTP_X_OPENSTACK_REQUEST_ID") == shown


@pytest.mark.parametrize(
    ("text", "well"),
    [
        (PARENT, True),
        (PARENT.replace("00-4", "01-4", 1) + "-more", True),
        (PARENT + "-more", False),
        (PARENT.upper(), False),
        (f"ff-{ID}-00f067aa0ba902b7-01", False),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", False),
        (f"00-{ID}-{'0' * 16}-01", False),
        (f"00-{ID}-00f067aa0ba902b7", False),
        ("", False),
    ],
)
def test_a_trace_is_believed_only_in_its_form(text: str, *, well: bool) -> None:
    assert is_traceparent(text) is well
    environ: dict[str, Any] = {"HTTP_TRACEPARENT": text}
    RequestIds("X-Request-Id", openstack=False).give(environ, trusted=False)
    assert ("wsgi_server.traceparent" in environ) is well
    assert environ["HTTP_TRACEPARENT"] == text
