"""Router: from a path to the application that its route names."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import webob
import webob.exc
from routes.util import URLGenerator

from wsgi_api._rendering import ErrorAnswer, ErrorFormat, check_format
from wsgi_api._request import FORMS, Request
from wsgi_api._routing.mapper import APIMapper
from wsgi_api._routing.template import note_route
from wsgi_api.errors import (
    UndecodablePath,
    translate_exception,
    translate_for,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

LOG = logging.getLogger(__name__)

# In bytes. A larger form, or one that does not tell its length, is not read for an
# override: what may be uploaded is for the action to say.
_LARGEST_FORM = 64 * 1024


class Router:
    """A WSGI application that hands each request to the application of its route.

    Every route of the mapper has to name a ``controller``: a WSGI application, most
    often a :class:`~wsgi_api.Resource`, which also wants an ``action``.

    :param mapper: an :class:`~wsgi_api.APIMapper` or any :class:`routes.Mapper`
    :param use_method_override: whether the parameter ``_method`` of query or form
        stands for the method while a route is sought; forms of more than 64 KiB are
        not looked into. Off by default: any link or form could make a browser send a
        DELETE, past every check of the method that stands in front of the router.
    :param head_as_get: whether HEAD goes where GET goes, unless a route names HEAD: each
        resource that has GET has to have HEAD (RFC 9110, 9.1). On by default. The action
        sees a HEAD; what it returns gives the headers and is not sent
    :param method_not_allowed: whether a path that has routes for other methods only
        is answered with 405 and ``Allow``; needs an :class:`~wsgi_api.APIMapper`
    :param error_format: how the router's own errors are written, as for a resource
    :raises ValueError: there is no such ``error_format``

    What a service may change by subclassing:

    * ``implemented_methods``: others than these are answered with 501 where no route
      matches; ``None`` answers 404 to every method,
    * ``redirect_empty_path``: whether an empty path is sent on to ``/``,
    * ``decode_path``: whether routes match text, as the client meant it, or the bytes
      of it that PEP 3333 has in ``PATH_INFO``,
    * ``request_class``: tells the language of a client.

    Source: ``glance.common.wsgi.Router``, ``heat.common.wsgi.Router``.
    """

    implemented_methods: ClassVar[frozenset[str] | None] = frozenset(
        {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"}
    )
    redirect_empty_path: ClassVar[bool] = True
    decode_path: ClassVar[bool] = True
    request_class: ClassVar[type[Request]] = Request
    use_method_override: bool = False
    head_as_get: bool = True
    method_not_allowed: bool = False
    error_format: ErrorFormat = "webob"

    def __init__(
        self,
        mapper: Any,
        *,
        use_method_override: bool | None = None,
        head_as_get: bool | None = None,
        method_not_allowed: bool | None = None,
        error_format: ErrorFormat | None = None,
    ) -> None:
        if use_method_override is not None:
            self.use_method_override = use_method_override
        if head_as_get is not None:
            self.head_as_get = head_as_get
        if method_not_allowed is not None:
            self.method_not_allowed = method_not_allowed
        if error_format is not None:
            self.error_format = error_format
        check_format(self.error_format)
        if self.redirect_empty_path:
            mapper.redirect("", "/")
        self.map = mapper
        self._refusals: dict[tuple[type[Exception], str | None], ErrorAnswer] = {}

    @classmethod
    def factory(cls, global_conf: Any, **local_conf: Any) -> Router:
        """Makes the router of a PasteDeploy section, with a mapper of its own."""
        return cls(APIMapper())

    def __call__(
        self,
        environ: WSGIEnvironment | webob.Request,
        start_response: StartResponse | None = None,
    ) -> Any:
        """Answers a request.

        Called with ``environ`` and ``start_response`` it is a WSGI application;
        called with a request alone it returns the application that would answer.
        """
        if start_response is None:
            return self.route(environ.environ)  # type: ignore[union-attr]
        return self.route(environ)(environ, start_response)  # type: ignore[arg-type]

    def route(self, environ: WSGIEnvironment) -> Any:
        """Returns the application that answers, after noting the match in ``environ``.

        Leaves ``wsgiorg.routing_args``, ``routes.route``, ``routes.url`` and, for a server
        that counts by it, the template of the route as ``wsgi_server.route``; moves what a
        ``{path_info:.*}`` did not match from ``PATH_INFO`` to ``SCRIPT_NAME``.
        """
        path = environ.get("PATH_INFO", "")
        if not path.isascii() and self.decode_path:
            try:
                path = path.encode("latin-1").decode("utf-8")
            except UnicodeError:
                return self._refusal(environ, UndecodablePath)
        method = environ["REQUEST_METHOD"]
        if self.use_method_override:
            method = _override(environ) or method
            matched = self._match_as(method, path, environ)
        else:
            matched = self.map.routematch(path, environ)
        if method == "HEAD" and self.head_as_get and not _names(matched, "HEAD"):
            found = self._match_as("GET", path, environ)
            if _names(found, "GET"):
                matched = found
        arguments, route = matched if matched else (None, None)
        url = URLGenerator(self.map, environ)
        environ["wsgiorg.routing_args"] = (url, arguments or {})
        environ["routes.route"] = route
        environ["routes.url"] = url
        if route is not None and route.redirect:
            location = url(f"_redirect_{id(route)}", **(arguments or {}))
            return _Redirect(route.redirect_status, location)
        if not arguments:
            return self._nothing(environ, path)
        note_route(environ, route)
        if "path_info" in arguments:
            _shift(environ, arguments["path_info"] or "", decoded=self.decode_path)
        return arguments["controller"]

    def _match_as(self, method: str, path: str, environ: WSGIEnvironment) -> Any:
        own = environ["REQUEST_METHOD"]
        environ["REQUEST_METHOD"] = method
        try:
            return self.map.routematch(path, environ)
        finally:
            environ["REQUEST_METHOD"] = own

    def _nothing(self, environ: WSGIEnvironment, path: str) -> WSGIApplication:
        if self.method_not_allowed:
            allowed = self.map.allowed_methods(path, environ)
            if allowed:
                if self.head_as_get and "GET" in allowed:
                    allowed = sorted({*allowed, "HEAD"})
                error = webob.exc.HTTPMethodNotAllowed(
                    headers=[("Allow", ", ".join(allowed))]
                )
                request = self.request_class(environ)
                return ErrorAnswer(translate_for(request, error), self.error_format)
        implemented = self.implemented_methods
        if implemented is None or environ["REQUEST_METHOD"] in implemented:
            return self._refusal(environ, webob.exc.HTTPNotFound)
        return self._refusal(environ, webob.exc.HTTPNotImplemented)

    def _refusal(
        self, environ: WSGIEnvironment, kind: type[webob.exc.HTTPError]
    ) -> WSGIApplication:
        # The same for every request in a language, so made once: building one of
        # webob's exceptions costs more than the rest of the way here.
        locale = None
        if environ.get("HTTP_ACCEPT_LANGUAGE"):
            request = self.request_class(environ)
            locale = request.best_match_language()
        found = self._refusals.get((kind, locale))
        if found is None:
            error = translate_exception(kind(), locale or "en_US")
            found = ErrorAnswer(error, self.error_format)
            self._refusals[kind, locale] = found
        return found


class RejectMethodController:
    """Refuses the methods that a path does not have.

    Source: ``glance.common.wsgi.RejectMethodController``.
    """

    def reject(
        self, req: webob.Request, allowed_methods: str, *args: Any, **kwargs: Any
    ) -> NoReturn:
        """Refuses the method.

        :param allowed_methods: what goes into ``Allow`` (RFC 9110, 15.5.6)
        :raises webob.exc.HTTPMethodNotAllowed: always
        """
        LOG.debug("%s is not a method of this path", req.environ["REQUEST_METHOD"])
        raise webob.exc.HTTPMethodNotAllowed(headers=[("Allow", allowed_methods)])


class DefaultMethodController(RejectMethodController):
    """Answers OPTIONS, and refuses the methods that a path does not have.

    Source: ``heat.common.wsgi.DefaultMethodController``.
    """

    def options(
        self, req: webob.Request, allowed_methods: str, *args: Any, **kwargs: Any
    ) -> NoReturn:
        """Tells the methods of the path.

        :param allowed_methods: what goes into ``Allow`` (RFC 9110, 9.3.7)
        :raises webob.exc.HTTPNoContent: always
        """
        raise webob.exc.HTTPNoContent(headers=[("Allow", allowed_methods)])


class _Redirect:
    """A WSGI application that sends the client elsewhere.

    :param status: such as ``302 Found``
    :param location: where to
    """

    def __init__(self, status: str, location: str) -> None:
        self.status = status
        self.location = location

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        start_response(
            self.status,
            [
                ("Content-Type", "text/plain; charset=utf8"),
                ("Content-Length", "0"),
                ("Location", self.location),
            ],
        )
        return []


class _Form(Request):
    # One that is read here stays in memory; webob would put it into a file.
    request_body_tempfile_limit: ClassVar[int] = _LARGEST_FORM


def _names(matched: Any, method: str) -> bool:
    """Returns whether the route that was found is one for this very method."""
    route = matched[1] if matched else None
    return route is not None and method in (
        (route.conditions or {}).get("method") or ()
    )


def _override(environ: WSGIEnvironment) -> str | None:
    request = _Form(environ)
    method = None
    try:
        if "_method" in environ.get("QUERY_STRING", ""):
            method = request.GET.get("_method")
        elif (
            environ["REQUEST_METHOD"] == "POST"
            and request.content_type in FORMS
            and 0 < (request.content_length or 0) <= _LARGEST_FORM
        ):
            method = request.POST.get("_method")
    except (
        UnicodeDecodeError,
        webob.exc.HTTPBadRequest,
        webob.exc.HTTPUnsupportedMediaType,
        webob.request.DisconnectionError,
    ):
        # Not ours to complain about: the action reads the same parameters.
        LOG.debug("no method override in parameters that cannot be read")
    # A part with a file name is no text.
    return method.upper() if isinstance(method, str) and method else None


def _shift(environ: WSGIEnvironment, rest: str, *, decoded: bool) -> None:
    if decoded and not rest.isascii():
        rest = rest.encode("utf-8").decode("latin-1")
    path = environ["PATH_INFO"]
    if path.endswith("\n") and not rest.endswith("\n"):
        # The $ at the end of a regular expression matches in front of it.
        rest += "\n"
    environ["PATH_INFO"] = rest if rest.startswith("/") else f"/{rest}"
    if path.endswith(rest):
        # What was matched before the rest, without the slash between them.
        path = path[: len(path) - len(rest)].removesuffix("/")
    environ["SCRIPT_NAME"] += path
