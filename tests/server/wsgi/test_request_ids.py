"""Ids of requests: whose is taken, where it is found, and what it can never be."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import live
import pytest
from wsgi_server._config.addresses import PeerSet, parse_network
from wsgi_server._wsgi.forwarded import TrustedPeers
from wsgi_server._wsgi.request_id import RequestIds

Start = Callable[..., live.LiveServer]

MADE = re.compile("[0-9a-f]{32}")
UUID = "4bf92f35-77b3-4da6-a3ce-929d0e0e4736"
PLAIN = UUID.replace("-", "")


def ids(*, openstack: bool = False) -> RequestIds:
    trusted = TrustedPeers(PeerSet((parse_network("192.0.2.0/24"),), unix=False))
    return RequestIds("X-Request-Id", trusted, openstack=openstack)


@pytest.mark.parametrize("known", ["abc", "req-1", "A.b_c~d+e/f=g:h@i-j", "x" * 128])
def test_an_id_is_taken_from_whom_we_trust(known: str) -> None:
    environ: dict[str, Any] = {"HTTP_X_REQUEST_ID": known}
    assert ids().give(environ, "192.0.2.7") == known
    assert environ["wsgi_server.request_id"] == known
    strange: dict[str, Any] = {"HTTP_X_REQUEST_ID": known}
    assert MADE.fullmatch(ids().give(strange, "198.51.100.7"))


@pytest.mark.parametrize(
    "bad", ["", " ", "a b", 'a"b', "a\tb", "x" * 129, "\xe4", "a,b", "a\\b", "<a>"]
)
def test_an_id_that_could_break_a_log_is_made_anew(bad: str) -> None:
    assert MADE.fullmatch(ids().give({"HTTP_X_REQUEST_ID": bad}, "192.0.2.7"))


def test_ids_differ() -> None:
    made = ids()
    assert len({made.give({}, "198.51.100.7") for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    ("known", "shown"),
    [
        (PLAIN, f"req-{UUID}"),
        (UUID, f"req-{UUID}"),
        (f"req-{UUID}", f"req-{UUID}"),
        ("something-else", None),
    ],
)
def test_an_id_goes_on_to_openstack_in_the_form_that_is_believed_there(
    known: str, shown: str | None
) -> None:
    environ: dict[str, Any] = {"HTTP_X_REQUEST_ID": known}
    ids(openstack=True).give(environ, "192.0.2.7")
    assert environ.get("HTTP_X_OPENSTACK_REQUEST_ID") == shown


def test_the_id_of_a_trusted_service_is_the_requests() -> None:
    environ: dict[str, Any] = {"HTTP_X_OPENSTACK_REQUEST_ID": f"req-{UUID}"}
    assert ids(openstack=True).give(environ, "192.0.2.7") == f"req-{UUID}"


def started(live_server: Start, folder: Path, *lines: str) -> live.LiveServer:
    conf = folder / "server.conf"
    conf.write_text(
        "\n".join(("[DEFAULT]", "access_log_format = {http_request_id} {path}", *lines))
    )
    return live_server("apps.exercise:app", "--config-file", str(conf))


@pytest.mark.forks
@pytest.mark.parametrize("workers", ["1", "0"])
def test_a_request_has_one_id_everywhere(
    live_server: Start, tmp_path: Path, workers: str
) -> None:
    server = started(live_server, tmp_path, f"workers = {workers}")
    answer = server.get("/show_environ", X_Request_Id="mine")
    found = answer.headers["X-Request-Id"]
    assert MADE.fullmatch(found)
    assert json.loads(answer.body)["wsgi_server.request_id"] == found
    server.wait_for("its line", lambda: f"{found} /show_environ\n" in server.output())


@pytest.mark.forks
@pytest.mark.parametrize(
    "path", ["/whole", "/stream", "/write", "/send_file", "/empty"]
)
def test_each_form_of_a_response_has_it(
    live_server: Start, tmp_path: Path, path: str
) -> None:
    server = started(live_server, tmp_path)
    for _ in range(3):  # the head of the later ones is remembered
        answer = server.get(path)
        assert MADE.fullmatch(answer.headers["X-Request-Id"])
    head = server.request("HEAD", path)
    assert MADE.fullmatch(head.headers["X-Request-Id"])


@pytest.mark.forks
def test_a_failure_can_be_looked_up(live_server: Start, tmp_path: Path) -> None:
    server = started(live_server, tmp_path)
    answer = server.get("/boom")
    assert answer.status == 500
    found = answer.headers["X-Request-Id"]
    server.wait_for_log(rf"GET /boom from 127\.0\.0\.1 \({found}\) failed")


@pytest.mark.forks
def test_a_deadline_answers_with_it(live_server: Start, tmp_path: Path) -> None:
    server = started(live_server, tmp_path, "request_timeout = 0.3")
    answer = server.get("/sleepy?20")
    assert answer.status == 503
    found = answer.headers["X-Request-Id"]
    server.wait_for_log(rf"\({found}\) exceeded request_timeout")


@pytest.mark.forks
def test_a_trusted_proxy_gives_it(live_server: Start, tmp_path: Path) -> None:
    server = started(live_server, tmp_path, "forwarded_allow = 127.0.0.1")
    assert server.get("/whole", X_Request_Id="mine").headers["X-Request-Id"] == "mine"
    bad = server.get("/whole", X_Request_Id="a b").headers["X-Request-Id"]
    assert MADE.fullmatch(bad)


@pytest.mark.forks
def test_without_a_header_there_are_none(live_server: Start, tmp_path: Path) -> None:
    server = started(live_server, tmp_path, "request_id_header =")
    answer = server.get("/show_environ")
    assert answer.headers["X-Request-Id"] is None
    assert "wsgi_server.request_id" not in json.loads(answer.body)
    server.wait_for("its line", lambda: "- /show_environ\n" in server.output())


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            "request_id_header = X Y",
            "request_id_header = X Y: use letters, digits and -",
        ),
        ("request_id_header = Content-Length", "this field says something else"),
        (
            "request_id_header =\nrequest_id_openstack = true",
            "request_id_openstack is set without request_id_header",
        ),
    ],
)
def test_a_name_that_cannot_be_is_refused(
    command: Callable[..., Any], tmp_path: Path, lines: str, message: str
) -> None:
    conf = tmp_path / "server.conf"
    conf.write_text(f"[DEFAULT]\n{lines}\n")
    ended = command("apps.hello:app", "--check-config", "--config-file", str(conf))
    assert ended.returncode == 5
    assert message in ended.stderr


@pytest.mark.forks
@pytest.mark.parametrize("engine", ["eventlet"])
def test_oslo_middleware_hands_it_on(live_server: Start, tmp_path: Path) -> None:
    """One engine: the environ is the same on all."""
    pytest.importorskip("oslo_middleware")
    conf = tmp_path / "server.conf"
    conf.write_text("[DEFAULT]\nrequest_id_openstack = true\n")
    server = live_server("apps.traced:app", "--config-file", str(conf))
    answer = server.get("/")
    known = answer.headers["X-Request-Id"]
    shown = json.loads(answer.body)["openstack.global_request_id"]
    assert shown.removeprefix("req-").replace("-", "") == known
