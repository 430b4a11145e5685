"""What the connections of one listener share: application, base environ, limits, logs."""

from __future__ import annotations

import socket
import sys
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Protocol

from . import _forwarded
from ._http11 import Limits, ResponseHeads
from ._wsgi import EMPTY_INPUT, FileWrapper

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from ._accesslog import AccessLog
    from ._connection import Connection
    from ._settings import Settings
    from ._sockets import Listener
    from ._stream import Stream

SOFTWARE = "wsgi-server"


class Waiting(Protocol):
    """What a connection may ask of its engine while a request runs."""

    def wait(self, conn: Stream, deadline: float, *, writable: bool) -> None:
        """Returns when the client can be read from or written to again.

        Raises `TimeoutError` when `deadline` (monotonic seconds) comes first.
        """

    def breathe(self) -> None:
        """Lets others run, in the middle of a long transfer that never had to wait."""

    def forget(self, conn: Connection) -> None:
        """The connection is about to close its descriptor."""


class Site:
    """One application on one listener under one configuration."""

    def __init__(
        self,
        listener: Listener,
        app: WSGIApplication,
        settings: Settings,
        engine: Waiting,
        log: AccessLog | None,
        *,
        worker_id: int = 0,
        multithread: bool = False,
    ) -> None:
        self.listener = listener
        self.app = app
        self.settings = settings
        self.engine = engine
        self.log = log
        self.tls = listener.tls
        #: Set when the worker retires: every response from then on says so.
        self.draining = False
        self.limits = Limits(
            request_line=settings.max_request_line,
            header_line=settings.max_header_line,
            headers=settings.max_headers,
            header_bytes=settings.max_header_bytes,
            body=settings.max_request_body,
            underscores=settings.underscore_headers,
        )
        self.believes = bool(settings.forwarded_allow)
        self._heads = ResponseHeads(SOFTWARE)
        self._second = 0
        self.environ = self._base_environ(worker_id, multithread)

    @property
    def heads(self) -> ResponseHeads:
        """The renderer of response heads, with the `Date` of this second."""
        now = int(time.time())
        if now != self._second:
            self._second = now
            self._heads.set_date(formatdate(now, usegmt=True).encode("ascii"))
        return self._heads

    @property
    def date(self) -> bytes:
        """This second as an IMF-fixdate (RFC 9110 5.6.7)."""
        return formatdate(time.time(), usegmt=True).encode("ascii")

    def admit(self, environ: dict[str, Any], peer: str) -> None:
        """Settles what `Forwarded` and `X-Forwarded-*` may say."""
        if self.believes and peer in self.settings.forwarded_allow:
            _forwarded.believe(environ, self.settings.forwarded_allow)
        else:
            _forwarded.strip(environ)

    def _base_environ(self, worker_id: int, multithread: bool) -> dict[str, Any]:
        name, port = _server_name(self.listener.sock)
        return {
            "SCRIPT_NAME": "",
            "SERVER_NAME": name,
            "SERVER_PORT": port,
            "SERVER_SOFTWARE": SOFTWARE,
            "GATEWAY_INTERFACE": "CGI/1.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http" if self.tls is None else "https",
            "wsgi.input": EMPTY_INPUT,
            "wsgi.input_terminated": True,
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": multithread,
            "wsgi.multiprocess": self.settings.workers > 1,
            "wsgi.run_once": False,
            "wsgi.file_wrapper": FileWrapper,
            "wsgi_server.worker": worker_id,
        }


def _server_name(sock: socket.socket) -> tuple[str, str]:
    """SERVER_NAME and SERVER_PORT: the address that was bound, or who we are."""
    bound = sock.getsockname()
    if not isinstance(bound, tuple):
        return "localhost", "0"
    host, port = bound[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104  compared, not bound
        host = socket.gethostname()
    return host, str(port)
