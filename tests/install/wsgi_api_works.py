"""Run where only wsgi-api is installed: a router and a resource answer through wsgiref.

A program, not a test module: `nox -s install` starts it with the environment's Python.
"""

from __future__ import annotations

import importlib.util
import json
import threading
from http.client import HTTPConnection
from wsgiref.simple_server import make_server
from wsgiref.validate import validator

from wsgi_api import (
    APIMapper,
    JSONRequestDeserializer,
    JSONResponseSerializer,
    RejectMethodController,
    Request,
    Resource,
    Router,
)

SIBLINGS = ("wsgi_server", "wsgi_paste", "wsgi_stack", "eventlet", "oslo_config")


class Echo:
    """A controller with one action, which returns what it was sent."""

    def echo(self, req: Request, name: str, body: object = None) -> dict[str, object]:
        return {"name": name, "body": body}


def api() -> Router:
    """Routes `POST /echo/NAME`; every other method is refused with what is allowed."""
    mapper = APIMapper()
    resource = Resource(Echo(), JSONRequestDeserializer(), JSONResponseSerializer())
    mapper.connect(
        "/echo/{name}",
        controller=resource,
        action="echo",
        conditions={"method": ["POST"]},
    )
    mapper.connect(
        "/echo/{name}",
        controller=Resource(RejectMethodController()),
        action="reject",
        allowed_methods="POST",
    )
    return Router(mapper)


def main() -> None:
    extra = [name for name in SIBLINGS if importlib.util.find_spec(name) is not None]
    assert not extra, f"installed with wsgi-api, but none of its business: {extra}"
    with make_server("127.0.0.1", 0, validator(api())) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        client = HTTPConnection("127.0.0.1", server.server_port, timeout=30)
        try:
            headers = {"Content-Type": "application/json"}
            client.request("POST", "/echo/one", json.dumps({"a": [1, 2]}), headers)
            answer = client.getresponse()
            assert answer.status == 200, answer.status
            told = json.loads(answer.read())
            assert told == {"name": "one", "body": {"a": [1, 2]}}, told
            client.request("DELETE", "/echo/one")
            answer = client.getresponse()
            answer.read()
            assert answer.status == 405, answer.status
            assert answer.getheader("Allow") == "POST", answer.getheader("Allow")
            client.request("GET", "/nowhere")
            answer = client.getresponse()
            answer.read()
            assert answer.status == 404, answer.status
        finally:
            client.close()
            server.shutdown()
            thread.join()
    print("wsgi-api alone: a router answered 200, 405 and 404 through wsgiref")


if __name__ == "__main__":
    main()
