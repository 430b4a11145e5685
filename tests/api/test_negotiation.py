"""Resource: several serializers, strictness, formats of errors, schemas, encoders."""

from __future__ import annotations

import dataclasses
import datetime
import json
import uuid
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import webob
import webob.exc
from wsgi_api import (
    APIMapper,
    JSONRequestDeserializer,
    JSONResponseSerializer,
    RejectMethodController,
    Request,
    Resource,
    Router,
    XMLResponseSerializer,
    fast_encoder,
    validated,
)

Call = Callable[..., webob.Response]

_BOTH = {
    "application/json": JSONResponseSerializer(),
    "application/xml": XMLResponseSerializer(),
}


class Controller:
    def show(self, req: Request, **kwargs: Any) -> Any:
        return {"image": {"id": 1}}

    def broken(self, req: Request, **kwargs: Any) -> Any:
        raise RuntimeError("inner secret")


def _router(**options: Any) -> Router:
    mapper = APIMapper()
    resource = Resource(Controller(), serializers=_BOTH, **options)
    mapper.connect("/image{.format}", controller=resource, action="show")
    mapper.connect("/broken", controller=resource, action="broken")
    reject = Resource(RejectMethodController(), **options)
    mapper.connect("/no", controller=reject, action="reject", allowed_methods="PUT")
    return Router(mapper, error_format=options.get("error_format"))


@pytest.mark.parametrize(
    ("path", "accept", "content_type"),
    [
        ("/image", None, "application/json"),
        ("/image", "*/*", "application/json"),
        ("/image", "application/xml", "application/xml"),
        ("/image", "application/xml;q=0.2, application/json;q=0.1", "application/xml"),
        ("/image", "application/*", "application/json"),
        ("/image", "image/png", "application/json"),
        ("/image", "not; a header", "application/json"),
        ("/image", "application/xml;charset=utf-8", "application/xml"),
        ("/image", 'Application/XML ; Charset="utf-8"', "application/xml"),
        ("/image", "application/xml;", "application/xml"),
        ("/image", "application/xml; ;q=0.5, text/*;", "application/xml"),
        ("/image", "application/xml;charset=utf-8, */*;q=0.1", "application/xml"),
        ("/image", "application/xml;v=1;q=0.2, */*;q=0.1", "application/xml"),
        ("/image", "application/xml;v=1, application/xml;q=0", "application/json"),
        ("/image", "application/xml;v=1;q=0, */*", "application/json"),
        ("/image", "application/xml;v=1;q=0, application/*;v=1", "application/json"),
        ("/image", "text/*;level=1, application/xml;q=0.1", "application/xml"),
        ("/image.xml", "application/json", "application/xml"),
        ("/image.XML", None, "application/xml"),
        ("/image.png", None, "application/json"),
        ("/image?ContentType=JSON", "application/xml", "application/json"),
        ("/image?ContentType=xml", None, "application/xml"),
        ("/image?ContentType=application/xml", None, "application/xml"),
        ("/image?ContentType=", "application/xml", "application/xml"),
    ],
)
def test_the_serializer_is_the_one_asked_for(
    call: Call, path: str, accept: str | None, content_type: str
) -> None:
    response = call(_router(), path, headers={"Accept": accept} if accept else None)
    assert (response.status_int, response.content_type) == (200, content_type)


def test_parameters_of_accept_count_where_there_are_some_to_choose_from(
    call: Call,
) -> None:
    versions = {
        "application/json;version=1": JSONResponseSerializer(encoder=lambda _: b"1"),
        "application/json;version=2": JSONResponseSerializer(encoder=lambda _: b"2"),
    }
    app = Resource(SimpleNamespace(default=lambda req: {}), serializers=versions)
    for accept, body in (
        ("application/json;version=2", b"2"),
        ("application/json;version=1", b"1"),
        ("application/json", b"1"),
    ):
        assert call(app, "/", accept=accept).body == body


@pytest.mark.parametrize(
    "accept", ["application/json;charset=utf-8", "application/json; odata=verbose"]
)
def test_parameters_of_accept_neither_refuse_nor_unformat(
    call: Call, accept: str
) -> None:
    assert call(_router(strict=True), "/image", accept=accept).status_int == 200
    for path in ("/broken", "/no", "/nothing"):
        response = call(_router(), path, accept=accept)
        assert response.content_type == "application/json"
        assert response.json["code"].startswith(str(response.status_int))

    class Speaks(Request):
        response_types = ("application/xml", "application/json")

    assert Speaks.blank("/", accept=accept).best_match_content_type() == (
        "application/json"
    )


@pytest.mark.parametrize(
    ("path", "accept"),
    [("/image", "image/png"), ("/image.png", None), ("/image?ContentType=PNG", None)],
)
def test_what_cannot_be_had_is_406_for_the_strict(
    call: Call, path: str, accept: str | None
) -> None:
    headers = {"Accept": accept} if accept else None
    response = call(_router(strict=True), path, headers=headers)
    assert response.status_int == 406
    assert "application/json, application/xml" in response.text
    assert call(_router(strict=True), "/image").status_int == 200


@pytest.mark.parametrize(
    ("path", "accept", "vary"),
    [
        ("/image", None, "Accept"),
        ("/image", "application/xml", "Accept"),
        ("/image", "application/json", "Accept"),
        ("/image.png", "image/png", "Accept"),
        ("/image.json", "application/xml", None),
        ("/image?ContentType=XML", "application/json", None),
    ],
)
def test_vary_names_accept_where_it_chose_the_serializer(
    call: Call, path: str, accept: str | None, vary: str | None
) -> None:
    response = call(_router(), path, headers={"Accept": accept} if accept else None)
    assert response.headers.get("Vary") == vary


def test_vary_leaves_out_what_chooses_nothing(call: Call) -> None:
    one = {"application/json": JSONResponseSerializer()}
    for options, vary in (
        ({}, None),
        ({"serializers": one}, None),
        ({"serializers": one, "strict": True}, "Accept"),
    ):
        mapper = APIMapper()
        resource = Resource(Controller(), **options)
        mapper.connect("/image", controller=resource, action="show")
        assert call(Router(mapper), "/image").headers.get("Vary") == vary


@pytest.mark.parametrize(
    ("path", "options", "vary"),
    [
        ("/image", {"strict": True, "error_format": "json"}, "Accept, Accept-Language"),
        ("/broken", {"error_format": "json"}, "Accept-Language"),
        ("/broken", {}, "Accept-Language, Accept"),
        ("/nothing", {"error_format": "problem"}, "Accept-Language"),
    ],
)
def test_vary_of_an_error_names_what_chose_its_words_and_its_form(
    call: Call, path: str, options: dict[str, Any], vary: str
) -> None:
    response = call(_router(**options), path, headers={"Accept": "image/png"})
    assert response.status_int >= 400
    assert response.headers["Vary"] == vary


def test_a_query_that_is_not_utf8_is_400(call: Call) -> None:
    assert call(_router(), "/image?ContentType=%ff").status_int == 400


def test_a_body_of_another_type_is_415(call: Call) -> None:
    deserializer = JSONRequestDeserializer(content_types=["application/json"])
    mapper = APIMapper()
    resource = Resource(Controller(), deserializer)
    mapper.connect("/", controller=resource, action="show")
    router = Router(mapper)
    for content_type in ("text/xml", None):
        response = call(router, "/", "POST", body=b"{}", content_type=content_type)
        assert response.status_int == 415
    assert (
        "text/xml"
        in call(router, "/", "POST", body=b"{}", content_type="text/xml").text
    )
    response = call(router, "/", "POST", json={}, content_type="application/json")
    assert response.status_int == 200
    assert call(router, "/", "POST").status_int == 200


@pytest.mark.parametrize(
    ("charset", "body", "status"),
    [
        ("utf-8", "é".encode(), 200),
        ("UTF8", "é".encode(), 200),
        ("iso-8859-1", "é".encode("latin-1"), 200),
        ("utf-16", "é".encode("utf-16"), 200),
        ("us-ascii", "é".encode(), 400),
        ("no-such-charset", b"e", 415),
        ("rot13", b"e", 415),
        ("idna", b"e", 415),
        ("utf-7", b"e", 415),
        ("hex", b"e", 415),
        ('"', b"e", 200),
    ],
)
def test_the_charset_of_the_content_type_counts(
    call: Call, charset: str, body: bytes, status: int
) -> None:
    mapper = APIMapper()

    class Echo:
        def show(self, req: Request, body: Any) -> Any:
            return body

    mapper.connect("/", controller=Resource(Echo()), action="show")
    encoding = "utf-16" if charset == "utf-16" else "ascii"
    quote, end = '["'.encode(encoding), '"]'.encode(encoding)
    if encoding == "utf-16":
        body, end = body[2:], end[2:]
    response = call(
        Router(mapper),
        "/",
        "POST",
        environ={
            "CONTENT_TYPE": f"application/json; charset={charset}",
            "CONTENT_LENGTH": str(len(quote + body + end)),
            "wsgi.input": __import__("io").BytesIO(quote + body + end),
        },
    )
    assert response.status_int == status
    if status == 200:
        assert response.json in (["é"], ["e"])


@pytest.mark.parametrize(
    ("path", "code"), [("/nothing", 404), ("/no", 405), ("/broken", 500)]
)
def test_errors_come_as_json_or_as_problems(call: Call, path: str, code: int) -> None:
    as_json = call(_router(error_format="json"), path)
    assert as_json.status_int == code
    assert as_json.json["error"]["code"] == code
    problem = call(_router(error_format="problem"), path)
    assert problem.content_type == "application/problem+json"
    assert problem.json["status"] == code
    assert "secret" not in as_json.text + problem.text


def test_there_are_three_formats() -> None:
    with pytest.raises(ValueError, match="webob, json, problem"):
        Resource(None, error_format="xml")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="webob, json, problem"):
        Router(APIMapper(), error_format="xml")  # type: ignore[arg-type]


def test_405_from_the_mapper_where_the_service_wants_it(call: Call) -> None:
    mapper = APIMapper()
    resource = Resource(Controller())
    for method in ("GET", "PUT"):
        mapper.connect(
            "/image",
            controller=resource,
            action="show",
            conditions={"method": [method]},
        )
    router = Router(mapper, method_not_allowed=True)
    response = call(router, "/image", "DELETE", headers={"Accept-Language": "de"})
    assert response.status_int == 405
    assert response.headers["Allow"] == "GET, HEAD, PUT"
    assert "nicht erlaubt" in response.text
    assert call(router, "/nothing", "DELETE").status_int == 404
    assert call(router, "/image").status_int == 200
    assert call(Router(mapper), "/image", "DELETE").status_int == 404


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for name in ("jsonschema", "orjson", "msgspec"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ModuleNotFoundError, match=r"wsgi-api\[schema\]"):
        validated(schema={})
    with pytest.raises(ModuleNotFoundError, match=r"wsgi-api\[fast\]"):
        fast_encoder()


def test_only_known_libraries_are_fast() -> None:
    with pytest.raises(ValueError, match="orjson, msgspec"):
        fast_encoder("simplejson")


@pytest.mark.parametrize("library", ["orjson", "msgspec", None])
def test_the_fast_encoder_writes_the_same_compactly(library: str | None) -> None:
    pytest.importorskip(library or "orjson")
    data = {
        "id": uuid.UUID(int=1),
        "when": datetime.datetime(2024, 5, 3, 10, 11, 12, 7),  # noqa: DTZ001
        "tags": {"a"},
        "name": "é",
        "nested": [1, None, True, {"x": 1.5}],
    }
    fast = JSONResponseSerializer(encoder=fast_encoder(library)).to_json(data)
    slow = JSONResponseSerializer().to_json(data)
    assert json.loads(fast) == json.loads(slow)
    assert len(fast) < len(slow)


@dataclasses.dataclass
class _User:
    name: str
    password: str

    def to_dict(self) -> dict[str, str]:
        return {"name": self.name}


def test_to_dict_decides_what_is_written_of_a_dataclass() -> None:
    users = [_User("one", "secret")]
    assert fast_encoder("orjson")(users) == b'[{"name":"one"}]'
    assert JSONResponseSerializer().to_json(users) == b'[{"name": "one"}]'
    # As its documentation warns.
    assert fast_encoder("msgspec")(users) == b'[{"name":"one","password":"secret"}]'


@pytest.mark.parametrize("library", ["orjson", "msgspec"])
@pytest.mark.parametrize(
    "data",
    [
        {"a": "\ud800"},
        {"\udfff": 1},
        [2**70],
        {True: 1, None: 2},
        ["\ud800", uuid.UUID(int=1)],
    ],
)
def test_what_the_fast_library_refuses_the_standard_one_writes(
    library: str, data: Any
) -> None:
    written = fast_encoder(library)(data)
    assert json.loads(written) == json.loads(JSONResponseSerializer().to_json(data))


@pytest.mark.parametrize("library", ["orjson", "msgspec"])
def test_an_iterator_is_written_whole_by_whoever_writes_it(library: str) -> None:
    data = {"numbers": map(abs, [-1, 2]), "text": "\ud800"}
    written = json.loads(fast_encoder(library)(data))
    assert written == {"numbers": [1, 2], "text": "\ud800"}


@pytest.mark.parametrize("library", ["orjson", "msgspec"])
def test_what_nobody_can_write_is_a_type_error(library: str) -> None:
    with pytest.raises(TypeError, match="no JSON form"):
        fast_encoder(library)([object()])


def test_an_encoder_is_used_for_answers(call: Call) -> None:
    serializer = JSONResponseSerializer(encoder=lambda data: b"encoded")
    mapper = APIMapper()
    resource = Resource(Controller(), serializer=serializer)
    mapper.connect("/", controller=resource, action="show")
    assert call(Router(mapper), "/").body == b"encoded"
    request = Request.blank("/")
    request.environ["wsgiorg.routing_args"] = (None, {"action": "show"})
    response = resource(request)
    assert isinstance(response, webob.Response)
    assert (response.body, response.content_type) == (b"encoded", "application/json")


def test_an_overridden_dispatch_sees_every_call(call: Call) -> None:
    seen = []

    class Watched(Resource):
        def dispatch(self, obj: Any, action: Any, *args: Any, **kwargs: Any) -> Any:
            seen.append(type(obj).__name__)
            return super().dispatch(obj, action, *args, **kwargs)

    mapper = APIMapper()
    mapper.connect("/", controller=Watched(Controller()), action="show")
    assert call(Router(mapper), "/").json == {"image": {"id": 1}}
    assert seen == ["JSONRequestDeserializer", "Controller", "JSONResponseSerializer"]


def test_head_answers_without_a_body(call: Call) -> None:
    response = call(_router(), "/image", "HEAD")
    assert response.body == b""
    assert response.content_length == len(b'{"image": {"id": 1}}')
