"""The tables of requests through a socket: what the real server refuses and accepts."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import live
import pytest
from http_cases import LIMITED, REFUSED, SMALL_LIMITS, Refused, request
from http_readings import ACCEPTED, Accepted

pytestmark = pytest.mark.forks

BEFORE = request(line=b"GET /before HTTP/1.1")
BEHIND = request(line=b"GET /behind HTTP/1.1")
LAST = request(b"Connection: close", line=b"GET /last HTTP/1.1")


@dataclass
class Answer:
    """One response on a connection."""

    status: int
    head: bytes
    body: bytes


def answers(data: bytes, methods: Iterator[str]) -> list[Answer]:
    """Splits what a server sent into the final responses to requests with `methods`."""
    found = []
    while data:
        head, end, data = data.partition(b"\r\n\r\n")
        assert end, f"half a head: {head!r}"
        status = int(head.split(b" ", 2)[1])
        if status == 100:
            continue
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        length = int(fields[b"content-length"])
        if next(methods) == "HEAD":
            length = 0
        assert len(data) >= length
        found.append(Answer(status, head, data[:length]))
        data = data[length:]
    return found


def start(
    folder: Path, form: str, options: dict[str, Any] | None = None
) -> live.LiveServer:
    settings = {"bind_host": "127.0.0.1", "bind_port": 0}
    settings.update(options or {}, workers=1, engine=live.engine_of(form))
    conf = folder / "server.conf"
    conf.write_text(
        "[DEFAULT]\n" + "".join(f"{key} = {value}\n" for key, value in settings.items())
    )
    app = live.application_of(form, "apps.recorder:app")
    return live.start(folder, app, "--config-file", str(conf))


@pytest.fixture(scope="module", params=live.FORMS)
def servers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, live.LiveServer]]:
    """A server with the defaults and one with `SMALL_LIMITS`."""
    default = start(tmp_path_factory.mktemp("default"), request.param)
    with live.stopping([default]):
        small = start(tmp_path_factory.mktemp("small"), request.param, SMALL_LIMITS)
        with live.stopping([small]):
            yield {"default": default, "small": small}


def seen(server: live.LiveServer) -> list[dict[str, Any]]:
    """The requests that reached the application since the last call."""
    found: list[dict[str, Any]] = json.loads(server.get("/seen").body)
    return found


refusals = pytest.mark.parametrize(
    ("case", "which"),
    [
        *(pytest.param(case, "default", id=case.name) for case in REFUSED),
        *(pytest.param(case, "small", id=case.name) for case in LIMITED),
    ],
)


@refusals
def test_a_refusal_ends_the_connection_and_hides_what_follows(
    servers: dict[str, live.LiveServer], case: Refused, which: str
) -> None:
    server = servers[which]
    raw = server.exchange(BEFORE + case.data + BEHIND)
    first, second = answers(raw, iter(["GET", "POST"]))
    assert first.status == 200
    assert second.status == case.status
    assert b"\r\nconnection: close" in second.head.lower()
    found = seen(server)
    assert [record["path"] for record in found] == ["/before", "/case"][
        : 1 + case.in_body
    ]
    # A body that was refused was never given out as a whole one.
    assert [record["body"] for record in found[1:]] == [None] * case.in_body


@refusals
def test_one_step_less_wrong_is_answered_in_its_place(
    servers: dict[str, live.LiveServer], case: Refused, which: str
) -> None:
    server = servers[which]
    raw = server.exchange(BEFORE + case.control + LAST)
    found = seen(server)
    methods = [record["method"] for record in found]
    assert [answer.status for answer in answers(raw, iter(methods))] == [200] * len(
        found
    )
    places = [record["path"] for record in found]
    assert places[0] == "/before"
    assert len(places) in (2, 3)
    if len(places) == 2:
        # HTTP/1.0 and CONNECT: the connection ends behind the request.
        assert b" HTTP/1.0\r\n" in case.control or methods[1] == "CONNECT"
    else:
        assert places[2] == "/last"


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.name) for case in ACCEPTED]
)
def test_the_application_sees_a_request_as_the_table_says(
    servers: dict[str, live.LiveServer], case: Accepted
) -> None:
    server = servers["default"]
    raw = server.exchange(BEFORE + case.data + LAST)
    found = seen(server)
    assert found[1] == {
        "method": case.method,
        "path": case.path,
        "query": case.query,
        "host": case.host,
        "headers": dict(case.headers),
        "body": case.body.decode("latin-1"),
        "trailers": case.trailers,
    }
    assert [record["path"] for record in found[2:]] == ["/last"] * case.keep_alive
    replies = answers(raw, iter([record["method"] for record in found]))
    assert [answer.status for answer in replies] == [200] * len(found)
    if case.method != "HEAD":
        assert json.loads(replies[1].body) == found[1]


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.name) for case in ACCEPTED]
)
def test_a_request_may_come_in_single_bytes(
    servers: dict[str, live.LiveServer], case: Accepted
) -> None:
    server = servers["default"]
    with server.connect() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data = BEFORE + case.data + (LAST if case.keep_alive else b"")
        for at in range(len(data)):
            sock.sendall(data[at : at + 1])
        raw = b"".join(iter(lambda: sock.recv(65536), b""))
    found = seen(server)
    assert [record["path"] for record in found] == [
        "/before",
        case.path,
        *["/last"] * case.keep_alive,
    ]
    assert found[1]["body"] == case.body.decode("latin-1")
    replies = answers(raw, iter([record["method"] for record in found]))
    assert [answer.status for answer in replies] == [200] * len(found)
