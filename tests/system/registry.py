"""The example service in process, as tests talk to it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

import webob

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "images"


@dataclass
class Registry:
    """The example in process, with `wsgiref.validate` between it and the test."""

    app: Any
    state: Path

    def request(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> webob.Response:
        """One request; `Content_Type="x"` is sent as `Content-Type: x`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = webob.Request.blank(path, method=method, headers=named)
        if body is not None:
            request.body = body
        return self.send(request)

    def send(self, request: webob.Request) -> webob.Response:
        """Any request; the response has been read to its end and closed."""
        request.environ["SERVER_PROTOCOL"] = "HTTP/1.1"
        # No server's input is seekable, whatever the request was made from.
        request.environ.pop("webob.is_body_seekable", None)
        response = request.get_response(validator(self.app))
        assert response.body is not None
        return response

    def create(self, name: str, content: bytes | None = None, **more: Any) -> None:
        """Add an image, with its content where it is given."""
        body = webob.Request.blank("/", json_body={"name": name, **more}).body
        made = self.request("POST", "/v1/images", body, Content_Type="application/json")
        assert made.status_int == 201, made.text
        if content is not None:
            stored = self.request("PUT", f"/v1/images/{name}/file", content)
            assert stored.status_int == 200, stored.text

    def files(self) -> list[str]:
        """The names of all content files, finished and arriving."""
        kinds = ("finished", "arriving")
        return [name for kind in kinds for name in os.listdir(self.state / kind)]
