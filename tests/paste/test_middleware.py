"""Middleware: what it passes on, what it changes, and what it never touches."""

from __future__ import annotations

from wsgiref.validate import validator

import pytest
import webob
import webob.exc
from wsgi_paste import Middleware


class Body:
    """An app_iter that knows whether it was closed."""

    def __init__(self, *parts: bytes) -> None:
        self.parts = iter(parts)
        self.closed = 0

    def __iter__(self):
        return self.parts

    def close(self) -> None:
        self.closed += 1


def answering(body, headers=(("Content-Type", "text/plain"),)):
    def app(environ, start_response):
        start_response("200 OK", list(headers))
        return body

    return app


def get(app, path: str = "/", **kwargs):
    return webob.Request.blank(path, **kwargs).get_response(app)


def test_a_filter_that_overrides_nothing_returns_the_applications_own_iterable():
    body = Body(b"x")

    class Nothing(Middleware):
        pass

    result = Nothing(answering(body))({}, lambda *args: None)

    assert result is body


def test_a_filter_that_only_looks_at_requests_never_holds_the_response():
    body = Body(b"x")

    class Looks(Middleware):
        def process_request(self, req):
            req.environ["seen"] = req.path

    environ = webob.Request.blank("/path").environ
    result = Looks(answering(body))(environ, lambda *args: None)

    assert result is body
    assert environ["seen"] == "/path"


def test_what_process_request_returns_is_the_response():
    class Refuses(Middleware):
        def process_request(self, req):
            return webob.exc.HTTPForbidden("not you")

        def process_response(self, response):
            raise AssertionError("not called for what process_request answered")

    def unreachable(environ, start_response):
        raise AssertionError("the application is not called")

    response = get(Refuses(unreachable))

    assert response.status_code == 403
    assert "not you" in response.text


@pytest.mark.parametrize("text", ["plain words", b"plain words"])
def test_process_request_may_answer_with_a_text(text):
    class Answers(Middleware):
        def process_request(self, req):
            return text

    response = get(Answers(answering([])))

    assert (response.status_code, response.text) == (200, "plain words")


def test_process_response_changes_the_response_and_knows_the_request():
    class Stamps(Middleware):
        def process_response(self, response):
            response.headers["X-Path"] = response.request.path
            return response

    app = validator(Stamps(validator(answering([b"body"]))))
    response = get(app, "/there")

    assert response.headers["X-Path"] == "/there"
    assert response.body == b"body"


def test_process_response_may_replace_the_response():
    class Replaces(Middleware):
        def process_response(self, response):
            return webob.Response(status=204)

    assert get(Replaces(answering([b"body"]))).status_code == 204


@pytest.mark.parametrize(
    "answer",
    [webob.Response("other"), "other", b"other"],
    ids=["response", "text", "bytes"],
)
def test_a_response_that_is_replaced_is_closed(answer):
    class Replaces(Middleware):
        def process_response(self, response):
            return answer

    body = Body(b"body")

    assert get(Replaces(answering(body))).text == "other"
    assert body.closed == 1


def test_a_response_that_is_wrapped_is_closed_by_who_wraps_it():
    class Wraps(Middleware):
        def process_response(self, response):
            self.closed_before = body.closed
            return webob.Response(app_iter=response.app_iter)

    body = Body(b"body")

    assert get(Wraps(answering(body))).text == "body"
    assert body.closed == 1


def test_a_process_response_without_a_return_keeps_the_response():
    class Forgets(Middleware):
        def process_response(self, response):
            response.headers["X-Seen"] = "yes"

    response = get(Forgets(answering([b"body"])))

    assert (response.body, response.headers["X-Seen"]) == (b"body", "yes")


@pytest.mark.parametrize("method", ["process_request", "process_response"])
def test_an_http_exception_raised_by_a_filter_is_the_response(method):
    def refuse(self, message):
        raise webob.exc.HTTPConflict("busy")

    body = Body(b"x")
    refusing = type("Refusing", (Middleware,), {method: refuse})

    response = get(refusing(answering(body)))

    assert response.status_code == 409
    assert body.closed == (method == "process_response")


@pytest.mark.parametrize("overrides", [(), ("process_request",), ("process_response",)])
def test_an_http_exception_raised_by_the_application_is_the_response(overrides):
    def app(environ, start_response):
        raise webob.exc.HTTPNotFound("nothing here")

    def unchanged(self, message):
        return None

    filter_class = type("F", (Middleware,), dict.fromkeys(overrides, unchanged))

    assert get(filter_class(app)).status_code == 404


def test_a_bug_in_process_response_propagates_and_closes_the_body():
    body = Body(b"x")

    class Broken(Middleware):
        def process_response(self, response):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        get(Broken(answering(body)))
    assert body.closed == 1


def test_a_body_without_close_is_no_obstacle_to_a_bug():
    class Broken(Middleware):
        def process_response(self, response):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        get(Broken(answering([b"x"])))


def test_a_method_replaced_on_the_instance_is_used():
    middleware = Middleware(answering([b"body"]))
    middleware.process_request = lambda req: webob.exc.HTTPGone()

    assert get(middleware).status_code == 410


def test_a_method_replaced_on_the_class_is_used(monkeypatch):
    class Nothing(Middleware):
        pass

    middleware = Nothing(answering([b"body"]))
    assert get(middleware).status_code == 200
    monkeypatch.setattr(
        Nothing, "process_request", lambda self, r: webob.exc.HTTPGone()
    )

    assert get(middleware).status_code == 410


def test_given_a_request_alone_it_returns_the_response():
    class Stamps(Middleware):
        def process_response(self, response):
            response.headers["X-Seen"] = "yes"
            return response

    response = Stamps(answering([b"body"]))(webob.Request.blank("/"))

    assert isinstance(response, webob.Response)
    assert response.headers["X-Seen"] == "yes"


def test_the_write_callable_of_the_application_passes_through():
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])(b"written ")
        return [b"returned"]

    class Nothing(Middleware):
        pass

    class Changes(Middleware):
        def process_response(self, response):
            return response

    assert get(Nothing(app)).body == get(Changes(app)).body == b"written returned"


def test_factory_makes_filters_around_applications():
    class Stamps(Middleware):
        def process_response(self, response):
            response.headers["X-Seen"] = "yes"
            return response

    make_filter = Stamps.factory({"here": "/"}, anything="accepted")
    one, other = make_filter(answering([b"1"])), make_filter(answering([b"2"]))

    assert type(one) is type(other) is Stamps
    assert (get(one).body, get(other).body) == (b"1", b"2")


def test_the_base_methods_change_nothing():
    middleware = Middleware(answering([]))
    response = webob.Response()

    assert middleware.process_request(webob.Request.blank("/")) is None
    assert middleware.process_response(response) is response
