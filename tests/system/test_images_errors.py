"""Errors of the example: JSON, with the right status, in the language of the client."""

from __future__ import annotations

import re

import pytest
from system.registry import Registry

JSON = "application/json"
IMAGE = "/v1/images/first"
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"}


@pytest.mark.parametrize(
    ("method", "path", "body", "content_type", "status"),
    [
        ("GET", "/", None, "", 404),
        ("GET", "/v1", None, "", 404),
        ("GET", "/v2/images", None, "", 404),
        ("GET", "/v1/images/none", None, "", 404),
        ("GET", "/v1/images/-", None, "", 404),
        ("GET", "/v1/images/%00", None, "", 404),
        ("GET", "/v1/images/none/file", None, "", 404),
        ("PUT", "/v1/images/none/file", b"x", "", 404),
        ("DELETE", "/v1/images/none", None, "", 404),
        ("POST", "/v1/images", b'{"name": "first"}', JSON, 409),
        ("POST", "/v1/images", b'{"name": "a b"}', JSON, 400),
        ("POST", "/v1/images", b'{"name": "../x"}', JSON, 400),
        ("POST", "/v1/images", b'{"name": ["x"]}', JSON, 400),
        ("POST", "/v1/images", b"{}", JSON, 400),
        ("POST", "/v1/images", b"[]", JSON, 400),
        ("POST", "/v1/images", b'{"name": ', JSON, 400),
        ("POST", "/v1/images", b'{"name": "a", "name": "b"}', JSON, 400),
        ("POST", "/v1/images", b"\xff", JSON, 400),
        ("POST", "/v1/images", b'{"name": "x", "size": 1}', JSON, 403),
        ("POST", "/v1/images", b'{"name": "x"}', "text/plain", 415),
        ("POST", "/v1/images", b'{"name": "x"}', "", 415),
        ("POST", "/v1/images", b"[" * 200 + b"]" * 200, JSON, 400),
        ("POST", "/v1/images", b'"' + b"x" * (1 << 20) + b'"', JSON, 413),
        ("PUT", IMAGE, b"[]", JSON, 400),
        ("PUT", IMAGE, b"os=debian", "application/x-www-form-urlencoded", 415),
        ("PATCH", IMAGE, b"[]", JSON, 415),
        ("PUT", f"{IMAGE}/file", b"x", "text/html", 415),
    ],
)
def test_errors_are_json(
    registry: Registry,
    method: str,
    path: str,
    body: bytes | None,
    content_type: str,
    status: int,
) -> None:
    registry.create("first")
    headers = {"Content_Type": content_type} if content_type else {}
    answer = registry.request(method, path, body, Accept="text/html", **headers)
    assert answer.status_int == status
    assert answer.content_type == JSON
    assert answer.json["error"]["code"] == status
    assert answer.json["error"]["message"]
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    ("operation", "status"),
    [
        ('{"op": "add", "path": "/a", "value": null}', 200),
        ('{"op": "add", "path": "/a"}', 400),
        ('{"op": "move", "path": "/a", "from": "/b"}', 400),
        ('{"op": [], "path": "/a"}', 400),
        ('{"op": "add", "path": "/a/b", "value": 1}', 400),
        ('{"op": "add", "path": "a", "value": 1}', 400),
        ('{"op": "add", "value": 1}', 400),
        ('"add"', 400),
        ('{"op": "remove", "path": "/none"}', 409),
        ('{"op": "replace", "path": "/none", "value": 1}', 409),
    ],
)
def test_patches_that_do_not_fit(
    registry: Registry, operation: str, status: int
) -> None:
    registry.create("first")
    answer = registry.request(
        "PATCH",
        IMAGE,
        f"[{operation}]".encode(),
        Content_Type="application/json-patch+json",
    )
    assert answer.status_int == status


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/images", {"GET", "HEAD", "POST"}),
        (IMAGE, {"GET", "HEAD", "PUT", "PATCH", "DELETE"}),
        (f"{IMAGE}/file", {"GET", "HEAD", "PUT"}),
    ],
)
def test_other_methods_are_refused_with_those_allowed(
    registry: Registry, path: str, allowed: set[str]
) -> None:
    registry.create("first", b"content")
    for method in sorted(METHODS - allowed):
        # A body that is no JSON must not make it another error.
        answer = registry.request(method, path, b"{")
        assert answer.status_int == 405, method
        assert set(re.split(", *", answer.headers["Allow"])) == allowed
        assert answer.json["error"]["code"] == 405
    assert registry.request("GET", path).status_int == 200


def test_errors_speak_the_language_of_the_client(registry: Registry) -> None:
    english = registry.request("GET", "/v1/images/none")
    french = registry.request(
        "GET", "/v1/images/none", Accept_Language="fr-CA, en;q=0.5"
    )
    assert french.status_int == 404
    assert "could not be found" in english.json["error"]["message"]
    assert "introuvable" in french.json["error"]["message"]


def test_a_failing_disk_is_a_500_that_tells_nothing(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    registry.create("first")
    (registry.state / "arriving").rmdir()
    answer = registry.request("PUT", f"{IMAGE}/file", b"content")
    assert answer.status_int == 500
    assert answer.json["error"]["code"] == 500
    assert str(registry.state) not in answer.text
    assert [record.exc_info is not None for record in caplog.records] == [True]
    (registry.state / "arriving").mkdir()
    assert registry.request("PUT", f"{IMAGE}/file", b"content").status_int == 200
