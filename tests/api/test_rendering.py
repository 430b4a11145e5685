"""HTTP errors as responses: webob's bytes, JSON, problems."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from typing import Any

import pytest
import webob
import webob.exc
from hypothesis import example, given, settings
from hypothesis import strategies as st
from wsgi_api._rendering import ErrorAnswer, send_error

_ERRORS = [error for _, error in sorted(webob.exc.status_map.items())]
_ACCEPTS = ["", "*/*", "text/html", "application/json", "text/plain", "nonsense"]


def _environ(method: str = "GET", **more: Any) -> dict[str, Any]:
    return webob.Request.blank("/x?a=<b>", method=method, environ=more).environ


def _collect(app: Any, environ: dict[str, Any]) -> tuple[str, list[Any], bytes]:
    seen: list[Any] = []

    def start_response(status: str, headers: list[Any], exc_info: Any = None) -> Any:
        seen[:] = [status, sorted(headers)]
        return io.BytesIO().write

    body: Iterable[bytes] = app(environ, start_response)
    return seen[0], seen[1], b"".join(body)


def _ours(error: Any) -> Any:
    return lambda environ, start: send_error(error, environ, start)


def _but_for_vary(error: Any, environ: dict[str, Any]) -> tuple[str, list[Any], bytes]:
    """Return our answer without the one header that webob leaves out."""
    status, headers, body = _collect(_ours(error), environ)
    return status, [pair for pair in headers if pair != ("Vary", "Accept")], body


@pytest.mark.parametrize("accept", _ACCEPTS)
@pytest.mark.parametrize("kind", _ERRORS, ids=lambda kind: kind.__name__)
def test_errors_are_written_as_webob_writes_them(kind: Any, accept: str) -> None:
    def make() -> Any:
        return kind(
            detail="what é & <b>why</b>\nhere",
            headers=[("X-One", "1"), ("X-One", "<2>")],
            comment="a -- comment",
        )

    environ = _environ(HTTP_ACCEPT=accept, CONTENT_TYPE="text/<b>")
    assert _but_for_vary(make(), environ) == _collect(make(), environ)


@pytest.mark.parametrize("location", [None, "/é".encode().decode("latin-1")])
@pytest.mark.parametrize("accept", _ACCEPTS)
@pytest.mark.parametrize(
    "template",
    [
        "${explanation} ${detail} ${comment} ${html_comment}",
        "${REQUEST_METHOD} ${HTTP_ACCEPT} ${nothing} $$ $ ${}",
        "${x} ${location}",
    ],
)
def test_templates_are_filled_as_webob_fills_them(
    template: str, accept: str, location: str | None
) -> None:
    def make() -> Any:
        headers = [("X", "first"), ("X", "<last>")]
        if location is not None:
            headers.append(("Location", location))
        return webob.exc.HTTPBadRequest(
            detail="<d>",
            explanation="<e>",
            comment="<c>",
            headers=headers,
            body_template=template,
        )

    environ = _environ(HTTP_ACCEPT=accept)
    assert _but_for_vary(make(), environ) == _collect(make(), environ)


@settings(deadline=None, derandomize=True)
@given(
    # Half a surrogate pair is a character here.
    detail=st.text(st.characters()),
    explanation=st.text(st.characters()),
    accept=st.sampled_from(_ACCEPTS),
)
@example(detail="\udfff", explanation="\ud800", accept="text/html")
@example(detail="\udfff", explanation="\ud800", accept="text/plain")
def test_any_text_is_written_as_webob_writes_it(
    detail: str, explanation: str, accept: str
) -> None:
    def make(*texts: str) -> Any:
        return webob.exc.HTTPConflict(detail=texts[0], explanation=texts[1])

    environ = _environ(HTTP_ACCEPT=accept)
    try:
        expected = _collect(make(detail, explanation), environ)
    except UnicodeEncodeError:
        writable = [
            t.encode("utf-8", "replace").decode() for t in (detail, explanation)
        ]
        expected = _collect(make(*writable), environ)
    assert _but_for_vary(make(detail, explanation), environ) == expected


@pytest.mark.parametrize("error_format", ["webob", "json", "problem"])
@pytest.mark.parametrize(
    "make",
    [
        lambda: webob.exc.HTTPNoContent(headers=[("Allow", "GET")]),
        lambda: webob.exc.HTTPNotModified(),
        lambda: webob.exc.HTTPBadRequest(text="own body", content_type="text/plain"),
        lambda: webob.exc.HTTPFound(location="/there"),
        lambda: webob.exc.HTTPException("x", webob.Response(b"x")),
    ],
)
def test_what_brings_its_own_answer_keeps_it(make: Any, error_format: Any) -> None:
    environ = _environ()
    ours = ErrorAnswer(make(), error_format)
    assert _collect(ours, environ) == _collect(make(), environ)


def test_a_class_that_writes_itself_is_left_to() -> None:
    class Own(webob.exc.HTTPBadRequest):
        def plain_body(self, environ: Any) -> str:
            return "my own way"

    ours = _collect(_ours(Own()), _environ(HTTP_ACCEPT="text/plain"))
    assert ours[2] == b"my own way"


def test_an_error_is_json_whatever_its_formatter_returns() -> None:
    def formatter(**kwargs: Any) -> dict[str, Any]:
        return {"load": math.nan}

    error = webob.exc.HTTPBadRequest(json_formatter=formatter)
    request = webob.Request.blank("/", accept="application/json")
    answer = request.get_response(ErrorAnswer(error, "webob"))
    assert answer.body == b'{"load": null}'


def test_a_json_formatter_is_asked() -> None:
    def formatter(**known: Any) -> dict[str, Any]:
        return {"only": known["status"]}

    error = webob.exc.HTTPBadRequest(json_formatter=formatter)
    answer = _collect(_ours(error), _environ(HTTP_ACCEPT="application/json"))
    assert answer[2] == b'{"only": "400 Bad Request"}'


@pytest.mark.parametrize(
    ("error_format", "known", "vary"),
    [
        ("webob", [], ["Accept"]),
        ("webob", [("Vary", "Origin"), ("vary", "Cookie")], ["Origin, Cookie, Accept"]),
        ("webob", [("vary", "accept")], ["accept"]),
        ("webob", [("Vary", "*")], ["*"]),
        ("json", [], []),
        ("problem", [("Vary", "Origin")], ["Origin"]),
    ],
)
def test_vary_names_accept_where_it_chose_the_format(
    error_format: Any, known: list[Any], vary: list[str]
) -> None:
    error = webob.exc.HTTPNotFound(headers=known)
    for _ in range(2):
        _, headers, _ = _collect(ErrorAnswer(error, error_format), _environ())
        assert [value for name, value in headers if name.lower() == "vary"] == vary


@pytest.mark.parametrize("accept", _ACCEPTS)
@pytest.mark.parametrize("error_format", ["webob", "json", "problem"])
def test_head_is_answered_as_get_without_the_body(
    error_format: Any, accept: str
) -> None:
    answer = ErrorAnswer(webob.exc.HTTPNotFound(), error_format)
    status, headers, body = _collect(answer, _environ("HEAD", HTTP_ACCEPT=accept))
    control = _collect(answer, _environ("GET", HTTP_ACCEPT=accept))
    assert (status, headers, body) == (*control[:2], b"")
    assert dict(headers)["Content-Length"] == str(len(control[2])) != "0"


@pytest.mark.parametrize(
    ("error_format", "content_type", "expected"),
    [
        (
            "json",
            "application/json",
            {
                "error": {
                    "code": 405,
                    "title": "Method Not Allowed",
                    "message": (
                        "The method PUT is not allowed for this resource. <i>why</i>"
                    ),
                }
            },
        ),
        (
            "problem",
            "application/problem+json",
            {
                "type": "about:blank",
                "title": "Method Not Allowed",
                "status": 405,
                "detail": (
                    "The method PUT is not allowed for this resource. <i>why</i>"
                ),
            },
        ),
    ],
)
def test_json_and_problem(
    error_format: Any, content_type: str, expected: dict[str, Any]
) -> None:
    error = webob.exc.HTTPMethodNotAllowed("<i>why</i>", headers=[("Allow", "GET")])
    request = webob.Request.blank("/", method="PUT", accept="text/html")
    response = request.get_response(ErrorAnswer(error, error_format))
    assert response.content_type == content_type
    assert response.json == expected
    assert response.headers["Allow"] == "GET"
    assert response.content_length == len(response.body)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            {"explanation": "size must be < 5 and > 3, not <name>"},
            "size must be < 5 and > 3, not <name>",
        ),
        (
            {"explanation": "a  b", "detail": "<d>\n<e>", "comment": "-->"},
            "a  b <d>\n<e> -->",
        ),
        (
            {
                "explanation": "<e>",
                "detail": "a  b",
                "comment": "c",
                "body_template": "<p>${explanation}:<br />\n ${detail}</p> ${html_comment}",
            },
            "<e>: a  b c",
        ),
        ({"explanation": ValueError("<x>")}, "<x>"),
        ({"body_template": "<b>only</b> ${detail}"}, "only"),
    ],
)
def test_texts_are_told_as_they_are_and_templates_without_markup(
    arguments: dict[str, Any], text: str
) -> None:
    explanation = arguments.pop("explanation", None)
    error = webob.exc.HTTPBadRequest(**arguments)
    error.explanation = explanation
    request = webob.Request.blank("/")
    as_json = request.get_response(ErrorAnswer(error, "json")).json
    assert as_json["error"]["message"] == text
    assert request.get_response(ErrorAnswer(error, "problem")).json["detail"] == text
