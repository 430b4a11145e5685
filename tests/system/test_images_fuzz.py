"""Whatever a client sends, the example refuses it in JSON and never fails itself."""

from __future__ import annotations

import json

import webob
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from system.registry import Registry

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=20), inner, max_size=4)
    ),
    max_leaves=8,
)
BODIES = (
    st.binary(max_size=200)
    | JSON_VALUES.map(lambda value: json.dumps(value).encode())
    | st.dictionaries(
        st.sampled_from(["name", "os", "size", "tags"]), JSON_VALUES, max_size=4
    ).map(lambda value: json.dumps(value).encode())
    | st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "op": st.sampled_from(["add", "remove", "replace"]) | JSON_VALUES,
                "path": st.sampled_from(["/os", "/name", "/a~1b", ""]) | JSON_VALUES,
                "value": JSON_VALUES,
            },
        ),
        max_size=3,
    ).map(lambda value: json.dumps(value).encode())
)
NAMES = st.sampled_from(["first", "second"]) | st.binary(max_size=20).map(
    lambda raw: raw.decode("latin-1")
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "CONTENT_TYPE": st.sampled_from(
            ["application/json", "application/json-patch+json", ";", "\xff"]
        ),
        "HTTP_RANGE": st.sampled_from(["bytes=0-", "bytes=-", "bytes=9-1", "x=\xff"])
        | st.text(st.characters(max_codepoint=255), max_size=20),
        "HTTP_IF_NONE_MATCH": st.text(st.characters(max_codepoint=255), max_size=20),
        "HTTP_IF_RANGE": st.text(st.characters(max_codepoint=255), max_size=20),
        "HTTP_ACCEPT": st.text(st.characters(max_codepoint=255), max_size=20),
        "HTTP_ACCEPT_LANGUAGE": st.sampled_from(["fr", "*", "x-\xff", "de;q=2"]),
        "QUERY_STRING": st.sampled_from(
            [
                "limit=1",
                "limit=%FF",
                "limit=" + "9" * 5000,
                "marker=%00",
                "marker=%ED%A0",
            ]
        )
        | st.text(st.characters(max_codepoint=255), max_size=20),
    },
)


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    # What one example leaves in the registry is there for the next, as with clients.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    method=st.sampled_from(
        ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    ),
    name=NAMES,
    path=st.sampled_from(
        ["/v1/images", "/v1/images/{}", "/v1/images/{}/file", "/{}", "/healthcheck"]
    ),
    headers=HEADERS,
    body=st.none() | BODIES,
)
def test_no_request_makes_the_service_fail(
    registry: Registry,
    method: str,
    name: str,
    path: str,
    headers: dict[str, str],
    body: bytes | None,
) -> None:
    request = webob.Request.blank("/", method=method)
    if body is not None:
        request.body = body
    request.environ.update(headers)
    request.environ["PATH_INFO"] = path.format(name)
    answer = registry.send(request)
    assert answer.status_int < 500, answer.text
    if answer.status_int >= 400 and method != "HEAD":
        assert answer.json["error"]["code"] == answer.status_int
        assert answer.json["error"]["message"]
    still = registry.request("GET", "/v1/images")
    assert still.status_int == 200
