"""Run where only wsgi-paste is installed: a paste file answers through wsgiref.

A program, not a test module: `nox -s install` starts it with the environment's Python.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterable
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from wsgiref.simple_server import make_server
from wsgiref.validate import validator

from oslo_config import cfg
from wsgi_paste import Middleware, paste_deploy_app

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from webob import Response

SIBLINGS = ("wsgi_server", "wsgi_api", "wsgi_stack", "eventlet", "routes")
INI = """
[pipeline:main]
pipeline = stamp greeter

[filter:stamp]
paste.filter_factory = {module}:Stamp.factory

[app:greeter]
paste.app_factory = wsgi_paste:app_factory
wsgi_paste.app_factory = {module}:greeter
greeting = good day
"""


class Stamp(Middleware):
    """Marks every response on its way out."""

    def process_response(self, response: Response) -> Response:
        response.headers["X-Stamp"] = "seen"
        return response


def greeter(conf: cfg.ConfigOpts, greeting: str) -> WSGIApplication:
    """Make an application from an option of oslo.config and a setting of the ini."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        body = f"{greeting}, {conf.whom}".encode()
        headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
        start_response("200 OK", headers)
        return [body]

    return app


def main() -> None:
    extra = [name for name in SIBLINGS if importlib.util.find_spec(name) is not None]
    assert not extra, f"installed with wsgi-paste, but none of its business: {extra}"
    module = Path(__file__).stem
    # The paste file imports this program by name.
    sys.modules[module] = sys.modules[__name__]
    conf = cfg.ConfigOpts()
    conf.register_opt(cfg.StrOpt("whom", default="world"))
    conf([], project="check", default_config_files=[])
    with TemporaryDirectory() as folder:
        ini = Path(folder, "api-paste.ini")
        ini.write_text(INI.format(module=module), "utf-8")
        app = paste_deploy_app(str(ini), "main", conf)
        command = Path(sysconfig.get_path("scripts"), "wsgi-paste")
        listed = subprocess.run(
            [command, "list", ini], capture_output=True, text=True, check=True
        )
        assert "greeter" in listed.stdout, listed.stdout
    with make_server("127.0.0.1", 0, validator(app)) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        client = HTTPConnection("127.0.0.1", server.server_port, timeout=30)
        client.request("GET", "/")
        answer = client.getresponse()
        text = answer.read()
        client.close()
        thread.join()
    assert text == b"good day, world", text
    assert answer.getheader("X-Stamp") == "seen"
    print("wsgi-paste alone: loaded a paste file and answered through wsgiref")


if __name__ == "__main__":
    main()
