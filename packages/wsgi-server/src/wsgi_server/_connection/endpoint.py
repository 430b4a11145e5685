"""What the connections of one listener share: application, base environ, limits, logs."""

from __future__ import annotations

import math
import sys
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Final

from wsgi_server._http11 import Limits, ResponseHeads
from wsgi_server._wsgi import forwarded
from wsgi_server._wsgi.environ import SOFTWARE, server_name
from wsgi_server._wsgi.file_wrapper import FileWrapper
from wsgi_server._wsgi.input import EMPTY_INPUT

from .scheduler import Scheduler

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from wsgi_server._config.settings import Settings
    from wsgi_server._http11 import Request
    from wsgi_server._logs.access import AccessLog
    from wsgi_server._net.listeners import Listener


#: Names of header fields that are remembered; with more of them it starts over.
KNOWN_NAMES: Final = 1024


class Endpoint:
    """One application on one listener under one configuration."""

    def __init__(
        self,
        listener: Listener,
        app: WSGIApplication,
        settings: Settings,
        engine: Scheduler,
        log: AccessLog | None,
        *,
        worker_id: int = 0,
    ) -> None:
        self.listener = listener
        self.app = app
        self.settings = settings
        self.engine = engine
        self.log = log
        self.tls = listener.tls
        self.draining = False
        #: Requests that a connection may bring, and seconds that it may wait for the next.
        self.most_requests = sys.maxsize
        if not settings.http_keepalive:
            self.most_requests = 1
        elif settings.max_keepalive_requests is not None:
            self.most_requests = settings.max_keepalive_requests
        self.patience = settings.keepalive_timeout
        #: Seconds for a short body to arrive, and for the end of a response to be taken.
        self.body_patience = _least(
            settings.body_timeout, settings.client_socket_timeout
        )
        self.write_patience = _least(
            settings.write_timeout, settings.client_socket_timeout
        )
        self.limits = Limits(
            request_line=settings.max_request_line,
            header_line=settings.max_header_line,
            headers=settings.max_headers,
            header_bytes=settings.max_header_bytes,
            body=settings.max_request_body,
            underscores=settings.underscore_headers,
        )
        self.believes = bool(settings.forwarded_allow)
        #: Names of header fields that say nothing about forwarding.
        self._harmless: set[str] = set()
        self._heads = ResponseHeads(SOFTWARE)
        self._second = 0.0
        self._next_second = 0.0
        self._environ = self._base_environ(worker_id)

    @property
    def heads(self) -> ResponseHeads:
        """The renderer of response heads, with the `Date` of this second."""
        now = time.time()
        if not self._second <= now < self._next_second:
            self._second = now // 1
            self._next_second = self._second + 1
            date = formatdate(self._second, usegmt=True)
            self._heads.set_date(date.encode("ascii"))
        return self._heads

    def retire(self) -> None:
        """The worker drains: from now on every response says that it was the last."""
        self.draining = True
        self.most_requests = 1
        self.patience = self.settings.drain_idle_timeout

    @property
    def date(self) -> bytes:
        """This second as an IMF-fixdate (RFC 9110 5.6.7)."""
        return formatdate(time.time(), usegmt=True).encode("ascii")

    def environ_of(self, request: Request) -> dict[str, Any]:
        """A new environ for `request`, without what its connection and peer add to it."""
        note = request.note
        if note is not None and note[0] is self:
            environ: dict[str, Any] = note[1].copy()
            return environ
        environ = self._environ.copy()
        environ["REQUEST_METHOD"] = request.method
        environ["PATH_INFO"] = request.path
        environ["QUERY_STRING"] = request.query
        environ["RAW_URI"] = environ["REQUEST_URI"] = request.target
        environ["SERVER_PROTOCOL"] = "HTTP/1.1" if request.http11 else "HTTP/1.0"
        environ.update(request.headers)
        if not self.believes and not self._harmless.issuperset(request.headers):
            self._strip(environ, request)
        if request.familiar:
            request.note = (self, environ.copy())
        return environ

    def admit(self, environ: dict[str, Any], peer: str) -> None:
        """Settles what `Forwarded` and `X-Forwarded-*` may say where some are believed."""
        if peer in self.settings.forwarded_allow:
            forwarded.believe(environ, self.settings.forwarded_allow)
        else:
            forwarded.strip(environ)

    def _strip(self, environ: dict[str, Any], request: Request) -> None:
        forwarded.strip(environ)
        if len(self._harmless) >= KNOWN_NAMES:
            self._harmless.clear()
        self._harmless.update(environ.keys() & request.headers.keys())

    def _base_environ(self, worker_id: int) -> dict[str, Any]:
        name, port = server_name(self.listener.sock)
        return {
            # What every request replaces stands here for the size of the copies.
            "REQUEST_METHOD": "",
            "SCRIPT_NAME": "",
            "PATH_INFO": "",
            "QUERY_STRING": "",
            "RAW_URI": "",
            "REQUEST_URI": "",
            "REMOTE_ADDR": "",
            "REMOTE_PORT": "",
            "SERVER_PROTOCOL": "",
            "SERVER_NAME": name,
            "SERVER_PORT": port,
            "SERVER_SOFTWARE": SOFTWARE,
            "GATEWAY_INTERFACE": "CGI/1.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http" if self.tls is None else "https",
            "wsgi.input": EMPTY_INPUT,
            "wsgi.input_terminated": True,
            "wsgi.errors": sys.stderr,
            # Greenlets as well: they are the threads of a program that is monkey-patched.
            "wsgi.multithread": self.settings.threads > 1,
            "wsgi.multiprocess": self.settings.workers > 1,
            "wsgi.run_once": False,
            "wsgi.file_wrapper": FileWrapper,
            "wsgi.early_hints": None,
            "wsgi_server.worker": worker_id,
            "wsgi_server.client_gone": None,
        }


def _least(*limits: float | None) -> float:
    """The shortest of some limits, of which None is none."""
    return min(math.inf if limit is None else limit for limit in limits)
