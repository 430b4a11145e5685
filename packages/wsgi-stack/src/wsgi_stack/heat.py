"""Drop-in for ``heat.common.wsgi``: the original's names, signatures and options.

``from wsgi_stack import heat as wsgi``. Importing it registers options on ``cfg.CONF``,
as the original does and nothing else of this project. Where Heat is installed its own
exceptions are raised and passed on.

What differs from the original on purpose:

- Every fault of a start is a ``RuntimeError`` of one line, an occupied port as well.
- TLS uses a server-side context; the handshake does not hold up accepting.
- A reload starts new workers and retires the old ones only when the new ones answer; a
  configuration that does not work leaves the old workers serving.
- A worker that dies is replaced, whatever its exit status was.
- Signals are noted and handled in the server's loop; ``hup`` raises nothing, and
  ``kill_children`` tells the server's own workers, not its whole process group.
- ``workers = 0`` counts the CPUs that the process may use, not those of the machine.
- ``app_factory`` and ``filter_factory`` are always there, and loads in several threads
  do not share them. They take their own key out of the settings that they pass on.
- ``Debug`` prints bodies of bytes, keeps ``close()``, and hides credentials.
- A ``process_response`` that returns nothing keeps the response; a filter without
  ``process_response`` passes the response on untouched.
- Only wrong arguments of an action are a 400; any other ``TypeError`` is an error of
  the service, logged with its traceback where ``debug`` is set.
- An error of the CFN API that is asked for with ``ContentType=JSON`` has its own status
  and an error document; the original answers 200 and a text.
- The wording of a 400.
- The line of a request in ``eventlet.wsgi.server`` counts the body's bytes, not the head's.
- JSON nested deeper than 100 levels is refused with 400, and so are ``NaN`` and
  ``Infinity``; these are written as ``null``, by the CFN API as the original does.
- A JSON body in a content coding (``Content-Encoding: gzip``) is refused with 415.
- An action that only the URL names and the controller does not have is a 404.
- Languages are matched by RFC 4647 without webob.
"""

from __future__ import annotations

import datetime
import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import webob
import webob.dec  # modules of Heat use it and rely on this one to have imported it
import webob.exc
import wsgi_api
import wsgi_api.errors
import wsgi_paste
import wsgi_server
import wsgi_server.errors
from oslo_config import cfg
from wsgi_api import DefaultMethodController, is_json_content_type
from wsgi_paste import (
    BasePasteFactory,
    Debug,
    Middleware,
    debug_filter,
    setup_paste_factories,
    teardown_paste_factories,
)

from ._service import ServiceServer, installed, log_beside, start_errors, theirs

if TYPE_CHECKING:
    import socket

    from _typeshed.wsgi import WSGIApplication

__all__ = [
    "URL_LENGTH_LIMIT",
    "AppFactory",
    "BasePasteFactory",
    "Debug",
    "DefaultMethodController",
    "FilterFactory",
    "JSONRequestDeserializer",
    "Middleware",
    "Request",
    "Resource",
    "Router",
    "Server",
    "api_cfn_opts",
    "api_opts",
    "app_factory",
    "debug_filter",
    "filter_factory",
    "get_bind_addr",
    "get_socket",
    "is_json_content_type",
    "json_size_opt",
    "list_opts",
    "log_exception",
    "paste_deploy_app",
    "setup_paste_factories",
    "teardown_paste_factories",
    "translate_exception",
    "wsgi_elt_opts",
]

# The original's: operators set levels and look for lines by it.
LOG = logging.getLogger("heat.common.wsgi")

#: Longest request line, in bytes.
URL_LENGTH_LIMIT = 50000


def _api_opts(port: int, workers: int) -> list[cfg.Opt]:
    return [
        cfg.IPOpt(
            "bind_host",
            default="0.0.0.0",  # noqa: S104  the original's
            help="Address to listen on.",
            deprecated_group="DEFAULT",
        ),
        cfg.PortOpt(
            "bind_port",
            default=port,
            help="TCP port to listen on.",
            deprecated_group="DEFAULT",
        ),
        cfg.IntOpt(
            "backlog",
            default=4096,
            help="Connections that may wait to be accepted.",
            deprecated_group="DEFAULT",
        ),
        cfg.StrOpt(
            "cert_file",
            help="PEM file with the certificate; turns TLS on.",
            deprecated_group="DEFAULT",
        ),
        cfg.StrOpt(
            "key_file",
            help="PEM file with the private key of the certificate.",
            deprecated_group="DEFAULT",
        ),
        cfg.IntOpt(
            "workers",
            min=0,
            default=workers,
            help="Worker processes. 0 starts one for each CPU; 1 serves in the process "
            "that was started.",
            deprecated_group="DEFAULT",
        ),
        cfg.IntOpt(
            "max_header_line",
            default=16384,
            help="Longest header line in bytes; large Keystone tokens may need more.",
        ),
        cfg.IntOpt(
            "tcp_keepidle",
            default=600,
            help="Seconds of silence after which TCP probes whether the client is "
            "there.",
        ),
    ]


api_opts = _api_opts(port=8004, workers=0)
api_group = cfg.OptGroup("heat_api")
cfg.CONF.register_group(api_group)
cfg.CONF.register_opts(api_opts, group=api_group)

api_cfn_opts = _api_opts(port=8000, workers=1)
api_cfn_group = cfg.OptGroup("heat_api_cfn")
cfg.CONF.register_group(api_cfn_group)
cfg.CONF.register_opts(api_cfn_opts, group=api_cfn_group)

wsgi_elt_opts = [
    cfg.BoolOpt(
        "wsgi_keep_alive",
        default=True,
        help="Whether a connection serves further requests.",
    ),
    cfg.IntOpt(
        "client_socket_timeout",
        default=900,
        help="Seconds that a read or write may wait for the client; 0 waits for ever.",
    ),
]
wsgi_elt_group = cfg.OptGroup("eventlet_opts")
cfg.CONF.register_group(wsgi_elt_group)
cfg.CONF.register_opts(wsgi_elt_opts, group=wsgi_elt_group)

json_size_opt = cfg.IntOpt(
    "max_json_body_size",
    default=1048576,
    help="Largest JSON body of a request in bytes; should be more than "
    "max_template_size.",
)
cfg.CONF.register_opt(json_size_opt)

_EXCEPTIONS = "heat.common.exception"


def list_opts() -> Iterator[tuple[str | None, list[cfg.Opt]]]:
    """Yields the options by group, for ``oslo-config-generator``."""
    yield None, [json_size_opt]
    yield "heat_api", api_opts
    yield "heat_api_cfn", api_cfn_opts
    yield "eventlet_opts", wsgi_elt_opts


def get_bind_addr(conf: Any, default_port: int | None = None) -> tuple[str, int | None]:
    """Returns host and port to listen on; ``default_port`` where the group has none."""
    with start_errors():
        return wsgi_server.get_bind_addr(conf, default_port)


def get_socket(conf: Any, default_port: int | None) -> socket.socket:
    """Returns a listening socket for the group's address; raises ``RuntimeError``."""
    with start_errors():
        return wsgi_server.get_socket(conf, default_port)


class Server(ServiceServer, wsgi_server.Server):
    """The server of one API: ``conf`` is its group, such as ``CONF.heat_api``.

    ``name`` is the program's, for logs; ``threads`` bounds the requests that run at the
    same time in a worker.
    """

    def __init__(self, name: str, conf: Any, threads: int = 1000) -> None:
        super().__init__(threads, conf=conf, name=name)

    def get_num_workers(self) -> int:
        """Returns the workers of the group: 0 is one for each CPU, 1 does not fork."""
        workers = super().get_num_workers()
        return _cpus() if workers == 0 else 0 if workers == 1 else workers

    def option_values(self) -> dict[str, Any]:
        """Returns what counts for all groups, under the server's names."""
        return {
            "max_request_line": URL_LENGTH_LIMIT,
            "http_keepalive": cfg.CONF.eventlet_opts.wsgi_keep_alive,
            "client_socket_timeout": cfg.CONF.eventlet_opts.client_socket_timeout,
        }


class Router(wsgi_api.Router):
    """Answers 404 to every method where no route matches, and an empty path as well.

    Lets a parameter ``_method`` choose the route, and HEAD go where a route names it, as
    the original does.
    """

    use_method_override = True
    head_as_get = False
    implemented_methods = None
    redirect_empty_path = False


def translate_exception(
    exc: wsgi_api.errors.AnyException, locale: str | None
) -> wsgi_api.errors.AnyException:
    """Returns ``exc`` with what the client may read in the language ``locale``."""
    return wsgi_api.translate_exception(exc, locale)


def log_exception(err: BaseException, exc_info: wsgi_api.errors.ExcInfo) -> None:
    """Logs an error that no one expected; its traceback where ``debug`` is set."""
    debug = "debug" in cfg.CONF and cfg.CONF.debug
    wsgi_api.log_exception(err, exc_info if debug else None)


class Request(wsgi_api.Request):
    """A request in Heat's languages; raises Heat's ``InvalidContentType``."""

    i18n_domain: ClassVar[str] = "heat"
    invalid_content_type = theirs(_EXCEPTIONS, lambda module: module.InvalidContentType)


class JSONRequestDeserializer(wsgi_api.JSONRequestDeserializer):
    """Reads JSON bodies up to ``max_json_body_size``, as Heat's APIs recognize them."""

    @property
    def max_json_body_size(self) -> int:  # type: ignore[override]  # read late
        size = cfg.CONF.max_json_body_size
        # An empty value is none.
        return int(json_size_opt.default if size is None else size)

    def has_body(self, request: webob.Request) -> bool:
        """Tells whether there is a body that is JSON."""
        return (request.content_length or 0) > 0 and is_json_content_type(request)

    def from_json(self, datastring: str | bytes) -> Any:
        """Returns what a JSON text means; raises ``RequestLimitExceeded``, or 400."""
        with self._errors(len(datastring)):
            return super().from_json(datastring)

    def read_body(self, request: webob.Request) -> bytes:
        """Returns the bytes of the body; raises as ``from_json``."""
        with self._errors(request.content_length or 0):
            return super().read_body(request)

    @contextmanager
    def _errors(self, size: int) -> Iterator[None]:
        try:
            yield
        except wsgi_api.errors.MalformedBody as exc:
            # The fault filter tells the client the name of the class, so it must be this.
            raise webob.exc.HTTPBadRequest(str(exc.explanation)) from exc
        except wsgi_api.errors.BodyTooLarge as exc:
            exception = installed(_EXCEPTIONS)
            if exception is None:
                raise
            raise exception.RequestLimitExceeded(
                message=f"JSON body size ({size} bytes) exceeds maximum allowed size "
                f"({self.max_json_body_size} bytes)."
            ) from exc


class _Serializer:
    """JSON or XML, whichever the parameter ``ContentType`` of the CFN API asks for."""

    def default(self, response: webob.Response, result: Any) -> None:
        if response.request is not None and _wants_json(response.request):
            _JSON.default(response, result)
        elif result is None or isinstance(result, (str, bytes)):
            # A signal has no result, and nothing of these could be XML.
            response.body = (
                result.encode() if isinstance(result, str) else result or b""
            )
        else:
            wsgi_api.XMLResponseSerializer().default(response, result)


def _as_text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime.datetime) else str(value)


_JSON = wsgi_api.JSONResponseSerializer(
    encoder=lambda data: json.dumps(data, default=_as_text).encode("ascii")
)


def _wants_json(request: webob.Request) -> bool:
    return bool(request.params.get("ContentType") == "JSON")


class Resource(wsgi_api.Resource):
    """A controller whose errors Heat's fault filter turns into answers."""

    request_class = Request
    disguise = theirs(_EXCEPTIONS, lambda module: module.HTTPExceptionDisguise)
    passed_on = theirs(_EXCEPTIONS, lambda module: (module.HeatException,))
    undisguised = theirs(
        "heat.api.aws.exception", lambda module: (module.HeatAPIException,)
    )

    def __init__(
        self, controller: Any, deserializer: Any, serializer: Any = None
    ) -> None:
        super().__init__(
            controller,
            deserializer or JSONRequestDeserializer(),
            serializer or _Serializer(),
        )

    def __call__(self, request: Any, start_response: Any = None) -> Any:
        """Answers a request, and logs that it does."""
        environ = request.environ if start_response is None else request
        if LOG.isEnabledFor(logging.INFO):
            asked = webob.Request(environ)
            log_beside(
                environ,
                LOG,
                "Processing request: %(method)s %(path)s",
                {"method": asked.method, "path": asked.path},
            )
        return super().__call__(request, start_response)

    def dispatch(self, obj: Any, action: str | None, *args: Any, **kwargs: Any) -> Any:
        """Calls the method of ``obj`` for an action, or else its ``default``.

        An error that a controller of the CFN API returns has its body in JSON where the
        request asks for it.
        """
        result = super().dispatch(obj, action, *args, **kwargs)
        if hasattr(result, "get_unserialized_body") and _wants_json(args[0]):
            _JSON.default(result, result.get_unserialized_body())
        return result

    def translate(self, request: webob.Request, exc: Exception) -> Exception:
        """Returns ``exc`` in the client's language."""
        return translate_exception(exc, request.best_match_language())

    def log_unexpected(self, exc: Exception) -> None:
        """Leaves the record of an error that no one expected."""
        log_exception(exc, exc)

    def answer_unexpected(
        self, request: webob.Request, exc: Exception
    ) -> WSGIApplication:
        """Raises it, in the client's language: the fault filter answers."""
        raise self.translate(request, exc)


class AppFactory(wsgi_paste.AppFactory):
    """``wsgi_paste.AppFactory`` that looks for ``heat.app_factory``."""

    KEY = "heat.app_factory"


class FilterFactory(wsgi_paste.FilterFactory):
    """``wsgi_paste.FilterFactory`` that looks for ``heat.filter_factory``."""

    KEY = "heat.filter_factory"


def app_factory(global_conf: dict[str, str] | None, **local_conf: str) -> Any:
    """Calls an ``AppFactory`` with the conf of the load under way; for ini files."""
    return AppFactory(wsgi_paste.current_conf())(global_conf, **local_conf)


def filter_factory(
    global_conf: dict[str, str] | None, **local_conf: str
) -> Callable[[WSGIApplication], Any]:
    """Calls a ``FilterFactory`` with the conf of the load under way; for ini files."""
    return FilterFactory(wsgi_paste.current_conf())(global_conf, **local_conf)


def paste_deploy_app(
    paste_config_file: str, app_name: str | None, conf: cfg.ConfigOpts
) -> WSGIApplication:
    """Returns the application ``app_name`` of a PasteDeploy file, made with ``conf``.

    Raises what ``wsgi_paste.paste_deploy_app`` raises.
    """
    return wsgi_paste.paste_deploy_app(paste_config_file, app_name, conf)


def _cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
