"""What the example does with metadata: create, list, show, change, remove."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import webob
from system.registry import Registry

JSON = {"Content_Type": "application/json"}
PATCH = {"Content_Type": "application/json-patch+json"}


def patch(registry: Registry, name: str, *operations: Any) -> Any:
    body = json.dumps(list(operations)).encode()
    return registry.request("PATCH", f"/v1/images/{name}", body, **PATCH)


def names(page: Any) -> list[str]:
    return [image["name"] for image in page["images"]]


def test_a_new_image_is_shown_as_it_was_created(registry: Registry) -> None:
    body = b'{"name": "first", "os": "debian", "tags": ["a", "b"]}'
    made = registry.request("POST", "/v1/images", body, **JSON)
    assert made.status_int == 201
    assert made.location == "http://localhost/v1/images/first"
    assert made.json["os"] == "debian"
    assert made.json["tags"] == ["a", "b"]
    assert made.json["status"] == "queued"
    assert made.json["size"] is None
    shown = registry.request("GET", made.json["self"])
    assert shown.status_int == 200
    assert shown.json == made.json


def test_every_answer_of_the_api_carries_a_request_id(registry: Registry) -> None:
    for path in ("/v1/images", "/v1/images/none"):
        answer = registry.request("GET", path)
        assert answer.headers["x-openstack-request-id"].startswith("req-")


def test_the_health_check_answers_and_can_be_switched(
    load: Callable[..., Registry], tmp_path: Path
) -> None:
    switch = tmp_path / "maintenance"
    registry = load(
        more=f"[healthcheck]\nbackends = disable_by_file\n"
        f"disable_by_file_path = {switch}\n"
    )
    healthy = registry.request("GET", "/healthcheck")
    assert (healthy.status_int, healthy.text) == (200, "OK")
    switch.touch()
    assert registry.request("GET", "/healthcheck").status_int == 503
    switch.unlink()
    assert registry.request("GET", "/healthcheck").status_int == 200


def test_pages_link_to_each_other_and_hold_everything_once(registry: Registry) -> None:
    expected = [f"image-{number}" for number in range(5)]
    for name in expected:
        registry.create(name)
    seen = []
    page = registry.request("GET", "/v1/images?limit=2").json
    assert page["first"] == "/v1/images?limit=2"
    while True:
        seen.append(names(page))
        if "next" not in page:
            break
        page = registry.request("GET", page["next"]).json
    assert seen == [expected[:2], expected[2:4], expected[4:]]


def test_a_last_page_that_is_full_has_no_next(registry: Registry) -> None:
    for name in ("a", "b"):
        registry.create(name)
    assert "next" not in registry.request("GET", "/v1/images?limit=2").json
    assert "next" in registry.request("GET", "/v1/images?limit=1").json


def test_the_configuration_gives_the_page_size(load: Callable[..., Registry]) -> None:
    registry = load(page_size=1)
    registry.create("a")
    registry.create("b")
    assert names(registry.request("GET", "/v1/images").json) == ["a"]


@pytest.mark.parametrize("query", ["limit=0", "limit=-1", "limit=x", "limit=%C3%BC"])
def test_a_limit_that_is_no_positive_number_is_refused(
    registry: Registry, query: str
) -> None:
    assert registry.request("GET", f"/v1/images?{query}").status_int == 400
    assert registry.request("GET", "/v1/images?limit=1").status_int == 200


def test_a_marker_that_names_no_image_is_refused(registry: Registry) -> None:
    registry.create("a")
    assert registry.request("GET", "/v1/images?marker=b").status_int == 400
    assert registry.request("GET", "/v1/images?marker=%FF").status_int == 400
    assert registry.request("GET", "/v1/images?marker=a").json["images"] == []


def test_put_replaces_all_properties(registry: Registry) -> None:
    registry.create("first", os="debian", arch="arm64")
    body = b'{"os": "fedora"}'
    changed = registry.request("PUT", "/v1/images/first", body, **JSON)
    assert changed.status_int == 200
    assert changed.json["os"] == "fedora"
    assert "arch" not in changed.json


def test_put_takes_back_what_get_gave(registry: Registry) -> None:
    registry.create("first", b"content", os="debian")
    before = registry.request("GET", "/v1/images/first").json
    body = json.dumps({**before, "size": 0}).encode()
    after = registry.request("PUT", "/v1/images/first", body, **JSON).json
    assert {**after, "updated_at": ""} == {**before, "updated_at": ""}


def test_patch_adds_replaces_and_removes(registry: Registry) -> None:
    registry.create("first", os="debian", arch="arm64")
    changed = patch(
        registry,
        "first",
        {"op": "add", "path": "/a~1b", "value": [1]},
        {"op": "replace", "path": "/os", "value": "fedora"},
        {"op": "remove", "path": "/arch"},
    )
    assert changed.status_int == 200
    assert (changed.json["a/b"], changed.json["os"]) == ([1], "fedora")
    assert "arch" not in changed.json


def test_a_patch_is_applied_in_full_or_not_at_all(registry: Registry) -> None:
    registry.create("first", os="debian")
    add = {"op": "add", "path": "/a", "value": 1}
    refused = patch(registry, "first", add, {"op": "remove", "path": "/none"})
    assert refused.status_int == 409
    assert "a" not in registry.request("GET", "/v1/images/first").json
    assert patch(registry, "first", add).json["a"] == 1


@pytest.mark.parametrize("key", ["name", "size", "sha256", "status", "self"])
def test_what_the_service_sets_cannot_be_set(registry: Registry, key: str) -> None:
    registry.create("first")
    operation = {"op": "add", "path": f"/{key}", "value": "x"}
    refused = patch(registry, "first", operation)
    assert refused.status_int == 403
    assert key in refused.text
    assert patch(registry, "first", {**operation, "path": "/free"}).status_int == 200


def test_an_image_cannot_be_renamed(registry: Registry) -> None:
    registry.create("first")
    path = "/v1/images/first"
    assert registry.request("PUT", path, b'{"name": "x"}', **JSON).status_int == 403
    assert registry.request("PUT", path, b'{"name": "first"}', **JSON).status_int == 200


def test_a_removed_image_is_gone_with_its_content(registry: Registry) -> None:
    registry.create("first", b"content")
    assert len(registry.files()) == 1
    gone = registry.request("DELETE", "/v1/images/first")
    assert gone.status_int == 204
    assert "Content-Type" not in gone.headers
    assert registry.files() == []
    assert registry.request("GET", "/v1/images/first").status_int == 404
    assert registry.request("DELETE", "/v1/images/first").status_int == 404
    registry.create("first")


def test_mounted_below_a_prefix_the_links_have_it(registry: Registry) -> None:
    registry.create("first")
    request = webob.Request.blank("/v1/images?limit=1")
    request.script_name = "/registry"
    page = registry.send(request).json
    assert page["first"] == "/registry/v1/images?limit=1"
    assert page["images"][0]["file"] == "/registry/v1/images/first/file"


def test_the_debug_pipeline_prints_and_answers_the_same(
    load: Callable[..., Registry], capfd: pytest.CaptureFixture[str]
) -> None:
    registry = load("debug")
    registry.create("first", b"0123")
    assert registry.request("GET", "/v1/images/first/file").body == b"0123"
    printed = capfd.readouterr().err
    assert "PATH_INFO = /v1/images/first/file" in printed
    assert "0123" in printed
