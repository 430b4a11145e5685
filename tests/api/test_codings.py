"""Bodies in content codings: RFC 9110, 8.4."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import pytest
import webob
import webob.exc
from wsgi_api import APIMapper, JSONRequestDeserializer, Request, Resource, Router

Call = Callable[..., webob.Response]

_BODY = b'{"a": "\xc3\xa9"}'
_BOTH = ("gzip", "deflate")


def _gzip(body: bytes) -> bytes:
    # Without the time of day, which would be in the names of tests.
    return gzip.compress(body, mtime=0)


def _echo(**settings: Any) -> Router:
    class Echo:
        def act(self, req: Request, **args: Any) -> Any:
            return args

    mapper = APIMapper()
    resource = Resource(Echo(), JSONRequestDeserializer(**settings))
    mapper.connect("/", controller=resource, action="act")
    return Router(mapper, use_method_override=True)


def _post(call: Call, app: Any, coding: str, body: bytes, **kwargs: Any) -> Any:
    headers = {"Content-Encoding": coding}
    return call(app, "/", "POST", headers=headers, body=body, **kwargs)


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", _gzip(_BODY)),
        ("GZIP", _gzip(_BODY)),
        ("x-gzip", _gzip(_BODY)),
        ("identity, gzip", _gzip(_BODY)),
        ("gzip", _gzip(_BODY[:3]) + _gzip(_BODY[3:])),
        ("deflate", zlib.compress(_BODY)),
        ("identity", _BODY),
        ("", _BODY),
        (" , ", _BODY),
    ],
)
def test_bodies_are_decoded_where_the_service_wants_it(
    call: Call, coding: str, body: bytes
) -> None:
    answer = _post(call, _echo(content_encodings=_BOTH), coding, body)
    assert answer.json == {"body": {"a": "é"}}


@pytest.mark.parametrize(
    ("known", "coding", "accepted"),
    [
        ((), "gzip", "identity"),
        ((), "deflate", "identity"),
        (("gzip",), "deflate", "gzip"),
        (_BOTH, "br", "deflate, gzip"),
        (_BOTH, "gzip, gzip", "deflate, gzip"),
        (_BOTH, "utf-8", "deflate, gzip"),
    ],
)
def test_other_codings_are_415_and_the_client_learns_which_are_read(
    call: Call, known: tuple[str, ...], coding: str, accepted: str
) -> None:
    answer = _post(call, _echo(content_encodings=known), coding, _gzip(_BODY))
    assert answer.status_int == 415
    assert answer.headers["Accept-Encoding"] == accepted
    assert coding in answer.text
    assert _post(call, _echo(content_encodings=known), "identity", _BODY).json


def test_a_coding_without_a_body_does_not_matter(call: Call) -> None:
    assert call(_echo(), "/", headers={"Content-Encoding": "gzip"}).json == {}


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", _BODY),
        ("gzip", _gzip(_BODY)[:-1]),
        ("gzip", _gzip(_BODY)[:-8] + b"\0" * 8),
        ("gzip", _gzip(_BODY) + b"x"),
        ("gzip", zlib.compress(_BODY)),
        ("deflate", _BODY),
        ("deflate", zlib.compress(_BODY)[:-1]),
        ("deflate", zlib.compress(_BODY) + b"x"),
    ],
)
def test_what_is_not_in_its_coding_is_400(call: Call, coding: str, body: bytes) -> None:
    answer = _post(call, _echo(content_encodings=_BOTH), coding, body)
    assert answer.status_int == 400
    assert f"cannot be decoded as {coding}" in answer.text


@pytest.mark.parametrize(
    ("coding", "compress"), [("gzip", _gzip), ("deflate", zlib.compress)]
)
def test_a_bomb_is_413_and_does_not_go_off(
    call: Call, coding: str, compress: Callable[[bytes], bytes]
) -> None:
    app = _echo(content_encodings=_BOTH, max_json_body_size=100_000)
    bomb = compress(b" " * 50_000_000)
    assert len(bomb) < 100_000
    tracemalloc.start()
    try:
        assert _post(call, app, coding, bomb).status_int == 413
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()
    # Its control: as much as is allowed.
    body = compress(b"[" + b" " * 99_998 + b"]")
    assert _post(call, app, coding, body).json == {"body": []}
    body = compress(b"[" + b" " * 99_999 + b"]")
    assert _post(call, app, coding, body).status_int == 413


def test_the_request_keeps_the_body_as_it_came() -> None:
    body = _gzip(_BODY)
    request = Request.blank("/", method="POST", body=body)
    request.headers["Content-Encoding"] = "gzip"
    deserializer = JSONRequestDeserializer(content_encodings=_BOTH)
    for _ in range(2):
        assert deserializer.default(request) == {"body": {"a": "é"}}
        assert request.body == body


def test_codings_need_to_be_known_and_limited() -> None:
    with pytest.raises(ValueError, match=r"br.* none of gzip, deflate"):
        JSONRequestDeserializer(content_encodings={"br"})
    with pytest.raises(ValueError, match="max_json_body_size"):
        JSONRequestDeserializer(content_encodings=_BOTH, max_json_body_size=None)

    class Later(JSONRequestDeserializer):
        content_encodings = _BOTH

    assert Later().content_encodings == _BOTH
    with pytest.raises(ValueError, match="max_json_body_size"):
        Later(max_json_body_size=None)


@pytest.mark.parametrize("coding", ["gzip", "br"])
def test_a_form_in_a_coding_is_415(call: Call, coding: str) -> None:
    class Reads(JSONRequestDeserializer):
        def default(self, request: webob.Request) -> dict[str, Any]:
            form: Any = request.POST
            return {"a": form["a"]}

    class Echo:
        def act(self, req: Request, **args: Any) -> Any:
            return args

    mapper = APIMapper()
    mapper.connect("/", controller=Resource(Echo(), Reads()), action="act")
    app = Router(mapper, use_method_override=True)
    form = "application/x-www-form-urlencoded"
    answer = _post(call, app, coding, _gzip(b"a=1"), content_type=form)
    assert answer.status_int == 415
    assert answer.headers["Accept-Encoding"] == "identity"
    answer = _post(call, app, "identity", b"a=1", content_type=form)
    assert answer.json == {"a": "1"}
