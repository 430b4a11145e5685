"""Errors as this API tells them: one JSON form, in the language of the client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import webob
import webob.exc
from wsgi_api import Resource
from wsgi_api.errors import BodyTooLarge

from .catalogue import ContentExists, ImageExists, NoSuchImage
from .files import ContentTooLarge
from .patch import MalformedPatch, PatchConflict

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


class ImagesResource(Resource):
    """A resource whose errors are JSON, whatever `Accept` says: it is all we speak."""

    def translate(self, request: webob.Request, exc: Exception) -> Exception:
        """Return `exc` translated and, where it is an HTTP error, as JSON."""
        translated = super().translate(request, exc)
        if isinstance(translated, webob.exc.WSGIHTTPException):
            return _as_json(translated)
        return translated

    def answer_unexpected(
        self, request: webob.Request, exc: Exception
    ) -> WSGIApplication:
        """Return a 500 that tells nothing of its cause."""
        return _as_json(webob.exc.HTTPInternalServerError())


class Unread:
    """A deserializer that leaves bodies alone: a refusal does not depend on them."""

    def default(self, request: webob.Request) -> dict[str, Any]:
        """Return no arguments."""
        return {}


class Nothing:
    """The controller of every path that the API does not have."""

    def default(self, req: webob.Request, **arguments: str) -> None:
        """Refuse the request: 404."""
        raise webob.exc.HTTPNotFound


@contextmanager
def as_http_errors() -> Iterator[None]:
    """Raise what the catalogue, the files and patches raise as HTTP errors."""
    try:
        yield
    except NoSuchImage as exc:
        raise webob.exc.HTTPNotFound(detail=str(exc)) from exc
    except (ImageExists, ContentExists, PatchConflict) as exc:
        raise webob.exc.HTTPConflict(detail=str(exc)) from exc
    except ContentTooLarge as exc:
        raise BodyTooLarge(exc.limit) from exc
    except MalformedPatch as exc:
        raise webob.exc.HTTPBadRequest(detail=str(exc)) from exc


def _as_json(exc: webob.exc.WSGIHTTPException) -> webob.exc.WSGIHTTPException:
    if exc.empty_body:
        return exc
    explanation = exc.explanation
    if isinstance(exc, webob.exc.HTTPMethodNotAllowed):
        # webob leaves this one the explanation of 400.
        explanation = exc.title
    error = {"code": exc.status_int, "message": explanation}
    if exc.detail:
        error["detail"] = exc.detail
    exc.content_type = "application/json"
    exc.charset = None
    exc.body = json.dumps({"error": error}).encode()
    return exc
