"""JSON access lines: one object a line, whatever comes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import live
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsgi_server._http11 import Request
from wsgi_server._logs.json_line import ATOMIC, FIELDS, JsonLines
from wsgi_server._logs.trace_context import NO_TRACE, parse_traceparent
from wsgi_server.errors import ConfigError

from .test_accesslog import Answered

Start = Callable[..., live.LiveServer]

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"
OURS = {"timestamp", "process.pid", "wsgi_server.worker", "wsgi_server.generation"}


def request(**changes: Any) -> Request:
    made = Request()
    made.method, made.target, made.path, made.query = "GET", "/a?b", "/a", "b"
    made.http11 = True
    made.headers = {"HTTP_HOST": "x.example"}
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def line_of(answered: Answered, *more: str) -> str:
    return JsonLines(more, worker_id=3, generation=2).line(answered)


# What the reader lets through: latin-1 text.
TEXT = st.text(st.characters(max_codepoint=255), max_size=3000)


@given(
    path=TEXT,
    host=TEXT,
    agent=TEXT,
    environ=st.dictionaries(
        st.sampled_from(
            [
                *("REMOTE_ADDR", "REMOTE_PORT", "wsgi.url_scheme"),
                *("wsgi_server.route", "openstack.request_id"),
            ]
        ),
        st.one_of(st.text(), st.none(), st.integers(), st.binary()),
    ),
    status=st.one_of(st.none(), st.text(max_size=8)),
)
def test_a_line_is_one_line_that_can_be_parsed(
    path: str, host: str, agent: str, environ: dict[str, Any], status: str | None
) -> None:
    headers = {"HTTP_HOST": host, "HTTP_USER_AGENT": agent, "HTTP_TRACEPARENT": agent}
    answered = Answered(environ, status, request=request(path=path, headers=headers))
    line = line_of(answered)
    assert line.isascii()
    assert line.isprintable()
    assert len(line) < ATOMIC
    found = json.loads(line)
    assert set(found) <= {*OURS, *FIELDS}
    assert all(type(value) in (str, int, float) for value in found.values())


def test_what_is_known_is_there_with_its_type() -> None:
    headers = {
        "HTTP_HOST": "x.example",
        "HTTP_USER_AGENT": "curl/8",
        "CONTENT_LENGTH": "12",
        "HTTP_TRACEPARENT": PARENT,
    }
    environ = {
        "REMOTE_ADDR": "192.0.2.7",
        "REMOTE_PORT": "4711",
        "wsgi.url_scheme": "https",
        "wsgi_server.route": "/v2/{id}",
    }
    answered = Answered(
        environ,
        "201 Created",
        [("X-OpenStack-Request-ID", "req-1")],
        sent=5,
        seconds=0.25,
        ttfb=0.125,
        waited=0.5,
        error="client_gone",
        request_id="abc",
        request=request(path="/\xc3\xa4", headers=headers),
    )
    found = json.loads(line_of(answered))
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
        "wsgi_server.queue": 0.5,
        "wsgi_server.ttfb": 0.125,
        "error.type": "client_gone",
        "http.request.id": "abc",
        "openstack.request_id": "req-1",
        "trace_id": TRACE,
        "span_id": SPAN,
        "wsgi_server.worker": 3,
        "wsgi_server.generation": 2,
    }


def test_the_query_is_there_only_where_it_is_asked_for() -> None:
    answered = Answered(request=request(query="token=secret"))
    assert "secret" not in line_of(answered)
    assert json.loads(line_of(answered, "url.query"))["url.query"] == "token=secret"
    with pytest.raises(ConfigError, match=r"json has no further field url\.qurry"):
        line_of(answered, "url.qurry")


@pytest.mark.parametrize(
    ("text", "well"),
    [
        (PARENT, True),
        (PARENT.replace("00-4", "01-4", 1) + "-more", True),
        (PARENT + "-more", False),
        (PARENT.upper(), False),
        (f"ff-{TRACE}-{SPAN}-01", False),
        (f"00-{'0' * 32}-{SPAN}-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (f"00-{TRACE}-{SPAN}", False),
        ("", False),
    ],
)
def test_a_trace_is_believed_only_in_its_form(text: str, *, well: bool) -> None:
    assert parse_traceparent(text) == ((TRACE, SPAN) if well else NO_TRACE)


def lines(server: live.LiveServer) -> list[dict[str, Any]]:
    text = server.output()
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


@pytest.mark.forks
@pytest.mark.parametrize("workers", ["1", "0"])
def test_a_server_writes_them(live_server: Start, tmp_path: Path, workers: str) -> None:
    conf = tmp_path / "server.conf"
    conf.write_text("[DEFAULT]\naccess_log_format = json\nhealth_on_service = true\n")
    server = live_server(
        "apps.exercise:app", "--workers", workers, "--config-file", str(conf)
    )
    assert server.get("/livez").status == 200
    sent = 'a"b\\c'
    server.get("/whole?q=1", User_Agent=sent, Traceparent=PARENT)
    server.get("/stream")
    server.get("/boom")
    found = server.wait_for("three lines", lambda: (seen := lines(server))[2:] and seen)
    assert [one["url.path"] for one in found] == ["/whole", "/stream", "/boom"]
    whole, stream, boom = found
    assert whole["user_agent.original"] == sent
    assert whole["trace_id"] == TRACE
    assert whole["wsgi_server.worker"] == int(workers)
    assert whole["wsgi_server.generation"] == 1
    assert "url.query" not in whole
    assert 0 <= stream["wsgi_server.ttfb"] <= stream["duration"]
    assert boom["error.type"] == "RuntimeError"
    assert boom["http.response.status_code"] == 500


def test_a_form_that_is_none_ends_the_start(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    conf = tmp_path / "server.conf"
    conf.write_text("[DEFAULT]\naccess_log_format = json url.qurry\n")
    ended = command("apps.hello:app", "--check-config", "--config-file", str(conf))
    assert ended.returncode == 5
    assert "json has no further field url.qurry" in ended.stderr
