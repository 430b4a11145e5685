"""The application that test_servers.py puts under one server after the other."""

from __future__ import annotations

import hashlib
import sys
import warnings
from typing import Any

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "'cgi' is deprecated", DeprecationWarning)
    import webob
    from wsgi_api import (
        APIMapper,
        JSONRequestDeserializer,
        RejectMethodController,
        Request,
        Resource,
        Router,
    )


class Images:
    def show(self, req: Request, image_id: str) -> Any:
        return {"id": image_id}

    def create(self, req: Request, body: Any) -> Any:
        return {"created": body}

    def upload(self, req: Request, image_id: str) -> Any:
        digest, size = hashlib.sha256(), 0
        while chunk := req.body_file.read(65536):
            digest.update(chunk)
            size += len(chunk)
        return {"size": size, "sha256": digest.hexdigest()}

    def download(self, req: Request, image_id: str) -> Any:
        content = bytes(range(256)) * 1024
        part = req.select(len(content), etag="v1")
        response = webob.Response(app_iter=[content[part.start : part.stop]])
        part.fill(response)
        return response


class Upload(JSONRequestDeserializer):
    def upload(self, request: Request) -> dict[str, Any]:
        self.has_body(request)
        return {}


def make() -> Router:
    mapper = APIMapper()
    images = Resource(Images(), Upload(), error_format="json")
    for path, method, action in (
        ("/images", "POST", "create"),
        ("/images/{image_id}", "GET", "show"),
        ("/images/{image_id}/file", "PUT", "upload"),
        ("/images/{image_id}/file", "GET", "download"),
    ):
        conditions = {"method": [method]}
        mapper.connect(path, controller=images, action=action, conditions=conditions)
    reject = Resource(RejectMethodController(), error_format="json")
    mapper.connect(
        "/images", controller=reject, action="reject", allowed_methods="POST"
    )
    return Router(mapper, error_format="json")


application = make()


def serve_wsgiref() -> None:
    from wsgiref.simple_server import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Say nothing: the pipe is for the address."""

    with make_server("127.0.0.1", 0, application, handler_class=Quiet) as server:
        print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()


def serve_waitress() -> None:
    import waitress

    server = waitress.create_server(application, listen="127.0.0.1:0")
    port = server.effective_port  # type: ignore[union-attr]
    print(f"listening on http://127.0.0.1:{port}", flush=True)
    server.run()


if __name__ == "__main__":
    {"wsgiref": serve_wsgiref, "waitress": serve_waitress}[sys.argv[1]]()
