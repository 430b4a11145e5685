"""Resource: from a routed request to an action and back."""

from __future__ import annotations

import functools
import io
import logging
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar
from unittest import mock

import pytest
import webob
import webob.exc
from wsgi_api import (
    APIMapper,
    JSONRequestDeserializer,
    JSONResponseSerializer,
    Request,
    Resource,
    Router,
)
from wsgi_api._i18n import Text

Call = Callable[..., webob.Response]


def _mounted(resource: Any, action: str = "act", **defaults: Any) -> Router:
    mapper = APIMapper()
    mapper.connect("/act/{id}", controller=resource, action=action, **defaults)
    mapper.connect("/act", controller=resource, action=action, **defaults)
    return Router(mapper)


class Controller:
    """Does what the test hands it."""

    def __init__(self, act: Callable[..., Any]) -> None:
        self.act = act


def _answer(act: Callable[..., Any]) -> Router:
    return _mounted(Resource(Controller(act)))


def _raise(exc: Exception) -> Callable[..., Any]:
    def act(req: Request, **kwargs: Any) -> Any:
        raise exc

    return act


def test_an_action_gets_request_and_arguments_and_its_result_is_json(
    call: Call,
) -> None:
    def act(req: Request, id: str, body: Any) -> Any:  # noqa: A002
        assert isinstance(req, Request)
        return {"id": id, "body": body}

    response = call(_answer(act), "/act/17", "POST", json={"a": 1})
    assert response.status_int == 200
    assert response.content_type == "application/json"
    assert response.json == {"id": "17", "body": {"a": 1}}


class Default:
    """Serves every action."""

    def default(self, *args: Any, **kwargs: Any) -> Any:
        return (args, kwargs)


class Index:
    def index(self, shirt: str, pants: str | None = None) -> Any:
        return (shirt, pants)

    _private = index


def test_dispatch_calls_the_method_of_the_action() -> None:
    assert Resource(None).dispatch(Index(), "index", "on", pants="off") == ("on", "off")


@pytest.mark.parametrize("action", ["index", None, "", "_private", "__class__"])
def test_dispatch_falls_back_to_default(action: str | None) -> None:
    found = Resource(None).dispatch(Default(), action, 1, a=2)
    assert found == ((1,), {"a": 2})


@pytest.mark.parametrize("action", ["show", "_private", "__class__"])
def test_dispatch_without_default_raises(action: str) -> None:
    with pytest.raises(AttributeError):
        Resource(None).dispatch(Index(), action, "on")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, {}),
        ({"wsgiorg.routing_args": []}, {}),
        ({"wsgiorg.routing_args": [None, None]}, {}),
        ({"wsgiorg.routing_args": None}, {}),
        (
            {"wsgiorg.routing_args": [None, {"action": "a", "id": 1}]},
            {"action": "a", "id": 1},
        ),
        (
            {"wsgiorg.routing_args": (None, {"controller": 1, "format": 2, "id": 3})},
            {"id": 3},
        ),
    ],
)
def test_get_action_args(environ: dict[str, Any], expected: dict[str, Any]) -> None:
    assert Resource(None).get_action_args(environ) == expected


def test_get_action_args_leaves_the_match_as_it_is() -> None:
    match = {"controller": 1, "id": 3}
    Resource(None).get_action_args({"wsgiorg.routing_args": (None, match)})
    assert match == {"controller": 1, "id": 3}


@pytest.mark.parametrize("flag", ["True", "true", "1", True])
def test_body_reject_refuses_a_body(call: Call, flag: Any) -> None:
    router = _mounted(Resource(Controller(lambda req: {})), body_reject=flag)
    assert call(router, "/act", "POST", json={}).status_int == 400
    assert call(router, "/act").json == {}


def test_body_reject_can_be_off(call: Call) -> None:
    resource = Resource(Controller(lambda req, body: body))
    router = _mounted(resource, body_reject="False")
    assert call(router, "/act", "POST", json={"a": 1}).json == {"a": 1}


def test_a_response_is_an_answer(call: Call) -> None:
    response = webob.Response(b"as it is", content_type="text/plain")
    assert call(_answer(lambda req: response), "/act").body == b"as it is"


def test_a_returned_exception_is_an_answer(call: Call) -> None:
    answer = call(_answer(lambda req: webob.exc.HTTPNoContent()), "/act")
    assert answer.status_int == 204


@pytest.mark.parametrize(
    "exc",
    [
        webob.exc.HTTPNotFound(explanation="no such image"),
        webob.exc.HTTPConflict(),
        webob.exc.HTTPSeeOther(location="/there"),
        webob.exc.HTTPNoContent(),
    ],
)
def test_http_exceptions_are_answers(
    call: Call, exc: webob.exc.WSGIHTTPException
) -> None:
    assert call(_answer(_raise(exc)), "/act").status_int == exc.code


def test_called_with_a_request_it_raises_http_exceptions() -> None:
    resource = Resource(Controller(_raise(webob.exc.HTTPNotFound())))
    request = Request.blank("/")
    request.environ["wsgiorg.routing_args"] = (None, {"action": "act"})
    with pytest.raises(webob.exc.HTTPNotFound):
        resource(request)


def test_called_with_a_request_it_returns_the_response() -> None:
    answer = webob.Response(b"as it is")
    request = Request.blank("/")
    request.environ["wsgiorg.routing_args"] = (None, {"action": "act"})
    assert Resource(Controller(lambda req: answer))(request) is answer
    written = Resource(Controller(lambda req: {"a": 1}))(request)
    assert isinstance(written, webob.Response)
    assert (written.json, written.request) == ({"a": 1}, request)


def test_the_unexpected_is_500_logged_once_and_not_told(
    call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        answer = call(_answer(_raise(KeyError("secret"))), "/act")
    assert answer.status_int == 500
    assert b"secret" not in answer.body
    assert b"Traceback" not in answer.body
    [record] = caplog.records
    assert record.exc_info is not None
    assert "secret" in caplog.text


def test_text_that_is_not_utf8_is_400(call: Call) -> None:
    answer = call(_answer(lambda req: dict(req.params)), "/act?name=%ff")
    assert answer.status_int == 400
    control = call(_answer(lambda req: dict(req.params)), "/act?name=%C3%A9")
    assert control.json == {"name": "é"}


def test_a_body_that_ends_early_is_400(call: Call) -> None:
    app = _answer(lambda req, body: body)
    environ = {"CONTENT_LENGTH": "100", "wsgi.input": io.BytesIO(b"{}")}
    assert call(app, "/act", "POST", environ=environ).status_int == 400
    environ = {"CONTENT_LENGTH": "2", "wsgi.input": io.BytesIO(b"{}")}
    assert call(app, "/act", "POST", environ=environ).status_int == 200


def test_a_body_that_ends_early_in_the_services_hands_is_400(call: Call) -> None:
    class Raw(JSONRequestDeserializer):
        def act(self, request: Request) -> dict[str, Any]:
            return {"body": request.body}

    app = _mounted(Resource(Controller(lambda req, body: {}), Raw()))
    environ = {"CONTENT_LENGTH": "100", "wsgi.input": io.BytesIO(b"{}")}
    assert call(app, "/act", "POST", environ=environ).status_int == 400


def test_a_response_survives_a_serializer_that_cannot_write_it(call: Call) -> None:
    class Own(JSONResponseSerializer):
        def act(self, response: webob.Response, result: Any) -> None:
            response.body = self.to_json(result["id"])

    answer = webob.Response(b"as it is", content_type="text/plain")
    resource = Resource(Controller(lambda req: answer), serializer=Own())
    assert call(_mounted(resource), "/act").body == b"as it is"


def test_a_serializer_may_write_text(call: Call) -> None:
    class Text(JSONResponseSerializer):
        def to_json(self, data: Any) -> Any:
            return '"é"'

    resource = Resource(Controller(lambda req: {}), serializer=Text())
    assert call(_mounted(resource), "/act").body == '"é"'.encode()


def test_serializers_need_no_routing() -> None:
    class Index:
        def default(self, req: Request) -> Any:
            return {}

    json_only = {"application/json": JSONResponseSerializer()}
    response = Resource(Index(), serializers=json_only)(Request.blank("/"))
    assert response.json == {}


def test_other_arguments_than_the_action_takes_are_400(call: Call) -> None:
    app = _answer(lambda req: {})
    assert call(app, "/act/17").status_int == 400
    assert call(app, "/act", "POST", json={}).status_int == 400
    assert call(app, "/act").status_int == 200


def test_a_type_error_inside_the_action_is_a_bug(
    call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    def helper(a: int) -> int:
        return a

    def act(req: Request) -> Any:
        return helper()  # type: ignore[call-arg]

    def recursive(req: Request, deeper: bool = True) -> Any:
        return recursive(req, other=True)  # type: ignore[call-arg]

    assert call(_answer(act), "/act").status_int == 500
    assert call(_answer(recursive), "/act").status_int == 500
    assert call(_answer(_raise(TypeError("act() missing"))), "/act").status_int == 500
    assert len(caplog.records) == 3


def test_other_arguments_than_a_decorated_action_takes_are_400(call: Call) -> None:
    def checked(action: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(action)
        def wrapper(req: Request, **kwargs: Any) -> Any:
            return action(req, **kwargs)

        return wrapper

    @checked
    def act(req: Request) -> Any:
        return {}

    assert call(_answer(act), "/act/17").status_int == 400
    assert call(_answer(act), "/act").status_int == 200


def test_a_type_error_of_something_callable_is_a_bug(
    call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    class Callable_:
        def __call__(self, req: Request) -> Any:
            raise TypeError("whatever")

    assert call(_answer(Callable_()), "/act").status_int == 500
    assert len(caplog.records) == 1


def test_an_action_without_a_method_is_500(
    call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    assert call(_mounted(Resource(object())), "/act").status_int == 500
    assert "default" in caplog.text


class _Serializer(JSONResponseSerializer):
    def created(self, response: webob.Response, result: Any) -> None:
        response.status_int = 201
        response.headers["Location"] = "/images/1"
        self.default(response, result)

    def refused(self, response: webob.Response, result: Any) -> None:
        raise webob.exc.HTTPForbidden(explanation="not for you")


class _Actions:
    def created(self, req: Request) -> Any:
        return {"id": 1}

    def refused(self, req: Request) -> Any:
        return {}

    def odd(self, req: Request) -> Any:
        return object()


def test_a_serializer_writes_an_action_its_own_way(call: Call) -> None:
    resource = Resource(_Actions(), serializer=_Serializer())
    answer = call(_mounted(resource, "created"), "/act")
    assert answer.status_int == 201
    assert answer.headers["Location"] == "http://localhost/images/1"
    assert answer.json == {"id": 1}


def test_a_serializer_may_refuse(call: Call) -> None:
    resource = Resource(_Actions(), serializer=_Serializer())
    assert call(_mounted(resource, "refused"), "/act").status_int == 403


def test_a_result_that_cannot_be_written_is_500_and_logged(
    call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    assert call(_mounted(Resource(_Actions()), "odd"), "/act").status_int == 500
    assert "no JSON form for object" in caplog.text


def test_a_deserializer_reads_an_action_its_own_way(call: Call) -> None:
    class Upload(JSONRequestDeserializer):
        def act(self, request: Request) -> dict[str, Any]:
            return {"size": len(request.body)}

    resource = Resource(Controller(lambda req, size: {"size": size}), Upload())
    answer = call(_mounted(resource), "/act", "PUT", body=b"12345")
    assert answer.json == {"size": 5}


class _Refused(Exception):
    msg = "the property is protected"


class _Fault(Exception):
    def __init__(self, cause: Exception) -> None:
        self.exc = cause


class _Service(Exception):
    pass


class _ServiceResource(Resource):
    bad_request_errors = (_Refused,)
    passed_on = (_Service,)
    disguise: ClassVar[Any] = _Fault
    undisguised = (webob.exc.HTTPGone,)


def test_a_service_names_errors_whose_message_is_for_the_client(call: Call) -> None:
    class Glance(Resource):
        bad_request_errors = (_Refused,)

    answer = call(_mounted(Glance(Controller(_raise(_Refused())))), "/act")
    assert answer.status_int == 400
    assert b"protected" in answer.body


@pytest.mark.parametrize(
    ("raised", "seen"),
    [
        (webob.exc.HTTPNotFound(), _Fault),
        (_Refused(), _Fault),
        (webob.exc.HTTPGone(), webob.exc.HTTPGone),
        (webob.exc.HTTPFound(), webob.exc.HTTPFound),
        (_Service(), _Service),
    ],
)
def test_a_service_has_its_errors_raised_to_its_middleware(
    raised: Exception, seen: type[Exception]
) -> None:
    request = Request.blank("/")
    request.environ["wsgiorg.routing_args"] = (None, {"action": "act"})
    with pytest.raises(seen) as caught:
        _ServiceResource(Controller(_raise(raised)))(request)
    inner = getattr(caught.value, "exc", caught.value)
    assert isinstance(inner, webob.exc.HTTPException | _Service)


def test_errors_are_told_in_the_language_of_the_client(call: Call) -> None:
    class Shouting(Text):
        def translation(self, locale: str | None = None) -> str:
            return f"{self.upper()} ({locale})"

    app = _answer(_raise(webob.exc.HTTPNotFound(explanation=Shouting("gone"))))
    answer = call(app, "/act", headers={"Accept-Language": "en-US"})
    assert b"GONE (en_US)" in answer.body


class _Reads(JSONRequestDeserializer):
    def read(self, request: Request) -> dict[str, Any]:
        return {"chosen": "read"}


class _Parts:
    """A controller with more attributes than actions."""

    limit = 5
    kind = ValueError
    opened = 0
    static = staticmethod(lambda req, **args: "static")

    def __init__(self) -> None:
        self.store = Controller(lambda: None)
        self.clock = time.monotonic
        self.own = lambda req, **args: "own"

    @property
    def connection(self) -> Any:
        type(self).opened += 1
        raise ConnectionError

    @functools.cached_property
    def cached(self) -> Any:
        raise ConnectionError

    @classmethod
    def of_class(cls, req: Request, **args: Any) -> str:
        return "of_class"

    def _private(self, req: Request, **args: Any) -> str:
        return "private"

    def read(self, req: Request, **args: Any) -> Any:
        return {"read": args}

    def to_json(self, req: Request, **args: Any) -> Any:
        return {"to_json": args}

    encoder = has_body = content_types = from_json = read_body = to_json


def _by_name(controller: Any, **bodies: Any) -> Router:
    mapper = APIMapper()
    mapper.connect("/{action}", controller=Resource(controller, **bodies))
    return Router(mapper)


@pytest.mark.parametrize("name", ["own", "static", "of_class"])
def test_methods_and_functions_are_actions(call: Call, name: str) -> None:
    assert call(_by_name(_Parts()), f"/{name}").json == name


@pytest.mark.parametrize(
    "name",
    [
        "nothing",
        "limit",
        "kind",
        "store",
        "clock",
        "connection",
        "cached",
        "_private",
        "__init__",
        "__class__",
        "mro",
    ],
)
def test_what_only_the_url_calls_an_action_is_404(
    call: Call, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    app = _by_name(_Parts())
    for _ in range(2):
        # Nor is a body read for it.
        assert call(app, f"/{name}", "POST", body=b"{").status_int == 404
    assert _Parts.opened == 0
    assert caplog.records == []


@pytest.mark.parametrize("name", ["nothing", "limit", "connection", "_private"])
def test_what_is_no_action_is_left_to_default(call: Call, name: str) -> None:
    class Fallback(_Parts):
        def default(self, req: Request, **args: Any) -> str:
            return "default"

    assert call(_by_name(Fallback()), f"/{name}").json == "default"


@pytest.mark.parametrize(
    "name",
    [
        "read_body",
        "to_json",
        "has_body",
        "from_json",
        "encoder",
        "content_types",
    ],
)
def test_an_action_may_be_called_as_something_of_the_deserializer(
    call: Call, name: str
) -> None:
    class Read(JSONRequestDeserializer):
        def read_body(self, request: webob.Request) -> bytes:
            return super().read_body(request)

    for bodies in ({}, {"deserializer": Read()}):
        app = _by_name(_Parts(), **bodies)
        for _ in range(2):
            answer = call(app, f"/{name}", "POST", json={"a": 1})
            assert answer.json == {"to_json": {"body": {"a": 1}}}


def test_an_action_may_be_called_read(call: Call) -> None:
    app = _by_name(_Parts())
    assert call(app, "/read", "POST", json=[]).json == {"read": {"body": []}}
    app = _by_name(_Parts(), deserializer=_Reads())
    assert call(app, "/read", "POST", json=[]).json == {"read": {"chosen": "read"}}
    assert call(app, "/to_json", "POST", json=[]).json == {"to_json": {"body": []}}


def test_a_service_that_replaces_dispatch_answers_404_too(call: Call) -> None:
    class Own(Resource):
        def dispatch(self, obj: Any, action: Any, *args: Any, **kwargs: Any) -> Any:
            return super().dispatch(obj, action, *args, **kwargs)

    mapper = APIMapper()
    mapper.connect("/{action}", controller=Own(_Parts()))
    assert call(Router(mapper), "/limit").status_int == 404
    assert call(Router(mapper), "/own").json == "own"
    answer = call(Router(mapper), "/to_json", "POST", json={})
    assert answer.json == {"to_json": {"body": {}}}


def test_a_type_error_of_an_action_that_only_dispatch_finds_is_a_bug(
    call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    class Own(Resource):
        def dispatch(self, obj: Any, action: Any, *args: Any, **kwargs: Any) -> Any:
            own = f"do_{action}" if obj is self.controller else action
            return super().dispatch(obj, own, *args, **kwargs)

    class Does:
        def do_show(self, req: Request) -> Any:
            return len(5)  # type: ignore[arg-type]

    mapper = APIMapper()
    mapper.connect("/{action}", controller=Own(Does()))
    assert call(Router(mapper), "/show").status_int == 500
    assert "has no len()" in caplog.text
    assert call(Router(mapper), "/hide").status_int == 404


def test_an_action_that_the_route_names_and_nobody_has_is_the_services_fault(
    call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    assert call(_mounted(Resource(_Parts()), "shwo"), "/act").status_int == 500
    [record] = caplog.records
    assert "_Parts has no method for action 'shwo' and no default" in record.message


def test_an_attribute_error_of_another_resource_is_no_404(
    call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    other = Resource(object())

    class Delegates:
        def show(self, req: Request) -> Any:
            return other.dispatch(other.controller, "show", req)

    assert call(_by_name(Delegates()), "/show").status_int == 500
    assert "object has no method" in caplog.text


def test_a_function_in_place_of_a_method_is_called(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    controller = _Parts()
    app = _by_name(controller)
    assert call(app, "/read").json == {"read": {}}
    monkeypatch.setattr(controller, "read", lambda req: "replaced")
    assert call(app, "/read").json == "replaced"


@pytest.mark.parametrize(
    "controller",
    [
        SimpleNamespace(show=lambda req: "shown"),
        mock.Mock(show=lambda req: "shown"),
        mock.Mock(**{"show.return_value": "shown"}),
    ],
)
def test_modules_namespaces_and_mocks_have_actions(call: Call, controller: Any) -> None:
    assert call(_by_name(controller), "/show").json == "shown"
