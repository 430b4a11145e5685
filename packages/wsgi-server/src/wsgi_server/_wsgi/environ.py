"""The environ of a request (PEP 3333): what every one on an endpoint has, and what this one adds."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any, Protocol

SOFTWARE = "wsgi-server"


class TlsSession(Protocol):
    """What a request tells of the TLS session that it came through."""

    def session_facts(self) -> tuple[str | None, tuple[str, str, int] | None]:
        """Protocol version and cipher (name, protocol, bits)."""

    def peer_certificate(self) -> Mapping[str, object] | None:
        """The verified client certificate, decoded; None when there is none."""


def server_name(sock: socket.socket) -> tuple[str, str]:
    """SERVER_NAME and SERVER_PORT: the address that was bound, or who we are."""
    bound = sock.getsockname()
    if not isinstance(bound, tuple):
        return "localhost", "0"
    host, port = bound[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104  compared, not bound
        host = socket.gethostname()
    return host, str(port)


def tls_environ(session: TlsSession) -> dict[str, Any]:
    """mod_ssl's names, which applications know."""
    version, cipher = session.session_facts()
    environ: dict[str, Any] = {"HTTPS": "on", "SSL_PROTOCOL": version or ""}
    if cipher is not None:
        environ["SSL_CIPHER"] = cipher[0]
    certificate = session.peer_certificate()
    if certificate is not None:
        environ["SSL_CLIENT_VERIFY"] = "SUCCESS"
        environ["SSL_CLIENT_S_DN"] = _distinguished_name(certificate.get("subject"))
        environ["SSL_CLIENT_I_DN"] = _distinguished_name(certificate.get("issuer"))
        environ["SSL_CLIENT_M_SERIAL"] = certificate.get("serialNumber", "")
    return environ


def _distinguished_name(parts: Any) -> str:
    return ",".join(f"{key}={value}" for rdn in parts or () for key, value in rdn)
