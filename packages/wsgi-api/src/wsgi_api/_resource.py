"""Resource: from a routed request to a controller's action and back."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, cast

import webob
import webob.exc

from wsgi_api._actions import NoSuchAction, can_be_plain, find_action, method_for
from wsgi_api._bodies import JSONRequestDeserializer, JSONResponseSerializer
from wsgi_api._headers import best_offer, vary_by
from wsgi_api._i18n import Text
from wsgi_api._rendering import ErrorFormat, check_format, send_error
from wsgi_api._request import Request
from wsgi_api.errors import INCOMPLETE, NotAcceptable, log_exception, translate_for

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_NO_BODY = Text("This request must not have a body.")
_UNDECODABLE = Text("The URL or the body contains characters that are not UTF-8.")
_WRONG_ARGUMENTS = Text("The request lacks an argument or has one that is not known.")

_JSON = ("Content-Type", "application/json")
_TRUE = frozenset({"1", "on", "t", "true", "y", "yes"})


class Resource:
    """A WSGI application around a controller, whose methods are the actions.

    For each request the deserializer's method for the action turns the request into
    arguments, the controller's method is called with the request and these, and the
    serializer's method writes its result into a response. Each of the three may have
    a method ``default`` for all the actions that it has no method for. A controller
    may also return a response, or raise one of :mod:`webob.exc`.

    :param controller: has a method for each action
    :param deserializer: reads JSON where it is left out
    :param serializer: writes JSON where it is left out
    :param serializers: several to choose from, in place of one: media types to
        serializers, the default first. The choice falls by a ``format`` that the route
        matched (``.xml``), by the parameter ``ContentType`` of the CloudFormation API
        (``JSON``), or by ``Accept``
    :param strict: where nothing on offer suits, 406 instead of the default
    :param error_format: how HTTP errors are written: ``webob`` (HTML, plain text or
        JSON, by ``Accept``), ``json``, or ``problem`` (RFC 9457)
    :raises ValueError: there is no such ``error_format``

    What a service may change by subclassing:

    * ``request_class``: the request that controllers get,
    * ``bad_request_errors``: exceptions whose message is fit for the client; 400,
    * ``passed_on``: exceptions that middleware further out turns into answers; they
      are translated and raised,
    * ``disguise``: makes, from an HTTP error, the exception to raise in its place,
      where that middleware wants to see HTTP errors too; ``undisguised`` names those
      that are raised as they are,
    * :meth:`translate`, :meth:`wrong_arguments`, :meth:`log_unexpected` and
      :meth:`answer_unexpected`.

    Source: ``glance.common.wsgi.Resource``, ``heat.common.wsgi.Resource``.
    """

    request_class: ClassVar[type[webob.Request]] = Request
    bad_request_errors: ClassVar[tuple[type[Exception], ...]] = ()
    passed_on: ClassVar[tuple[type[Exception], ...]] = ()
    undisguised: ClassVar[tuple[type[Exception], ...]] = ()
    disguise: ClassVar[Callable[[Exception], Exception] | None] = None
    error_format: ErrorFormat = "webob"
    strict: bool = False

    def __init__(
        self,
        controller: Any,
        deserializer: Any = None,
        serializer: Any = None,
        *,
        serializers: Mapping[str, Any] | None = None,
        strict: bool | None = None,
        error_format: ErrorFormat | None = None,
    ) -> None:
        self.controller = controller
        self.deserializer = deserializer or JSONRequestDeserializer()
        self.serializer = serializer or JSONResponseSerializer()
        self.serializers = serializers
        if strict is not None:
            self.strict = strict
        if error_format is not None:
            self.error_format = error_format
        check_format(self.error_format)
        # Actions for which no object has anything else under that name, so that
        # getattr, which is much faster, finds what find_action does.
        self._plain: set[str] = set()

    def __call__(
        self,
        request: webob.Request | WSGIEnvironment,
        start_response: StartResponse | None = None,
    ) -> Any:
        """Answers a request.

        Called with ``environ`` and ``start_response`` it is a WSGI application, which
        answers with every HTTP exception; called with a request alone it returns the
        response and raises those.
        """
        if start_response is None:
            return self.respond(request)  # type: ignore[arg-type]
        environ: WSGIEnvironment = request  # type: ignore[assignment]
        try:
            answer = self._respond(self.request_class(environ))
        except webob.exc.HTTPException as exc:
            return send_error(exc, environ, start_response, self.error_format)
        if type(answer) is bytes:
            headers = [_JSON, ("Content-Length", str(len(answer)))]
            start_response("200 OK", headers)
            return [] if environ["REQUEST_METHOD"] == "HEAD" else [answer]
        if isinstance(answer, webob.exc.HTTPException):
            return send_error(answer, environ, start_response, self.error_format)
        return answer(environ, start_response)

    def respond(self, request: webob.Request) -> WSGIApplication:
        """Returns the response to a request.

        :raises webob.exc.HTTPException: an error of the request, or what the action
            raised; in the client's language
        """
        answer = self._respond(request)
        if type(answer) is bytes:
            return webob.Response(answer, content_type=_JSON[1], request=request)
        return cast("WSGIApplication", answer)

    # An answer as bytes is a JSON document that needs no response object around it.
    def _respond(self, request: webob.Request) -> Any:
        args = self.get_action_args(request.environ)
        action = args.pop("action", None)
        name = action or "default"
        is_plain = name in self._plain or self._learn(name)
        find: Callable[..., Any] = getattr if is_plain else find_action
        deserializer, controller = self.deserializer, self.controller
        watched = getattr(self.dispatch, "__func__", None) is not _DISPATCH
        if watched:
            name, find = "default", getattr
            deserializer = _Watched(self.dispatch, deserializer, action)
            controller = _Watched(self.dispatch, controller, action)
        try:
            act = find(controller, name, None)
            if act is None:
                act = method_for(controller, action)
            serializer, by_accept = self.serializer, False
            if self.serializers:
                serializer, by_accept = self._choose(request, self.serializers)
            if "body_reject" in args:
                self._reject_body(request, args.pop("body_reject"))
            read = find(deserializer, name, None) or deserializer.default
            args.update(read(request))
            try:
                result = act(request, **args)
            except TypeError as exc:
                if not self.wrong_arguments(exc, action):
                    raise
                raise webob.exc.HTTPBadRequest(explanation=_WRONG_ARGUMENTS) from exc
        except Exception as exc:  # noqa: BLE001 - the application call
            return self._answer_error(request, exc)
        if isinstance(result, Exception):
            return result
        try:
            if watched:
                serializer = _Watched(self.dispatch, serializer, action)
            write = find(serializer, name, None) or serializer.default
            if getattr(write, "__func__", None) is _WRITE_JSON:
                # What it would do to a response, without one.
                if isinstance(result, webob.Response):
                    return result
                if not by_accept:
                    document = serializer.to_json(result)
                    if type(document) is bytes:
                        return document
            response = webob.Response(request=request)
            write(response, result)
            if by_accept:
                vary_by(response.headerlist, "Accept")
            return response
        except webob.exc.HTTPException as exc:
            return self.translate(request, exc)
        except Exception as exc:  # noqa: BLE001 - the application call
            if isinstance(result, webob.Response):
                return result
            self.log_unexpected(exc)
            return self.answer_unexpected(request, exc)

    def dispatch(self, obj: Any, action: str | None, *args: Any, **kwargs: Any) -> Any:
        """Calls the method of ``obj`` for an action, or else its ``default``.

        The name can come out of a URL, so not everything that an object has is an
        action: only the public methods of its class are, without those that the
        (de)serializers of this package have for other purposes.

        :raises AttributeError: there is neither
        """
        if action in self._plain:
            method = getattr(obj, action, None) or obj.default
        else:
            method = method_for(obj, action)
        return method(*args, **kwargs)

    def get_action_args(self, request_environment: WSGIEnvironment) -> dict[str, Any]:
        """Returns what the route matched, without ``controller`` and ``format``.

        Empty where nothing was routed.
        """
        try:
            args: dict[str, Any] = request_environment["wsgiorg.routing_args"][1].copy()
        except (KeyError, IndexError, AttributeError, TypeError):
            return {}
        args.pop("controller", None)
        args.pop("format", None)
        return args

    def translate(self, request: webob.Request, exc: Exception) -> Exception:
        """Returns ``exc`` in the language of the client."""
        return translate_for(request, exc)

    def wrong_arguments(self, exc: TypeError, action: str | None) -> bool:
        """Returns whether a ``TypeError`` says that the action got other arguments.

        It does where Python refused the call of the action itself, or of the function
        that the action's decorators wrap. One from inside the action is a bug.
        """
        method = find_action(self.controller, action or "default")
        chain = _wrapped(method or getattr(self.controller, "default", None))
        if not chain:
            return False
        if not str(exc).startswith(tuple(f"{f.__qualname__}() " for f in chain)):
            return False
        return not _passed_through(exc, chain[-1])

    def log_unexpected(self, exc: Exception) -> None:
        """Leaves the record of an error that is nobody's but the service's own."""
        log_exception(exc, sys.exc_info())

    def answer_unexpected(
        self, request: webob.Request, exc: Exception
    ) -> WSGIApplication:
        """Returns the answer to such an error. It tells nothing of its cause."""
        error = webob.exc.HTTPInternalServerError()
        return cast("WSGIApplication", self.translate(request, error))

    def _learn(self, name: str) -> bool:
        # Only what the controller has: other names are the client's to invent.
        if find_action(self.controller, name) is None:
            return False
        written = (self.serializers or {}).values()
        for obj in (self.controller, self.deserializer, self.serializer, *written):
            if not can_be_plain(obj, name):
                return False
        self._plain.add(name)
        return True

    def _choose(
        self, request: webob.Request, serializers: Mapping[str, Any]
    ) -> tuple[Any, bool]:
        """Returns the serializer, and whether another ``Accept`` may choose another."""
        environ = request.environ
        for name in (_matched_format(environ), _asked_content_type(request)):
            if name:
                for media_type, serializer in serializers.items():
                    if name in (media_type, media_type.rpartition("/")[2]):
                        return serializer, False
                if self.strict:
                    raise NotAcceptable(serializers)
        by_accept = self.strict or len(serializers) > 1
        accept = environ.get("HTTP_ACCEPT")
        if accept:
            offer = best_offer(accept, tuple(serializers))
            if offer is not None:
                return serializers[offer], by_accept
            if self.strict:
                error = NotAcceptable(serializers)
                vary_by(error.headerlist, "Accept")
                raise error
        return next(iter(serializers.values())), by_accept

    def _reject_body(self, request: webob.Request, flag: object) -> None:
        # A string where the route names it, a boolean where the mapper was given one.
        if str(flag).strip().lower() in _TRUE and self.deserializer.has_body(request):
            raise webob.exc.HTTPBadRequest(explanation=_NO_BODY)

    def _answer_error(self, request: webob.Request, exc: Exception) -> WSGIApplication:
        if isinstance(exc, webob.exc.HTTPException):
            self._raise(request, exc)
        if isinstance(exc, self.passed_on):
            raise self.translate(request, exc)
        if isinstance(exc, UnicodeDecodeError):
            self._raise(request, webob.exc.HTTPBadRequest(explanation=_UNDECODABLE))
        if isinstance(exc, self.bad_request_errors):
            text = getattr(exc, "msg", None) or str(exc)
            self._raise(request, webob.exc.HTTPBadRequest(explanation=text))
        if isinstance(exc, webob.request.DisconnectionError):
            self._raise(request, webob.exc.HTTPBadRequest(explanation=INCOMPLETE))
        if (
            isinstance(exc, NoSuchAction)
            and exc.owner is self.controller
            and not _is_fixed(request.environ, exc.action)
        ):
            self._raise(request, webob.exc.HTTPNotFound())
        self.log_unexpected(exc)
        return self.answer_unexpected(request, exc)

    def _raise(self, request: webob.Request, exc: webob.exc.HTTPException) -> NoReturn:
        disguise = type(self).disguise
        if disguise is None:
            raise self.translate(request, exc)
        if isinstance(exc, self.undisguised) or not isinstance(
            exc, webob.exc.HTTPError
        ):
            raise exc
        raise disguise(self.translate(request, exc))


class _Watched:
    """Stands for an object whose methods are called through ``dispatch`` alone.

    A service, or its tests, wants to see every dispatch where it replaces that.
    """

    def __init__(self, dispatch: Any, obj: Any, action: str | None) -> None:
        self.default = functools.partial(dispatch, obj, action)


_DISPATCH = Resource.dispatch
_WRITE_JSON = JSONResponseSerializer.default


def _is_fixed(environ: WSGIEnvironment, action: str | None) -> bool:
    # Whether the route names the action, and not the URL.
    route = environ.get("routes.route")
    return route is not None and route.defaults.get("action") == action


def _matched_format(environ: WSGIEnvironment) -> str | None:
    try:
        name = environ["wsgiorg.routing_args"][1].get("format")
    except (KeyError, IndexError, AttributeError, TypeError):
        return None
    return str(name).lower() if name else None


def _asked_content_type(request: webob.Request) -> str | None:
    if "ContentType=" not in request.environ.get("QUERY_STRING", ""):
        return None
    return (request.GET.get("ContentType") or "").lower()


def _wrapped(method: Any) -> list[Any]:
    chain = []
    while method is not None:
        if hasattr(method, "__qualname__"):
            chain.append(method)
        method = getattr(method, "__wrapped__", None)
    return chain


def _passed_through(exc: BaseException, function: Any) -> bool:
    code = getattr(function, "__code__", None)
    traceback = exc.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code is code:
            return True
        traceback = traceback.tb_next
    return False
