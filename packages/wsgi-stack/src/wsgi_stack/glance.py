"""Drop-in for ``glance.common.wsgi``: the original's names, signatures and options.

``from wsgi_stack import glance as wsgi``. Importing it registers options on
``cfg.CONF``, as the original does and nothing else of this project. Where Glance is
installed its own exceptions are raised, and a server does Glance's start-up work.

What differs from the original on purpose:

- Every fault of a start is a ``RuntimeError`` of one line, an occupied port as well;
  only a value that does not fit its option is a ``ConfigFileValueError``.
- TLS uses a server-side context; the handshake does not hold up accepting.
- A reload starts new workers and retires the old ones only when the new ones answer; a
  configuration that does not work leaves the old workers serving.
- A worker that dies is replaced, whatever its exit status was.
- Signals are noted and handled in the server's loop; ``hup`` raises nothing, and
  ``kill_children`` tells the server's own workers, not its whole process group.
- ``Debug`` prints bodies of bytes, keeps ``close()``, and hides credentials.
- A ``process_response`` that returns nothing keeps the response.
- A filter without ``process_response`` passes the response on untouched: no absolute
  ``Location``, no response object.
- JSON nested deeper than 100 levels is refused with 400, and so are ``NaN`` and
  ``Infinity``; these are written as ``null``.
- A JSON body in a content coding (``Content-Encoding: gzip``) is refused with 415.
- An action that only the URL names and the controller does not have is a 404.
- Errors of a serializer are logged and answered with 500.
- The line of a request in ``eventlet.wsgi.server`` counts the body's bytes, not the head's.
- Languages are matched by RFC 4647 without webob.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import webob
import wsgi_api
import wsgi_api.errors
import wsgi_server
import wsgi_server.errors
from oslo_config import cfg
from wsgi_api import APIMapper, JSONResponseSerializer, RejectMethodController
from wsgi_paste import Debug, Middleware
from wsgi_server import Win32ProcessLauncher, get_asynchronous_eventlet_pool

from ._service import ServiceServer, installed, start_errors, theirs

if TYPE_CHECKING:
    import socket

    from _typeshed.wsgi import WSGIApplication

__all__ = [
    "CONF",
    "RESERVED_STORES",
    "APIMapper",
    "BaseServer",
    "Debug",
    "JSONRequestDeserializer",
    "JSONResponseSerializer",
    "Middleware",
    "PosixServer",
    "RejectMethodController",
    "Request",
    "Resource",
    "Router",
    "Server",
    "Win32ProcessLauncher",
    "Win32Server",
    "bind_opts",
    "cache_opts",
    "cli_opts",
    "eventlet_opts",
    "get_asynchronous_eventlet_pool",
    "get_bind_addr",
    "get_num_workers",
    "get_socket",
    "initialize_glance_store",
    "initialize_multi_store",
    "register_cli_opts",
    "set_eventlet_hub",
    "socket_opts",
    "ssl_wrap_socket",
    "translate_exception",
]

LOG = logging.getLogger(__name__)
CONF = cfg.CONF

#: Stores that Glance keeps for staging and for tasks, by their type.
RESERVED_STORES = {
    "os_glance_staging_store": "file",
    "os_glance_tasks_store": "file",
}

bind_opts = [
    cfg.HostAddressOpt(
        "bind_host",
        default="0.0.0.0",  # noqa: S104  the original's
        help="Address to listen on.",
    ),
    cfg.PortOpt(
        "bind_port",
        help="TCP port to listen on. Without a value it is the service's own: 9292 for "
        "the API.",
    ),
]

socket_opts = [
    cfg.IntOpt(
        "backlog",
        default=4096,
        min=1,
        help="Connections that may wait to be accepted.",
    ),
    cfg.IntOpt(
        "tcp_keepidle",
        default=600,
        min=1,
        help="Seconds of silence after which TCP probes whether the client is there.",
    ),
    cfg.StrOpt(
        "ca_file",
        help="PEM file with the authorities that client certificates must come from.",
    ),
    cfg.StrOpt("cert_file", help="PEM file with the certificate; turns TLS on."),
    cfg.StrOpt("key_file", help="PEM file with the private key of the certificate."),
]

eventlet_opts = [
    cfg.IntOpt(
        "workers",
        min=0,
        help="Worker processes. Without a value one for each CPU, at most 8; 0 serves "
        "in the process that was started.",
    ),
    cfg.IntOpt(
        "max_header_line",
        default=16384,
        min=0,
        help="Longest header line in bytes; large Keystone tokens may need more. 0 sets "
        "no limit of its own.",
    ),
    cfg.BoolOpt(
        "http_keepalive",
        default=True,
        help="Whether a connection serves further requests.",
    ),
    cfg.IntOpt(
        "client_socket_timeout",
        default=900,
        min=0,
        help="Seconds that a read or write may wait for the client; 0 waits for ever.",
    ),
]

cache_opts = [
    cfg.FloatOpt(
        "cache_prefetcher_interval",
        default=300,
        help="Seconds between two runs of the job that fetches queued images into the "
        "cache.",
    ),
]

cli_opts = [
    cfg.StrOpt(
        "pipe-handle",
        help="Handle of the pipe by which a worker on Windows learns that its parent "
        "has ended; set by the server.",
    ),
]

CONF.register_opts(bind_opts)
CONF.register_opts(socket_opts)
CONF.register_opts(eventlet_opts)
CONF.register_opts(cache_opts)

_profiler_opts = installed("osprofiler.opts")
if _profiler_opts is not None:
    # Glance asks this module for the group: CONF.import_group("profiler", ...).
    _profiler_opts.set_defaults(CONF)

_EXCEPTIONS = "glance.common.exception"

# Glance's command has an exit status for a value that does not fit.
_OWN_ERRORS = (cfg.ConfigFileValueError,)
_start_errors = functools.partial(start_errors, *_OWN_ERRORS)


def register_cli_opts() -> None:
    """Registers the command-line options; to be called before CONF is parsed."""
    CONF.register_cli_opts(cli_opts)


def get_num_workers() -> int:
    """Returns the configured number of workers, else one for each CPU, at most 8."""
    with _start_errors():
        return wsgi_server.get_num_workers(CONF)


def get_bind_addr(default_port: int | None = None) -> tuple[str, int | None]:
    """Returns host and port to listen on; ``default_port`` where none is configured."""
    with _start_errors():
        return wsgi_server.get_bind_addr(CONF, default_port)


def get_socket(default_port: int | None) -> socket.socket:
    """Returns a listening socket for that address; raises ``RuntimeError``."""
    with _start_errors():
        return wsgi_server.get_socket(CONF, default_port)


def ssl_wrap_socket(sock: socket.socket) -> socket.socket:
    """Returns ``sock`` with TLS around it, as CONF says; raises ``RuntimeError``."""
    with _start_errors():
        return wsgi_server.ssl_wrap_socket(sock, CONF)


def set_eventlet_hub() -> None:
    """Chooses eventlet's ``poll`` hub, or ``selects``.

    Raises Glance's ``WorkerCreationFailure`` where there is neither.
    """
    try:
        wsgi_server.set_eventlet_hub()
    except wsgi_server.errors.ServerError as exc:
        exception = installed(_EXCEPTIONS)
        if exception is None:
            raise
        raise exception.WorkerCreationFailure(reason=str(exc)) from exc


def initialize_glance_store() -> None:
    """Makes and verifies the one store of an old configuration."""
    wsgi_server.initialize_glance_store(CONF)


def initialize_multi_store() -> None:
    """Makes and verifies the stores of ``enabled_backends`` and the reserved ones."""
    wsgi_server.initialize_multi_store(CONF, reserved_stores=RESERVED_STORES)


class BaseServer(ServiceServer):
    """``wsgi_server.BaseServer`` on the global CONF, with Glance's start-up work.

    ``threads`` bounds the requests that run at the same time in a worker.
    """

    own_errors = _OWN_ERRORS

    def __init__(
        self,
        threads: int = 1000,
        initialize_glance_store: bool = False,
        initialize_prefetcher: bool = False,
    ) -> None:
        super().__init__(
            threads,
            initialize_glance_store,
            initialize_prefetcher,
            conf=CONF,
            name="glance",
        )
        self._starting = False
        self._staging: int | None = None

    def configure(
        self,
        old_conf: Mapping[str, Any] | None = None,
        has_changed: Callable[[str], bool] | None = None,
    ) -> None:
        """Applies the configuration; raises ``RuntimeError`` for what does not work."""
        if old_conf is not None:
            config = installed("glance.common.config")
            if config is not None:
                config.set_config_defaults()
        super().configure(old_conf, has_changed)

    def configure_socket(
        self,
        old_conf: Mapping[str, Any] | None = None,
        has_changed: Callable[[str], bool] | None = None,
    ) -> None:
        """Opens the sockets; raises ``RuntimeError`` when that is not possible.

        At a start Glance's own checks come first: its stores are there by now, and
        nothing is bound yet.
        """
        if self._starting:
            self._starting = False
            self._prepare_premises()
        with _start_errors():
            super().configure_socket(old_conf, has_changed)

    def start(self, application: WSGIApplication, default_port: int | None) -> None:
        """Serves ``application``, on ``default_port`` where CONF has none.

        Raises ``RuntimeError`` when it cannot, and what Glance's own checks raise.
        """
        self._starting = True
        super().start(application, default_port)

    def run_server(self) -> None:
        """Serves in this worker; the first of all clears the staging store before."""
        self._clear_once()
        super().run_server()

    def _prepare_premises(self) -> None:
        self._staging = _check_premises()

    def _clear_once(self) -> None:
        if self._staging is not None and os.read(self._staging, 1):
            try:
                _clear_staging()
            # Old files are no reason not to serve.
            except Exception:
                LOG.exception("the staging store cannot be cleared")


def _clear_staging() -> None:
    db = installed("glance.db").get_api()
    cleaner = installed("glance.housekeeping").StagingStoreCleaner(db)
    cleaner.clean_orphaned_staging_residue()


def _check_premises() -> int | None:
    """Runs Glance's checks; returns a turn at clearing the staging store, if there is."""
    migration = installed("glance.sqlite_migration")
    if migration is None:
        return None
    migration.migrate_if_required()
    staging = installed("glance.housekeeping").staging_store_path()
    if not os.path.exists(staging) and CONF.enabled_import_methods:
        LOG.warning(
            "Import methods are enabled but staging directory "
            "%(path)s does not exist; Imports will fail!",
            {"path": staging},
        )
    return _one_turn()


def _one_turn() -> int:
    """Returns a descriptor from which one of those that inherit it reads one byte."""
    end, other = os.pipe()
    os.write(other, b"1")
    os.close(other)
    return end


class PosixServer(BaseServer, wsgi_server.PosixServer):
    """The server of platforms that fork."""


class Win32Server(BaseServer, wsgi_server.Win32Server):
    """The server of platforms that do not fork."""

    def _prepare_premises(self) -> None:
        # A worker inherits no turn there, and must not clear what others are about.
        if not self.is_worker:
            super()._prepare_premises()
            self._clear_once()


Server: type[BaseServer] = Win32Server if os.name == "nt" else PosixServer


class Router(wsgi_api.Router):
    """Lets a parameter ``_method`` choose the route, and HEAD go where a route names it.

    Both as in the original.
    """

    use_method_override = True
    head_as_get = False


def translate_exception(
    req: webob.Request, e: wsgi_api.errors.AnyException
) -> wsgi_api.errors.AnyException:
    """Returns ``e`` with its texts in the language that ``req`` asks for."""
    return wsgi_api.translate_for(req, e)


class Request(wsgi_api.Request):
    """A request in Glance's languages; raises Glance's ``InvalidContentType``."""

    i18n_domain: ClassVar[str] = "glance"
    invalid_content_type = theirs(_EXCEPTIONS, lambda module: module.InvalidContentType)


class JSONRequestDeserializer(wsgi_api.JSONRequestDeserializer):
    """Reads JSON bodies of any size, as the original does."""

    max_json_body_size = None


class Resource(wsgi_api.Resource):
    """A controller with Glance's request, and with Glance's errors of its own."""

    request_class = Request
    bad_request_errors = theirs(
        _EXCEPTIONS, lambda module: (module.InvalidPropertyProtectionConfiguration,)
    )

    def __init__(
        self, controller: Any, deserializer: Any = None, serializer: Any = None
    ) -> None:
        super().__init__(
            controller, deserializer or JSONRequestDeserializer(), serializer
        )

    def translate(self, request: webob.Request, exc: Exception) -> Exception:
        """Returns ``exc`` in the client's language."""
        return translate_exception(request, exc)
