"""JSON Schema for the bodies of actions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import webob
from wsgi_api import APIMapper, Request, Resource, Router, validated

Call = Callable[..., webob.Response]

jsonschema = pytest.importorskip("jsonschema")
_IMAGE = {
    "type": "object",
    "properties": {"a/b": {"items": {"maximum": 5}}, "name": {"maxLength": 10}},
}


class _Validated:
    @validated(schema=_IMAGE)
    def create(self, req: Request, body: Any) -> Any:
        return body


def _routed(schema: dict[str, Any]) -> Router:
    class Echo:
        @validated(schema=schema)
        def create(self, req: Request, body: Any) -> Any:
            return body

    mapper = APIMapper()
    mapper.connect("/", controller=Resource(Echo()), action="create")
    return Router(mapper)


def test_a_body_has_to_fit_its_schema(call: Call) -> None:
    mapper = APIMapper()
    mapper.connect("/", controller=Resource(_Validated()), action="create")
    router = Router(mapper)
    assert call(router, "/", "POST", json={"a/b": [5]}).json == {"a/b": [5]}
    response = call(router, "/", "POST", json={"a/b": [1, 9]})
    assert response.status_int == 400
    assert "#/a~1b/1" in response.text
    response = call(router, "/", "POST", json=[])
    assert " #: " in response.text
    response = call(router, "/", "POST", json={"name": "x" * 5000})
    assert len(response.text) < 500
    assert call(router, "/").status_int == 400


@pytest.mark.parametrize("accept", ["text/html", "text/plain", "application/json"])
def test_a_key_that_is_no_utf8_is_refused_in_every_format(
    call: Call, accept: str
) -> None:
    router = _routed({"additionalProperties": {"type": "string"}})
    headers = {"Accept": accept}
    response = call(router, "/", "POST", body=b'{"\\ud800": 1}', headers=headers)
    assert response.status_int == 400
    assert "schema at #/" in response.text
    body = b'{"\\ud800": "1"}'
    assert call(router, "/", "POST", body=body, headers=headers).status_int == 200


@pytest.mark.parametrize("number", [10**400, -(10**400)])
def test_a_number_that_jsonschema_cannot_compute_with_is_refused(
    call: Call, number: int
) -> None:
    router = _routed({"properties": {"price": {"multipleOf": 0.01}}})
    response = call(router, "/", "POST", json={"price": number})
    assert response.status_int == 400
    assert "out of range" in response.text
    assert call(router, "/", "POST", json={"price": 10**300}).status_int == 200


def test_a_schema_that_is_none_is_told_where_it_stands() -> None:
    with pytest.raises(jsonschema.SchemaError):
        validated(schema={"type": "no such type"})
