"""The lines of requests in the service's own log, as the originals left them there."""

from __future__ import annotations

import contextlib
import logging
import re
import signal
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import live
import pytest
import webob

Start = Callable[..., live.LiveServer]

FORMS = [*live.FORMS, "alone"]

SERVICE = """
import sys

if "{form}" in ("patched", "eventlet.wsgi"):
    import eventlet

    eventlet.monkey_patch()

import json, logging, os
from logging.handlers import SysLogHandler
from oslo_config import cfg

CONF = cfg.CONF
{setup}


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"served"]


{body}
"""
TO_FILE = """
logging.basicConfig(
    filename="service.log", level=logging.INFO,
    format="%(levelname)s %(name)s %(message)s")
"""
GLANCE = """
from wsgi_stack import glance as wsgi

CONF(["--config-file", "service.conf"])
server = wsgi.Server(threads=10)
server.start(app, default_port=9292)
server.wait()
"""
HEAT = """
from wsgi_stack import heat as wsgi


class Controller:
    def show(self, req, name):
        return {"Answer": req.path_info}


class Api(wsgi.Router):
    def __init__(self):
        import routes

        mapper = routes.Mapper()
        resource = wsgi.Resource(Controller(), wsgi.JSONRequestDeserializer())
        mapper.connect("/{name:.*}", controller=resource, action="show")
        super().__init__(mapper)


CONF(["--config-file", "service.conf"])
server = wsgi.Server("heat-api", CONF.heat_api, threads=10)
server.start(Api(), default_port=8004)
server.wait()
"""
EVENTLET = """
import eventlet.wsgi

sock = eventlet.listen(("127.0.0.1", 0))
print(f"listening on http://127.0.0.1:{sock.getsockname()[1]}", file=sys.stderr, flush=True)
eventlet.wsgi.server(sock, app, log=logging.getLogger("eventlet.wsgi.server"), debug=False)
"""


@pytest.fixture
def service(serving: Start, tmp_path: Path) -> Callable[..., live.LiveServer]:
    """Starts a service in one of the forms; `own` is its section `[wsgi_server]`."""

    def start(
        form: str, body: str, setup: str = TO_FILE, *, own: str = "", wrap: str = ""
    ) -> live.LiveServer:
        engine = "threads" if form == "threads" else "eventlet"
        workers = 0 if form == "alone" else 1
        if body is HEAT and form == "alone":
            workers = 1  # Heat's way to say it
        elif body is HEAT:
            workers = 2
        group = "heat_api" if body is HEAT else "DEFAULT"
        (tmp_path / "service.conf").write_text(
            f"[{group}]\nbind_host = 127.0.0.1\nbind_port = 0\nworkers = {workers}\n"
            f"[wsgi_server]\nengine = {engine}\n{own}"
        )
        text = SERVICE.replace("{form}", form).replace(
            "{setup}", textwrap.dedent(setup)
        )
        # The server says where it listens on stderr.
        said = r"""
wsgi_server = logging.getLogger("wsgi_server")
wsgi_server.setLevel(logging.INFO)
wsgi_server.addHandler(logging.StreamHandler())
"""
        body = re.sub(r"start\((app|Api\(\))", rf"start({wrap}(\1)", body)
        return serving(text.replace("{body}", said + body))

    return start


def lines_of(server: live.LiveServer, path: Path, wanted: int) -> list[str]:
    """The lines of a log about requests, once there are so many."""

    def read() -> list[str] | None:
        if not path.exists():
            return None
        found = [
            line
            for line in path.read_text().splitlines()
            if "HTTP/1.1" in line or "Processing" in line
        ]
        return found if len(found) >= wanted else None

    return server.wait_for(f"{wanted} lines", read) or []


def shape(line: str) -> str:
    """A line without what differs from one request to the next."""
    line = re.sub(r"\[\d\d/\w{3}/\d{4} \d\d:\d\d:\d\d\]", "[DATE]", line)
    return re.sub(r" \d+ \d+\.\d{6}$", " LENGTH SECONDS", line)


@pytest.mark.parametrize("form", FORMS)
def test_requests_are_logged_as_eventlet_logs_them(
    service: Start, tmp_path: Path, form: str
) -> None:
    asked = ("/v2/images?limit=1", "/")
    log = tmp_path / "service.log"

    server = service("eventlet.wsgi", EVENTLET)
    server.get(asked[0], X_Forwarded_For="203.0.113.7, 192.0.2.1")
    server.get(asked[1])
    theirs = [shape(line) for line in lines_of(server, log, 2)]
    server.kill()
    log.unlink()

    server = service(form, GLANCE)
    server.get(asked[0], X_Forwarded_For="203.0.113.7, 192.0.2.1")
    server.get(asked[1])
    ours = [shape(line) for line in lines_of(server, log, 2)]
    server.send(signal.SIGHUP)
    server.wait_for("a reload", lambda: "reload" in server.log())
    server.get("/after")
    lines_of(server, log, 3)
    assert server.stop() == 0

    assert ours == theirs
    assert theirs[0] == (
        "INFO eventlet.wsgi.server 203.0.113.7,192.0.2.1,127.0.0.1 - - [DATE] "
        '"GET /v2/images?limit=1 HTTP/1.1" 200 LENGTH SECONDS'
    )
    assert "HTTP/1.1" not in server.output()


@pytest.mark.parametrize("form", FORMS)
def test_heat_says_what_it_processes_before(
    service: Start, tmp_path: Path, form: str
) -> None:
    server = service(form, HEAT)
    server.get("/v1/a%20b?x=1")
    told = lines_of(server, tmp_path / "service.log", 2)
    assert server.stop() == 0

    assert told[0] == "INFO heat.common.wsgi Processing request: GET /v1/a%20b"
    assert shape(told[1]) == (
        'INFO eventlet.wsgi.server 127.0.0.1 - - [DATE] "GET /v1/a%20b?x=1 HTTP/1.1" '
        "200 LENGTH SECONDS"
    )
    assert len(told) == 2


STALLED = {
    "a pipe": """
        reading, writing = os.pipe()
        handler = logging.StreamHandler(os.fdopen(writing, "w"))
        """,
    "a syslog": """
        import eventlet.patcher

        reading = eventlet.patcher.original("socket").socket(1, 2)
        reading.bind("daemon")
        handler = SysLogHandler("daemon")
        """,
}


@pytest.mark.parametrize("where", STALLED)
@pytest.mark.parametrize(
    ("form", "body"),
    [*[(form, GLANCE) for form in FORMS], ("patched", HEAT)],
    ids=[*FORMS, "heat"],
)
def test_a_log_that_nobody_reads_holds_no_request_up(
    service: Start, form: str, body: str, where: str
) -> None:
    setup = textwrap.dedent(STALLED[where]) + (
        "for name in ('eventlet.wsgi.server', 'heat.common.wsgi'):\n"
        "    logging.getLogger(name).setLevel(logging.INFO)\n"
        "    logging.getLogger(name).addHandler(handler)\n"
    )
    server = service(form, body, setup)

    # A pipe holds 64 KiB, a datagram socket ten or some hundreds of messages.
    with contextlib.closing(server.client()) as client:
        for number in range(500):
            client.request("GET", f"/{number}{'x' * 1000}")
            response = client.getresponse()
            assert (response.status, response.read() != b"") == (200, True)
    assert server.stop() == 0


IN_CONTEXT = """
import webob
from oslo_context import context
from oslo_log import log

log.register_options(CONF)
CONF(["--config-file", "service.conf"])
CONF.set_override("log_file", "service.log")
log.setup(CONF, "glance")


class InContext:
    def __init__(self, app):
        self.app = app

    def __call__(self, environ, start_response):
        name = environ["PATH_INFO"].strip("/")
        context.RequestContext(request_id=f"req-{name}", user_id=f"user-{name}")
        return self.app(environ, start_response)
"""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("body", [GLANCE, HEAT], ids=["glance", "heat"])
@pytest.mark.parametrize("form", FORMS)
def test_a_line_has_the_context_of_its_request(
    service: Start, tmp_path: Path, form: str, body: str
) -> None:
    server = service(form, body, IN_CONTEXT, wrap="InContext")
    for number in range(3):
        server.get(f"/{number}")
    told = lines_of(server, tmp_path / "service.log", 3)
    assert server.stop() == 0

    for line in told:
        asked = re.search(r"GET /(\d)", line)
        assert asked is not None
        assert f"[None req-{asked[1]} user-{asked[1]} " in line


@pytest.mark.parametrize("form", ["eventlet", "threads"])
@pytest.mark.parametrize(
    ("own", "told"),
    [
        ("access_log = access.log\naccess_log_format = {method} {path}\n", "GET /x\n"),
        ("access_log =\n", None),
    ],
)
def test_the_operator_may_have_ours_or_none(
    service: Start, tmp_path: Path, form: str, own: str, told: str | None
) -> None:
    server = service(form, GLANCE, own=own)
    server.get("/x")
    if told:
        path = tmp_path / "access.log"
        server.wait_for("a line", lambda: path.exists() and path.read_text())
        assert path.read_text() == told
    assert server.stop() == 0

    log = tmp_path / "service.log"
    assert "HTTP/1.1" not in log.read_text() + server.output()


def test_the_form_of_the_lines_in_the_log_may_be_changed(
    service: Start, tmp_path: Path
) -> None:
    server = service(
        "eventlet", GLANCE, own="access_log_format = {request} took {seconds:.3f}\n"
    )
    server.get("/x")
    [line] = lines_of(server, tmp_path / "service.log", 1)
    assert server.stop() == 0

    assert re.fullmatch(
        r"INFO eventlet\.wsgi\.server GET /x HTTP/1\.1 took \d\.\d{3}", line
    )


def test_heat_under_another_server_says_what_it_processes_as_well(
    heat: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Controller:
        def default(self, req: webob.Request) -> dict[str, str]:
            return {"Answer": "x"}

    resource = heat.Resource(Controller(), heat.JSONRequestDeserializer())
    with caplog.at_level(logging.INFO, "heat.common.wsgi"):
        heat.Request.blank("/a%20b?c=d", method="POST").get_response(resource)
        resource(heat.Request.blank("/called"))
    with caplog.at_level(logging.WARNING, "heat.common.wsgi"):
        heat.Request.blank("/quiet").get_response(resource)

    told = [(one.name, one.getMessage()) for one in caplog.records]
    assert told == [
        ("heat.common.wsgi", "Processing request: POST /a%20b"),
        ("heat.common.wsgi", "Processing request: GET /called"),
    ]
