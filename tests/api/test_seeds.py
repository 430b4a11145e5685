"""The names of the two API references, each used once for what it is there for."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import routes
import webob
import webob.exc
import wsgi_api

# Name, then what has to be among its parameters.
_CALLABLES: dict[str, list[str]] = {
    "APIMapper.routematch": ["url", "environ"],
    "DefaultMethodController.options": ["req", "allowed_methods", "args", "kwargs"],
    "DefaultMethodController.reject": ["req", "allowed_methods", "args", "kwargs"],
    "JSONRequestDeserializer.default": ["request"],
    "JSONRequestDeserializer.from_json": ["datastring"],
    "JSONRequestDeserializer.has_body": ["request"],
    "JSONRequestDeserializer.is_valid_encoding": ["request"],
    "JSONRequestDeserializer.is_valid_method": ["request"],
    "JSONResponseSerializer.default": ["response", "result"],
    "JSONResponseSerializer.to_json": ["data"],
    "RejectMethodController.reject": ["req", "allowed_methods", "args", "kwargs"],
    "Request.best_match_content_type": [],
    "Request.best_match_language": [],
    "Request.get_content_type": ["allowed_content_types"],
    "Request.get_range_from_request": ["image_size"],
    "Resource": ["controller", "deserializer", "serializer"],
    "Resource.dispatch": ["obj", "action", "args", "kwargs"],
    "Resource.get_action_args": ["request_environment"],
    "Router": ["mapper"],
    "Router.factory": ["global_conf", "local_conf"],
    "XMLResponseSerializer.default": ["response", "result"],
    "is_json_content_type": ["request"],
    "log_exception": ["err", "exc_info"],
    "translate_exception": ["exception", "locale"],
    "translate_for": ["request", "exception"],
}


@pytest.mark.parametrize("name", sorted(_CALLABLES))
def test_the_signatures_are_those_of_the_references(name: str) -> None:
    found: Any = wsgi_api
    for part in name.split("."):
        found = getattr(found, part)
    parameters = [p for p in inspect.signature(found).parameters if p != "self"]
    expected = _CALLABLES[name]
    assert parameters[: len(expected)] == expected


def test_the_attributes_are_those_of_the_references() -> None:
    deserializer = wsgi_api.JSONRequestDeserializer
    assert deserializer.httpverb_may_have_body == {"PATCH", "POST", "PUT"}
    assert deserializer.valid_transfer_encoding == {
        "chunked",
        "compress",
        "deflate",
        "gzip",
        "identity",
    }
    for name in ("body_file", "params"):
        assert isinstance(inspect.getattr_static(wsgi_api.Request, name), property)
    assert routes.Mapper in wsgi_api.APIMapper.__mro__
    assert issubclass(wsgi_api.Request, webob.Request)
    assert list(inspect.signature(wsgi_api.APIMapper).bind().arguments) == []


def test_a_mapper_takes_what_routes_takes() -> None:
    mapper = wsgi_api.APIMapper(
        controller_scan=None,
        directory=None,
        always_scan=False,
        register=False,
        explicit=False,
    )
    mapper.connect("/{controller}")
    mapper.create_regs(["images"])
    assert mapper.match("/images") == {"controller": "images", "action": "index"}


@pytest.mark.parametrize(
    "keywords", [{}, {"charset": "UTF-8"}, {"charset": None, "method": "PUT"}]
)
def test_a_request_takes_the_keywords_of_both(keywords: dict[str, Any]) -> None:
    request = wsgi_api.Request(webob.Request.blank("/").environ, **keywords)
    assert request.method == keywords.get("method", "GET")


def test_every_public_name_says_what_it_is() -> None:
    for name in wsgi_api.__all__:
        found = getattr(wsgi_api, name)
        assert inspect.getdoc(found), name
        if inspect.isclass(found):
            for member, value in vars(found).items():
                if member.startswith("_") or not isinstance(
                    value,
                    (Callable, property, classmethod),  # type: ignore[arg-type]
                ):
                    continue
                if inspect.isclass(value):
                    continue
                assert inspect.getdoc(value), f"{name}.{member}"


def _run(code: str) -> str:
    command = [sys.executable, "-W", "ignore", "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_importing_it_brings_nothing_heavy() -> None:
    heavy = [
        "eventlet",
        "jsonschema",
        "orjson",
        "msgspec",
        "oslo_config",
        "paste.deploy",
    ]
    heavy += ["oslo_serialization", "babel", "wsgi_server", "wsgi_paste", "wsgi_stack"]
    code = f"import sys, wsgi_api; print([m for m in {heavy} if m in sys.modules])"
    assert _run(code).strip() == "[]"


def test_it_answers_through_wsgiref() -> None:
    code = """
from wsgiref.handlers import SimpleHandler
from wsgiref.util import setup_testing_defaults
import io, wsgi_api
mapper = wsgi_api.APIMapper()
class Hello:
    def show(self, req, name):
        return {"hello": name}
mapper.connect("/{name}", controller=wsgi_api.Resource(Hello()), action="show")
environ = {"PATH_INFO": "/world"}
setup_testing_defaults(environ)
out = io.BytesIO()
SimpleHandler(io.BytesIO(), out, io.StringIO(), environ).run(wsgi_api.Router(mapper))
print(out.getvalue().decode())
"""
    assert '{"hello": "world"}' in _run(code)
