"""Middleware: what it passes on, what it changes, and what it never touches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from wsgiref.validate import validator

import pytest
import webob
import webob.exc
from started import Started
from wsgi_paste import Middleware

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication


class Body:
    """An app_iter that knows whether it was closed."""

    def __init__(self, *parts: bytes) -> None:
        self.parts = iter(parts)
        self.closed = 0

    def __iter__(self) -> Any:
        return self.parts

    def close(self) -> None:
        self.closed += 1


def answering(
    body: Iterable[bytes], headers: Any = (("Content-Type", "text/plain"),)
) -> WSGIApplication:
    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", list(headers))
        return body

    return app


def get(app: WSGIApplication, path: str = "/", **kwargs: Any) -> Any:
    return webob.Request.blank(path, **kwargs).get_response(app)


def test_a_filter_that_overrides_nothing_returns_the_applications_own_iterable() -> (
    None
):
    body = Body(b"x")

    class Nothing(Middleware):
        pass

    result = Nothing(answering(body))({}, Started())

    assert result is body


def test_a_filter_that_only_looks_at_requests_never_holds_the_response() -> None:
    body = Body(b"x")

    class Looks(Middleware):
        def process_request(self, req: webob.Request) -> None:
            req.environ["seen"] = req.path

    environ = webob.Request.blank("/path").environ
    result = Looks(answering(body))(environ, Started())

    assert result is body
    assert environ["seen"] == "/path"


def test_what_process_request_returns_is_the_response() -> None:
    class Refuses(Middleware):
        def process_request(self, req: webob.Request) -> Any:
            return webob.exc.HTTPForbidden("not you")

        def process_response(self, response: webob.Response) -> None:
            raise AssertionError("not called for what process_request answered")

    def unreachable(
        environ: dict[str, Any], start_response: StartResponse
    ) -> Iterable[bytes]:
        raise AssertionError("the application is not called")

    response = get(Refuses(unreachable))

    assert response.status_code == 403
    assert "not you" in response.text


@pytest.mark.parametrize("text", ["plain words", b"plain words"])
def test_process_request_may_answer_with_a_text(text: Any) -> None:
    class Answers(Middleware):
        def process_request(self, req: webob.Request) -> Any:
            return text

    response = get(Answers(answering([])))

    assert (response.status_code, response.text) == (200, "plain words")


def test_process_response_changes_the_response_and_knows_the_request() -> None:
    class Stamps(Middleware):
        def process_response(self, response: webob.Response) -> Any:
            assert response.request is not None
            response.headers["X-Path"] = response.request.path
            return response

    app = validator(Stamps(validator(answering([b"body"]))))
    response = get(app, "/there")

    assert response.headers["X-Path"] == "/there"
    assert response.body == b"body"


def test_process_response_may_replace_the_response() -> None:
    class Replaces(Middleware):
        def process_response(self, response: webob.Response) -> Any:
            return webob.Response(status=204)

    assert get(Replaces(answering([b"body"]))).status_code == 204


@pytest.mark.parametrize(
    "answer",
    [webob.Response("other"), "other", b"other"],
    ids=["response", "text", "bytes"],
)
def test_a_response_that_is_replaced_is_closed(answer: Any) -> None:
    class Replaces(Middleware):
        def process_response(self, response: webob.Response) -> Any:
            return answer

    body = Body(b"body")

    assert get(Replaces(answering(body))).text == "other"
    assert body.closed == 1


def test_a_response_that_is_wrapped_is_closed_by_who_wraps_it() -> None:
    class Wraps(Middleware):
        def process_response(self, response: webob.Response) -> Any:
            self.closed_before = body.closed
            return webob.Response(app_iter=response.app_iter)

    body = Body(b"body")

    assert get(Wraps(answering(body))).text == "body"
    assert body.closed == 1


def test_a_process_response_without_a_return_keeps_the_response() -> None:
    class Forgets(Middleware):
        def process_response(self, response: webob.Response) -> None:
            response.headers["X-Seen"] = "yes"

    response = get(Forgets(answering([b"body"])))

    assert (response.body, response.headers["X-Seen"]) == (b"body", "yes")


@pytest.mark.parametrize("method", ["process_request", "process_response"])
def test_an_http_exception_raised_by_a_filter_is_the_response(method: Any) -> None:
    def refuse(self: Any, message: Any) -> None:
        raise webob.exc.HTTPConflict("busy")

    body = Body(b"x")
    refusing = type("Refusing", (Middleware,), {method: refuse})

    response = get(refusing(answering(body)))

    assert response.status_code == 409
    assert body.closed == (method == "process_response")


@pytest.mark.parametrize("overrides", [(), ("process_request",), ("process_response",)])
def test_an_http_exception_raised_by_the_application_is_the_response(
    overrides: Any,
) -> None:
    def app(environ: dict[str, Any], start_response: StartResponse) -> None:
        raise webob.exc.HTTPNotFound("nothing here")

    def unchanged(self: Any, message: Any) -> Any:
        return None

    filter_class = type("F", (Middleware,), dict.fromkeys(overrides, unchanged))

    assert get(filter_class(app)).status_code == 404


def test_a_bug_in_process_response_propagates_and_closes_the_body() -> None:
    body = Body(b"x")

    class Broken(Middleware):
        def process_response(self, response: webob.Response) -> None:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        get(Broken(answering(body)))
    assert body.closed == 1


def test_a_body_without_close_is_no_obstacle_to_a_bug() -> None:
    class Broken(Middleware):
        def process_response(self, response: webob.Response) -> None:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        get(Broken(answering([b"x"])))


def test_a_method_replaced_on_the_instance_is_used() -> None:
    middleware = Middleware(answering([b"body"]))
    vars(middleware)["process_request"] = lambda req: webob.exc.HTTPGone()

    assert get(middleware).status_code == 410


def test_a_method_replaced_on_the_class_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Nothing(Middleware):
        pass

    middleware = Nothing(answering([b"body"]))
    assert get(middleware).status_code == 200
    monkeypatch.setattr(
        Nothing, "process_request", lambda self, r: webob.exc.HTTPGone()
    )

    assert get(middleware).status_code == 410


def test_given_a_request_alone_it_returns_the_response() -> None:
    class Stamps(Middleware):
        def process_response(self, response: webob.Response) -> Any:
            response.headers["X-Seen"] = "yes"
            return response

    response = Stamps(answering([b"body"]))(webob.Request.blank("/"))

    assert isinstance(response, webob.Response)
    assert response.headers["X-Seen"] == "yes"


def test_the_write_callable_of_the_application_passes_through() -> None:
    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])(b"written ")
        return [b"returned"]

    class Nothing(Middleware):
        pass

    class Changes(Middleware):
        def process_response(self, response: webob.Response) -> Any:
            return response

    assert get(Nothing(app)).body == get(Changes(app)).body == b"written returned"


def test_factory_makes_filters_around_applications() -> None:
    class Stamps(Middleware):
        def process_response(self, response: webob.Response) -> Any:
            response.headers["X-Seen"] = "yes"
            return response

    make_filter = Stamps.factory({"here": "/"}, anything="accepted")
    one, other = make_filter(answering([b"1"])), make_filter(answering([b"2"]))

    assert type(one) is type(other) is Stamps
    assert (get(one).body, get(other).body) == (b"1", b"2")


def test_the_base_methods_change_nothing() -> None:
    middleware = Middleware(answering([]))
    response = webob.Response()

    assert middleware.process_request(webob.Request.blank("/")) is None
    assert middleware.process_response(response) is response
