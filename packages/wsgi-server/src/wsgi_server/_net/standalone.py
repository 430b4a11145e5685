"""Sockets for programs that listen by themselves and want a service's options to mean the same."""

from __future__ import annotations

import dataclasses
import socket
import time
from typing import TYPE_CHECKING, Any

from wsgi_server._config.settings import Settings
from wsgi_server.errors import ConfigError

if TYPE_CHECKING:
    import ssl


def get_socket(
    conf: Any = None, default_port: int | None = None, *, bind_retry: float = 30.0
) -> socket.socket:
    """Returns a new listening socket on the first address that is configured.

    With `cert_file` it is an `ssl.SSLSocket` whose connections make their handshake when
    they are first read from or written to: `accept` waits for no client. The socket
    blocks; it is green where the program has monkey-patched. An address in use is tried
    again for `bind_retry` seconds. Raises `BindError` and `ConfigError`.
    """
    from wsgi_server._net.binding import AddressInUse
    from wsgi_server._net.listeners import open_listeners
    from wsgi_server._net.retry import Retry

    settings = Settings.from_conf(conf, default_port=default_port)
    settings = dataclasses.replace(settings, binds=settings.binds[:1])
    context = _context(settings) if settings.cert_file is not None else None
    retry = Retry(bind_retry)
    while True:
        try:
            # A name may have several addresses; one socket is what was asked for.
            first, *others = open_listeners(settings)
            break
        except AddressInUse as exc:
            time.sleep(retry.pause(exc))
    for other in others:
        other.close()
    sock = socket.socket(fileno=first.sock.detach())
    sock.setblocking(True)
    return sock if context is None else _wrapped(sock, context)


def ssl_wrap_socket(sock: socket.socket, conf: Any = None) -> ssl.SSLSocket:
    """Returns `sock`, listening or connected, as the server's side of TLS.

    With `cert_file`, `key_file`, `ca_file` and `tls_ciphers` of `conf`; TLS 1.2 at least,
    and with `ca_file` clients must present a certificate. The handshake happens at the
    first read or write, or by `do_handshake`. The new object owns the descriptor; `sock`
    is detached. Raises `ConfigError` for files that cannot be used or are not named.
    """
    settings = Settings.from_conf(conf, default_port=0)
    return _wrapped(sock, _context(settings))


def _context(settings: Settings) -> ssl.SSLContext:
    # ssl is slow to import, and most deployments end TLS elsewhere.
    from wsgi_server._net.tls import server_context

    context = server_context(settings)
    if context is None:
        raise ConfigError("cert_file is not set: TLS needs a certificate")
    return context


def _wrapped(sock: socket.socket, context: ssl.SSLContext) -> ssl.SSLSocket:
    return context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
