"""JSON Schema for the bodies of actions."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
import webob
import webob.exc
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


def _tree() -> dict[str, Any]:
    """Returns a recursive schema that costs jsonschema many calls for each level."""
    items: dict[str, Any] = {"items": {"$ref": "#/$defs/tree"}}
    for _ in range(6):
        items = {"allOf": [items]}
    return {"$defs": {"tree": items}, "$ref": "#/$defs/tree"}


@pytest.mark.parametrize("levels", [82, 99])
def test_a_body_that_a_recursive_schema_cannot_follow_is_refused(
    call: Call, caplog: pytest.LogCaptureFixture, levels: int
) -> None:
    router = _routed(_tree())
    response = call(router, "/", "POST", body=b"[" * levels + b"]" * levels)
    assert response.status_int == 400
    assert "schema at #: nested too deeply to be checked" in response.text
    assert caplog.records == []
    assert call(router, "/", "POST", json=[[[]]]).json == [[[]]]


def test_a_reference_to_nothing_is_about_the_body_for_the_client_and_logged(
    call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    router = _routed({"items": {"$ref": "#/$defs/nothing"}})
    response = call(router, "/", "POST", json=[1])
    assert response.status_int == 400
    assert "nothing" not in response.text
    [record] = caplog.records
    assert record.exc_info
    assert call(router, "/", "POST", json=[]).status_int == 200


def _by_validator(validator: Callable[[Any], Any]) -> Router:
    class Echo:
        @validated(validator=validator)
        def create(self, req: Request, body: Any) -> Any:
            return body

    mapper = APIMapper()
    mapper.connect("/", controller=Resource(Echo()), action="create")
    return Router(mapper)


def _raises(exc: Exception) -> Callable[[Any], Any]:
    def validate(body: Any) -> Any:
        raise exc

    return validate


@pytest.mark.parametrize(
    ("raised", "code", "told", "logged"),
    [
        (ValueError("too <odd>"), 400, "schema at #: too &lt;odd&gt;.", 0),
        (ValueError("x" * 5000), 400, "x" * 200 + "&#8230;.", 0),
        (RecursionError("inner secret"), 400, "too deeply", 0),
        (OverflowError("inner secret"), 400, "out of range", 0),
        (TypeError("inner secret"), 400, "cannot be checked", 1),
        (KeyError("inner secret"), 400, "cannot be checked", 1),
        (AssertionError("inner secret"), 400, "cannot be checked", 1),
        (webob.exc.HTTPConflict("as it is"), 409, "as it is", 0),
    ],
)
def test_whatever_a_validator_raises_is_about_the_body(
    call: Call,
    caplog: pytest.LogCaptureFixture,
    raised: Exception,
    code: int,
    told: str,
    logged: int,
) -> None:
    router = _by_validator(_raises(raised))
    response = call(router, "/", "POST", json={}, accept="text/html")
    assert response.status_int == code
    assert told in response.text
    assert "secret" not in response.text
    assert len(caplog.records) == logged


def test_an_action_gets_what_a_validator_makes_of_the_body(call: Call) -> None:
    assert call(_by_validator(len), "/", "POST", json=[1, 2]).json == 2
    assert call(_by_validator(lambda _: None), "/", "POST", json=[1]).json == [1]


def test_msgspec_validates(call: Call) -> None:
    msgspec = pytest.importorskip("msgspec")
    router = _by_validator(lambda body: msgspec.convert(body, type=dict[str, int]))
    assert call(router, "/", "POST", json={"a": 1}).json == {"a": 1}
    response = call(router, "/", "POST", json={"a": "x"})
    assert response.status_int == 400
    assert "Expected `int`" in response.text


def test_an_action_is_validated_by_one_thing() -> None:
    with pytest.raises(TypeError, match="either a schema or a validator"):
        validated()
    with pytest.raises(TypeError, match="either a schema or a validator"):
        validated(schema={}, validator=len)


def _formatted(formats: Any, name: str = "uuid") -> Router:
    class Echo:
        @validated(schema={"items": {"format": name}}, formats=formats)
        def create(self, req: Request, body: Any) -> Any:
            return body

    mapper = APIMapper()
    mapper.connect("/", controller=Resource(Echo()), action="create")
    return Router(mapper)


def test_formats_are_checked_where_the_service_wants_it(call: Call) -> None:
    good, bad = [str(uuid.uuid4())], ["no uuid"]
    assert call(_formatted(False), "/", "POST", json=bad).json == bad
    assert call(_formatted(True), "/", "POST", json=good).json == good
    response = call(_formatted(True), "/", "POST", json=bad)
    assert response.status_int == 400
    assert "schema at #/0: 'no uuid' is not a 'uuid'" in response.text


def test_a_service_may_bring_formats_of_its_own(call: Call) -> None:
    checker = jsonschema.FormatChecker(formats=())
    checker.checks("image-name")(lambda value: value.islower())
    assert call(_formatted(checker, "image-name"), "/", "POST", json=["a"]).json
    response = call(_formatted(checker, "image-name"), "/", "POST", json=["A"])
    assert response.status_int == 400
    # What its checks raise is about the body as well.
    assert call(
        _formatted(checker, "image-name"), "/", "POST", json=[1]
    ).status_int == (400)


def test_formats_that_cannot_be_checked_are_named_where_they_stand() -> None:
    schema = {
        "properties": {
            "format": {"type": "string", "format": "one"},
            "list": {"anyOf": [{"format": "two"}]},
            "data": {"enum": [{"format": "three"}], "format": "uuid"},
        }
    }
    with pytest.raises(ValueError, match="formats one, two cannot be checked"):
        validated(schema=schema, formats=True)
    validated(schema=schema)


def test_a_schema_that_is_none_is_told_where_it_stands() -> None:
    with pytest.raises(jsonschema.SchemaError):
        validated(schema={"type": "no such type"})
