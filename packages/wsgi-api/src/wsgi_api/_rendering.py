"""HTTP errors as responses: as webob writes them, as JSON, or as RFC 9457 problems.

webob builds a second response for every error and parses ``Accept`` each time. The
same bytes are written here straight from the error; a test compares them with webob's.
One header is more: Vary.
Exceptions that bring a body or write themselves in their own way are left to do so.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterable
from string import Template
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import webob.exc
from webob.exc import WSGIHTTPException
from webob.util import html_escape

from wsgi_api._headers import best_offer, vary_by
from wsgi_api._json import dumps

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

# The stubs of webob leave these out.
_exc: Any = webob.exc
_no_escape: Callable[[Any], str] = _exc.no_escape
_strip_tags: Callable[[str], str] = _exc.strip_tags

ErrorFormat: TypeAlias = Literal["webob", "json", "problem"]
ERROR_FORMATS: tuple[ErrorFormat, ...] = ("webob", "json", "problem")

# What makes webob's exceptions answer as they do; a class that changes one of them is
# left alone.
_WEBOBS_OWN = (
    "__call__",
    "generate_response",
    "_make_body",
    "plain_body",
    "html_body",
    "json_body",
    "plain_template_obj",
    "html_template_obj",
)
# webob's pages, with marks where status and text go: neither can hold a mark.
_HTML = WSGIHTTPException.html_template_obj.substitute(status="\0", body="\1")
_PLAIN = WSGIHTTPException.plain_template_obj.substitute(status="\0", body="\1")
# Beside plain text.
_WEBOBS_TYPES = ("text/html", "application/json")
_HEADERS_OF_BODY = frozenset({"content-type", "content-length"})


def send_error(
    error: webob.exc.HTTPException,
    environ: WSGIEnvironment,
    start_response: StartResponse,
    error_format: ErrorFormat = "webob",
) -> Iterable[bytes]:
    """Answers a request with an HTTP exception.

    :param error_format: ``webob`` lets ``Accept`` choose between HTML, plain text and
        a JSON object; ``json`` always writes ``{"error": {"code", "title",
        "message"}}``; ``problem`` writes RFC 9457. The latter two leave redirections
        and answers without a body to webob.
    """
    # Of any type: the stubs hold exception classes for unhashable.
    kind: Any = type(error)
    if not isinstance(error, WSGIHTTPException) or not _writes_as_webob(kind):
        return error(environ, start_response)
    if error.empty_body or error.has_body:
        return error(environ, start_response)
    if not isinstance(error, webob.exc.HTTPError):
        error_format = "webob"
    if error_format == "webob":
        if "Location" in error.headers:
            # webob makes it absolute.
            return error(environ, start_response)
        body, content_type = _as_webob(error, environ)
    elif error_format == "json":
        body, content_type = _as_json(error, environ), "application/json"
    else:
        body, content_type = _as_problem(error, environ), "application/problem+json"
    headers = [
        (name, value)
        for name, value in error.headerlist
        if name.lower() not in _HEADERS_OF_BODY
    ]
    headers += [("Content-Type", content_type), ("Content-Length", str(len(body)))]
    if error_format == "webob":
        vary_by(headers, "Accept")
    start_response(error.status, headers)
    # RFC 9110 9.3.2: HEAD tells what GET would have been answered with.
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def check_format(error_format: str) -> None:
    """Raises ``ValueError`` for a format that there is none of."""
    if error_format not in ERROR_FORMATS:
        raise ValueError(f"error_format is none of {', '.join(ERROR_FORMATS)}")


class ErrorAnswer:
    """A WSGI application that answers every request with one error.

    :param error: is only read, so that it can answer many requests
    :param error_format: as for :func:`send_error`
    """

    def __init__(
        self, error: webob.exc.HTTPException, error_format: ErrorFormat
    ) -> None:
        self.error = error
        self.error_format = error_format

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        return send_error(self.error, environ, start_response, self.error_format)


def error_text(error: WSGIHTTPException, environ: WSGIEnvironment) -> str:
    """Returns what an error has to say.

    Its texts are text, as webob's page shows them, and stay as they are; markup is in
    its template only.
    """
    template = error.body_template_obj
    if template is WSGIHTTPException.body_template_obj:
        texts = (error.explanation, error.detail, error.comment)
        return " ".join(_no_escape(text) for text in texts if text)
    sentence = Template(" ".join(_strip_tags(template.template).split()))
    values: Any = _Values(error, environ, _no_escape, _no_escape(error.comment))
    return sentence.safe_substitute(values).strip()


def _as_webob(error: WSGIHTTPException, environ: WSGIEnvironment) -> tuple[bytes, str]:
    match = best_offer(environ.get("HTTP_ACCEPT", ""), _WEBOBS_TYPES)
    if match == "text/html":
        inner = _fill(error, environ, html_escape)
        text = _HTML.replace("\0", error.status).replace("\1", inner)
        return _encoded(text), "text/html; charset=UTF-8"
    inner = _fill(error, environ, _no_escape)
    if match == "application/json":
        document = error.json_formatter(
            body=inner, status=error.status, title=error.title, environ=environ
        )
        return dumps(document), "application/json"
    text = _PLAIN.replace("\0", error.status).replace("\1", _strip_tags(inner))
    return _encoded(text), "text/plain; charset=UTF-8"


def _encoded(text: str) -> bytes:
    # Half a surrogate pair, which JSON can bring in, has no form in UTF-8.
    return text.encode("utf-8", "replace")


def _as_json(error: WSGIHTTPException, environ: WSGIEnvironment) -> bytes:
    content = {
        "code": error.status_int,
        "title": error.title,
        "message": error_text(error, environ),
    }
    return dumps({"error": content})


def _as_problem(error: WSGIHTTPException, environ: WSGIEnvironment) -> bytes:
    # RFC 9457 4.2.1: about:blank means that the status says it all.
    problem = {
        "type": "about:blank",
        "title": error.title,
        "status": error.status_int,
        "detail": error_text(error, environ),
    }
    return dumps(problem)


def _fill(
    error: WSGIHTTPException, environ: WSGIEnvironment, escape: Callable[[Any], str]
) -> str:
    comment = f"<!-- {escape(error.comment)} -->" if error.comment else ""
    template = error.body_template_obj
    if template is WSGIHTTPException.body_template_obj:
        explanation, detail = escape(error.explanation), escape(error.detail or "")
        return f"{explanation}<br /><br />\n{detail}\n{comment}\n"
    values: Any = _Values(error, environ, escape, comment)
    return template.safe_substitute(values)


class _Values:
    """What a template of an error can name, made only when it does.

    Of a mapping it is the part that templates use.
    """

    def __init__(
        self,
        error: WSGIHTTPException,
        environ: WSGIEnvironment,
        escape: Callable[[Any], str],
        comment: str,
    ) -> None:
        self._own = {
            "explanation": error.explanation,
            "detail": error.detail or "",
            "comment": error.comment or "",
        }
        self._headers = error.headerlist
        self._environ = environ
        self._escape = escape
        self._comment = comment

    def __getitem__(self, name: str) -> str:
        # As webob has it: headers before environ before the error itself.
        for header, value in reversed(self._headers):
            if header.lower() == name:
                return self._escape(value)
        if name in self._environ:
            return self._escape(self._environ[name])
        return (
            self._comment if name == "html_comment" else self._escape(self._own[name])
        )


@functools.lru_cache(maxsize=256)
def _writes_as_webob(kind: Hashable) -> bool:
    return all(
        getattr(kind, name) is getattr(WSGIHTTPException, name) for name in _WEBOBS_OWN
    )
