"""Arbitrary requests through the whole stack: answered, never with a 500, soon."""

from __future__ import annotations

import datetime
import functools
import io
import logging
from typing import Any

import pytest
import webob
import webob.exc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wsgi_api import (
    APIMapper,
    DefaultMethodController,
    JSONRequestDeserializer,
    JSONResponseSerializer,
    RejectMethodController,
    Request,
    Resource,
    Router,
    XMLResponseSerializer,
)

_CHANGED = datetime.datetime(2024, 5, 3, tzinfo=datetime.timezone.utc)


class Images:
    """Does with its input what services do."""

    def index(self, req: Request) -> Any:
        return {"images": [dict(req.params), req.best_match_content_type()]}

    def create(self, req: Request, body: Any = None) -> Any:
        return {"created": body}

    def show(self, req: Request, image_id: str) -> Any:
        return {"image": {"id": image_id, "language": req.best_match_language()}}

    def download(self, req: Request, image_id: str) -> Any:
        part = req.select(10, etag="v1", last_modified=_CHANGED)
        response = webob.Response(b"0123456789"[part.start : part.stop])
        part.fill(response)
        return response

    def upload(self, req: Request, image_id: str) -> Any:
        req.get_content_type(("application/octet-stream",))
        req.get_range_from_request(10)
        return {"size": len(req.body_file.read(100_000))}


class _Upload(JSONRequestDeserializer):
    def upload(self, request: Request) -> dict[str, Any]:
        return {}


@functools.cache
def _application(error_format: Any) -> Any:
    mapper = APIMapper()
    images = Resource(
        Images(),
        _Upload(max_json_body_size=2000),
        serializers={
            "application/json": JSONResponseSerializer(),
            "application/xml": XMLResponseSerializer(),
        },
        strict=True,
        error_format=error_format,
    )
    reject = Resource(RejectMethodController(), error_format=error_format)
    options = Resource(DefaultMethodController(), error_format=error_format)
    for path, method, action in (
        ("/images", "GET", "index"),
        ("/images", "POST", "create"),
        ("/images/{image_id}{.format}", "GET", "show"),
        ("/images/{image_id}/file", "GET", "download"),
        ("/images/{image_id}/file", "PUT", "upload"),
    ):
        conditions = {"method": [method]}
        mapper.connect(path, controller=images, action=action, conditions=conditions)
    mapper.connect("/images", controller=reject, action="reject", allowed_methods="GET")
    mapper.connect("/o", controller=options, action="options", allowed_methods="GET")
    inner = APIMapper()
    inner.connect("/{name:[a-z]+}/{path_info:.*}", controller=Router(mapper))
    return Router(inner, use_method_override=True, method_not_allowed=True)


_LATIN = st.text(st.characters(max_codepoint=255), max_size=40)
_JSON = st.sampled_from(
    [b"{}", b"[]", b'{"a": 1, "a": 2}', b"[" * 300, b'"', b"[NaN]", b'{"\\ud800": 1}']
)
_HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "HTTP_ACCEPT": _LATIN | st.sampled_from(["text/html", "application/xml;q=0.1"]),
        "HTTP_ACCEPT_LANGUAGE": _LATIN | st.sampled_from(["fr", "de, *;q=0", "zh-CN"]),
        "HTTP_RANGE": _LATIN
        | st.sampled_from(["bytes=0-", "bytes=-", "bytes=1-2,3-4"]),
        "HTTP_CONTENT_RANGE": _LATIN | st.sampled_from(["bytes 0-1/*", "bytes */*"]),
        "HTTP_IF_RANGE": _LATIN,
        "HTTP_IF_MATCH": _LATIN,
        "HTTP_IF_NONE_MATCH": _LATIN,
        "HTTP_IF_MODIFIED_SINCE": _LATIN,
        "HTTP_IF_UNMODIFIED_SINCE": _LATIN,
        "HTTP_TRANSFER_ENCODING": _LATIN | st.just("chunked"),
        "HTTP_COOKIE": _LATIN,
        "CONTENT_TYPE": _LATIN
        | st.sampled_from(
            [
                "application/json; charset=hex",
                "application/x-www-form-urlencoded",
                "multipart/form-data; boundary=x",
                "multipart/form-data",
            ]
        ),
        "QUERY_STRING": _LATIN
        | st.sampled_from(
            ["_method=PUT", "ContentType=XML", "a=%ff", "ContentType=%ff"]
        ),
    },
)
_PATHS = st.sampled_from(
    ["/v/images", "/v/images/1", "/v/images/1.xml", "/v/images/1/file", "/v/o", "/v"]
) | _LATIN.map(lambda text: "/v/images/" + text)
_METHODS = st.sampled_from(
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]
)


@pytest.mark.parametrize("error_format", ["webob", "json", "problem"])
@settings(
    deadline=None,
    derandomize=True,
    max_examples=300,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    method=_METHODS,
    path=_PATHS,
    headers=_HEADERS,
    body=_JSON | st.binary(max_size=3000),
    announced=st.sampled_from(["right", "none", "more", "huge"]),
)
def test_whatever_comes_is_answered(
    error_format: Any,
    caplog: pytest.LogCaptureFixture,
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    announced: str,
) -> None:
    environ = webob.Request.blank("/").environ
    environ.update(headers)
    environ.update({"REQUEST_METHOD": method, "PATH_INFO": path})
    environ["wsgi.input"] = io.BytesIO(body)
    length = {"right": len(body), "more": len(body) + 1, "huge": "9" * 5000}
    if announced in length:
        environ["CONTENT_LENGTH"] = str(length[announced])
    with caplog.at_level(logging.ERROR):
        response = webob.Request(environ).send(_application(error_format))
    assert response.status_int < 500 or response.status_int == 501
    assert not caplog.records
    for name, value in response.headerlist:
        assert not set("\r\n\0") & set(name + value)
        value.encode("latin-1")
    for inside in (b"Traceback", b"wsgi_api", b"site-packages", b"0x"):
        assert inside not in response.body or inside in body + path.encode("latin-1")
