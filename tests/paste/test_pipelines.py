"""Pipelines as services deploy them: oslo.middleware, keystonemiddleware, Paste's urlmap."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
import webob
from oslo_config import cfg
from wsgi_paste import paste_deploy_app

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

OSLO = """
[DEFAULT]
oslo_config_project = images

[composite:main]
paste.composite_factory = service:urlmap
/ = api
/healthcheck = healthcheck

[pipeline:api]
pipeline = catch_errors request_id cors http_proxy_to_wsgi sizelimit debug app

[filter:catch_errors]
paste.filter_factory = oslo_middleware:CatchErrors.factory

[filter:request_id]
paste.filter_factory = oslo_middleware:RequestId.factory

[filter:cors]
paste.filter_factory = oslo_middleware.cors:filter_factory
allowed_origin = https://dashboard.example

[filter:http_proxy_to_wsgi]
paste.filter_factory = oslo_middleware:HTTPProxyToWSGI.factory
enable_proxy_headers_parsing = true

[filter:sizelimit]
paste.filter_factory = oslo_middleware:RequestBodySizeLimiter.factory
max_request_body_size = 10

[app:healthcheck]
paste.app_factory = oslo_middleware:Healthcheck.app_factory

[filter:debug]
use = egg:wsgi-paste#debug

[app:app]
paste.app_factory = wsgi_paste:app_factory
wsgi_paste.app_factory = service:make_app
"""


def describe(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """Tells what it was asked, and breaks on demand."""
    request = webob.Request(environ)
    if request.path == "/broken":
        raise ZeroDivisionError
    told = {"url": request.url, "size": len(request.body)}
    return webob.Response(json=told)(environ, start_response)


@pytest.fixture
def pipeline(service: Any, conf: cfg.ConfigOpts, write: Callable[..., str]) -> Any:
    service.make_app = lambda conf, **settings: describe
    return paste_deploy_app(write(OSLO), "main", conf)


def ask(app: WSGIApplication, path: str = "/", **kwargs: Any) -> webob.Response:
    return webob.Request.blank(path, **kwargs).get_response(app)


def test_a_request_passes_the_whole_oslo_middleware_pipeline(
    pipeline: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    response = ask(pipeline, "/v2", method="POST", body=b"12345")

    assert response.json == {"url": "http://localhost/v2", "size": 5}
    assert response.headers["x-openstack-request-id"].startswith("req-")
    assert "RESPONSE HEADERS\nstatus = 200 OK" in capsys.readouterr().out


def test_each_filter_of_the_pipeline_does_its_work(pipeline: Any) -> None:
    healthy = ask(pipeline, "/healthcheck")
    too_large = ask(pipeline, "/", method="POST", body=b"12345678901")
    broken = ask(pipeline, "/broken")
    proxied = ask(pipeline, "/v2", headers={"X-Forwarded-Proto": "https"})
    shared = ask(pipeline, "/", headers={"Origin": "https://dashboard.example"})

    assert healthy.status_code == 200
    assert too_large.status_code == 413
    assert broken.status_code == 500
    assert proxied.json["url"].startswith("https://")
    assert shared.headers["Access-Control-Allow-Origin"] == "https://dashboard.example"


class Keystone(BaseHTTPRequestHandler):
    """As much of an identity service as validates one token."""

    @property
    def port(self) -> int:
        return int(self.headers["Host"].rpartition(":")[2])

    def do_GET(self) -> None:
        root = f"http://127.0.0.1:{self.port}/v3/"
        if self.headers.get("X-Subject-Token", "good") != "good":
            self.answer(404, {"error": {"code": 404, "message": "no such token"}})
        elif self.path.partition("?")[0] == "/v3/auth/tokens":
            self.answer(200, {"token": {**TOKEN, "roles": [ROLE]}})
        else:
            links = [{"rel": "self", "href": root}]
            version = {"id": "v3.14", "status": "stable", "links": links}
            self.answer(200, {"version": version, "versions": {"values": [version]}})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        url = f"http://127.0.0.1:{self.port}/v3"
        endpoint = {"id": "e1", "interface": "internal", "region": None, "url": url}
        catalog = [{"type": "identity", "name": "keystone", "endpoints": [endpoint]}]
        token = {**TOKEN, "catalog": catalog}
        self.answer(201, {"token": token}, {"X-Subject-Token": "service"})

    def answer(
        self, status: int, told: object, headers: dict[str, str] | None = None
    ) -> None:
        body = json.dumps(told).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """The test's output is not the place."""


DOMAIN = {"id": "default", "name": "Default"}
USER = {"id": "u1", "name": "ada", "domain": DOMAIN}
ROLE = {"id": "r1", "name": "member"}
TOKEN = {
    "expires_at": "2999-01-01T00:00:00.000000Z",
    "issued_at": "2020-01-01T00:00:00.000000Z",
    "methods": ["password"],
    "user": USER,
}


@pytest.fixture
def keystone() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Keystone) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v3"
        server.shutdown()
        thread.join()


AUTH = """
[pipeline:main]
pipeline = authtoken app

[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
oslo_config_project = images
www_authenticate_uri = {keystone}
auth_type = password
auth_url = {keystone}
username = images
password = 50%%
user_domain_id = default
delay_auth_decision = false
include_service_catalog = false

[app:app]
paste.app_factory = wsgi_paste:app_factory
wsgi_paste.app_factory = service:make_app
"""


# What the libraries beneath auth_token announce is not about us.
@pytest.mark.filterwarnings("ignore")
def test_auth_token_of_keystonemiddleware_loads_and_decides(
    service: Any, conf: cfg.ConfigOpts, write: Callable[..., str], keystone: Any
) -> None:
    pytest.importorskip("keystonemiddleware")

    def who(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["HTTP_X_USER_NAME"].encode()]

    service.make_app = lambda conf, **settings: who
    app = paste_deploy_app(write(AUTH.format(keystone=keystone)), "main", conf)

    anonymous = ask(app)
    known = ask(app, headers={"X-Auth-Token": "good"})
    unknown = ask(app, headers={"X-Auth-Token": "forged"})

    assert anonymous.status_code == unknown.status_code == 401
    assert anonymous.headers["WWW-Authenticate"] == f'Keystone uri="{keystone}"'
    assert (known.status_code, known.text) == (200, "ada")


URLMAP = """
[composite:main]
use = egg:Paste#urlmap
/ = versions
/v2 = images

[app:versions]
use = call:service:plain_app
name = versions

[pipeline:images]
pipeline = egg:wsgi-paste#debug v2

[app:v2]
paste.app_factory = wsgi_paste:app_factory
wsgi_paste.app_factory = service:make_app
name = v2
"""


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_urlmap_of_paste_itself(
    service: Any, conf: cfg.ConfigOpts, write: Callable[..., str]
) -> None:
    pytest.importorskip("paste.urlmap")

    app = paste_deploy_app(write(URLMAP), "main", conf)

    assert ask(app, "/").text == "versions"
    assert ask(app, "/v2/images").text == "v2"


def test_the_conf_is_read_when_it_is_used(
    service: Any, conf: cfg.ConfigOpts, write: Callable[..., str]
) -> None:
    # Services parse their CONF again while the application loads.
    def make_app(conf: cfg.ConfigOpts, **settings: Any) -> cfg.ConfigOpts:
        conf.reset()
        conf([], default_config_files=[], default_config_dirs=[])
        return conf

    service.make_app = make_app
    conf.register_opt(cfg.StrOpt("name", default="default"))
    path = write(
        """
        [app:main]
        paste.app_factory = wsgi_paste:app_factory
        wsgi_paste.app_factory = service:make_app
        """
    )

    loaded: Any = paste_deploy_app(path, "main", conf)

    assert loaded is conf
    assert loaded.name == "default"
