"""Router: from a path to the application that its route names."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, cast

import webob
import webob.exc
from routes.util import URLGenerator

from wsgi_api._mapper import APIMapper
from wsgi_api._request import Request
from wsgi_api._wsgi import Redirect
from wsgi_api.errors import translate_for

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

LOG = logging.getLogger(__name__)

_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


class Router:
    """A WSGI application that hands each request to the application of its route.

    Every route of the mapper has to name a ``controller``: a WSGI application, most
    often a :class:`~wsgi_api.Resource`, which also wants an ``action``.

    :param mapper: an :class:`~wsgi_api.APIMapper` or any :class:`routes.Mapper`
    :param use_method_override: whether the parameter ``_method`` of query or form
        stands for the method while a route is sought. Off by default: any link or
        form could make a browser send a DELETE, past every check of the method that
        stands in front of the router.

    What a service may change by subclassing: ``implemented_methods`` (others than
    these are answered with 501 where no route matches; ``None`` answers 404 to
    every method) and ``redirect_empty_path`` (whether an empty path is sent on to
    ``/``).

    Source: ``glance.common.wsgi.Router``, ``heat.common.wsgi.Router``.
    """

    implemented_methods: ClassVar[frozenset[str] | None] = frozenset(
        {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"}
    )
    redirect_empty_path: ClassVar[bool] = True
    use_method_override: bool = False

    def __init__(self, mapper: Any, *, use_method_override: bool | None = None) -> None:
        if use_method_override is not None:
            self.use_method_override = use_method_override
        if self.redirect_empty_path:
            mapper.redirect("", "/")
        self.map = mapper

    @classmethod
    def factory(cls, global_conf: Any, **local_conf: Any) -> Router:
        """Make the router of a PasteDeploy section, with a mapper of its own."""
        return cls(APIMapper())

    def __call__(
        self,
        environ: WSGIEnvironment | webob.Request,
        start_response: StartResponse | None = None,
    ) -> Any:
        """Answer a request.

        Called with ``environ`` and ``start_response`` it is a WSGI application;
        called with a request alone it returns the application that would answer.
        """
        if start_response is None:
            return self.route(cast("webob.Request", environ).environ)
        environ = cast("WSGIEnvironment", environ)
        return self.route(environ)(environ, start_response)

    def route(self, environ: WSGIEnvironment) -> WSGIApplication:
        """Return the application that answers, after noting the match in ``environ``.

        Leaves ``wsgiorg.routing_args``, ``routes.route`` and ``routes.url``, and moves
        what a ``{path_info:.*}`` did not match from ``PATH_INFO`` to ``SCRIPT_NAME``.
        """
        matched = self._match(environ)
        arguments, route = matched if matched else (None, None)
        url = URLGenerator(self.map, environ)
        environ["wsgiorg.routing_args"] = (url, arguments or {})
        environ["routes.route"] = route
        environ["routes.url"] = url
        if route is not None and route.redirect:
            location = url(f"_redirect_{id(route)}", **(arguments or {}))
            return Redirect(route.redirect_status, location)
        if not arguments:
            return self._nothing(environ)
        if "path_info" in arguments:
            _shift(environ, arguments["path_info"] or "")
        return cast("WSGIApplication", arguments["controller"])

    def _match(self, environ: WSGIEnvironment) -> Any:
        override = self._override(environ) if self.use_method_override else None
        if override is None:
            return self.map.routematch(environ.get("PATH_INFO", ""), environ)
        method = environ["REQUEST_METHOD"]
        environ["REQUEST_METHOD"] = override.upper()
        try:
            return self.map.routematch(environ.get("PATH_INFO", ""), environ)
        finally:
            environ["REQUEST_METHOD"] = method

    def _override(self, environ: WSGIEnvironment) -> str | None:
        request = webob.Request(environ)
        try:
            if "_method" in environ.get("QUERY_STRING", ""):
                return request.GET.get("_method") or None
            if environ["REQUEST_METHOD"] == "POST" and request.content_type in _FORMS:
                return cast("str | None", request.POST.get("_method")) or None
        except (UnicodeDecodeError, ValueError):
            # Not ours to complain about: the action reads the same parameters.
            LOG.debug("no method override in parameters that cannot be read")
        return None

    def _nothing(self, environ: WSGIEnvironment) -> WSGIApplication:
        implemented = self.implemented_methods
        error: webob.exc.HTTPError = webob.exc.HTTPNotFound()
        if implemented is not None and environ["REQUEST_METHOD"] not in implemented:
            error = webob.exc.HTTPNotImplemented()
        return translate_for(Request(environ), error)


class RejectMethodController:
    """Refuses the methods that a path does not have.

    Source: ``glance.common.wsgi.RejectMethodController``.
    """

    def reject(
        self, req: webob.Request, allowed_methods: str, *args: Any, **kwargs: Any
    ) -> NoReturn:
        """Refuse the method.

        :param allowed_methods: what goes into ``Allow`` (RFC 9110, 15.5.6)
        :raises webob.exc.HTTPMethodNotAllowed: always
        """
        LOG.debug("%s is not a method of %s", req.method, req.path)
        raise webob.exc.HTTPMethodNotAllowed(headers=[("Allow", allowed_methods)])


class DefaultMethodController(RejectMethodController):
    """Answers OPTIONS, and refuses the methods that a path does not have.

    Source: ``heat.common.wsgi.DefaultMethodController``.
    """

    def options(
        self, req: webob.Request, allowed_methods: str, *args: Any, **kwargs: Any
    ) -> NoReturn:
        """Tell the methods of the path.

        :param allowed_methods: what goes into ``Allow`` (RFC 9110, 9.3.7)
        :raises webob.exc.HTTPNoContent: always
        """
        raise webob.exc.HTTPNoContent(headers=[("Allow", allowed_methods)])


def _shift(environ: WSGIEnvironment, rest: str) -> None:
    path = environ["PATH_INFO"]
    environ["PATH_INFO"] = rest if rest.startswith("/") else f"/{rest}"
    environ["SCRIPT_NAME"] += re.sub(rf"^(.*?)/{re.escape(rest)}$", r"\1", path)


__all__ = ["DefaultMethodController", "RejectMethodController", "Router"]
