"""The environ of a request (PEP 3333): what every one on an endpoint has, and what this one adds."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Final

from wsgi_server._config.addresses import canonical_ip
from wsgi_server._logs.standard_streams import errors

from . import forwarded
from .file_wrapper import FileWrapper
from .input import EMPTY_INPUT
from .request_id import REQUEST_ID

if TYPE_CHECKING:
    from wsgi_server._config.settings import Settings
    from wsgi_server._http11 import Request

SOFTWARE: Final = "wsgi-server"

#: Environs of requests that come again, which are kept; more start over.
KNOWN_ENVIRONS: Final = 256


class EnvironFactory:
    """Makes the environs of the requests on one listener."""

    __slots__ = ("_base", "_believes", "_known", "_trusted")

    def __init__(
        self, sock: socket.socket, settings: Settings, *, tls: bool, worker_id: int
    ) -> None:
        self._trusted = forwarded.TrustedPeers(settings.forwarded_allow)
        self._believes = bool(settings.forwarded_allow)
        self._known: dict[Request, dict[str, Any]] = {}
        name, port = server_name(sock)
        self._base: dict[str, Any] = {
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
            "wsgi.url_scheme": "https" if tls else "http",
            "wsgi.input": EMPTY_INPUT,
            "wsgi.input_terminated": True,
            "wsgi.errors": errors(),
            # Greenlets as well: they are the threads of a program that is monkey-patched.
            "wsgi.multithread": settings.threads > 1,
            "wsgi.multiprocess": settings.workers > 1,
            "wsgi.run_once": False,
            "wsgi.file_wrapper": FileWrapper,
            "wsgi.early_hints": None,
            "wsgi_server.worker": worker_id,
            "wsgi_server.client_gone": None,
        }
        if settings.request_id_header is not None:
            self._base[REQUEST_ID] = ""

    def add(self, key: str, value: object) -> None:
        """Has every environ say this as well; for a start, before the first is made."""
        self._base[key] = value

    def make(
        self, request: Request, peer: tuple[str, str], extra: dict[str, Any] | None
    ) -> dict[str, Any]:
        """A new environ for `request`, without what its exchange adds.

        `peer` is the client's address and port, `extra` what its connection says besides.
        What `Forwarded` and `X-Forwarded-*` may say is settled.
        """
        known = self._known.get(request) if request.familiar else None
        environ = self._of(request) if known is None else known.copy()
        environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = peer
        if extra:
            environ.update(extra)
        if self._believes and request.forwarding:
            if self._trusted[peer[0]]:
                forwarded.believe(environ, self._trusted)
            else:
                for name in request.forwarding:
                    del environ[name]
        return environ

    def _of(self, request: Request) -> dict[str, Any]:
        """What the request alone says, for a listener that trusts nobody already settled."""
        environ = self._base.copy()
        environ["REQUEST_METHOD"] = request.method
        environ["PATH_INFO"] = request.path
        environ["QUERY_STRING"] = request.query
        environ["RAW_URI"] = environ["REQUEST_URI"] = request.target
        environ["SERVER_PROTOCOL"] = "HTTP/1.1" if request.http11 else "HTTP/1.0"
        environ.update(request.headers)
        if not self._believes:
            for name in request.forwarding:
                del environ[name]
        if request.familiar:
            if len(self._known) >= KNOWN_ENVIRONS:
                self._known.clear()
            self._known[request] = environ.copy()
        return environ


def server_name(sock: socket.socket) -> tuple[str, str]:
    """SERVER_NAME and SERVER_PORT: the address that was bound, or who we are."""
    bound = sock.getsockname()
    if not isinstance(bound, tuple):
        return "localhost", "0"
    host, port = bound[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104  compared, not bound
        host = socket.gethostname()
    elif ":" in host:
        host = canonical_ip(host)
    return host, str(port)
