"""What a service's configuration says about its socket and its workers, by function.

The servers need none of these. They are for programs that listen by themselves and want the
options of a service to mean the same. `conf` is a `ConfigOpts` or one of its groups, and
`cfg.CONF` where it is left out; options that the service has not registered are looked up
in the section `[wsgi_server]` of its files.
"""

from __future__ import annotations

import dataclasses
import logging
import socket
import time
from typing import TYPE_CHECKING, Any, Final

from oslo_config import cfg

from . import opts
from ._section import Section
from ._settings import MAX_DEFAULT_WORKERS, Settings, _cpus, _read
from .errors import ConfigError

if TYPE_CHECKING:
    import ssl

LOG = logging.getLogger(__name__)

#: Seconds for which an address may be in use before that is an error.
PATIENCE: Final = 30.0
_PAUSE: Final = 0.1
_BY_NAME: Final = {opt.dest: opt for opt in opts.ALL_OPTS}


def get_bind_addr(
    conf: Any = None, default_port: int | None = None
) -> tuple[str, int | None]:
    """Host and port to bind to; `default_port` where `bind_port` has no value.

    Raises `ConfigError` for a value that does not fit its option.
    """
    host: str = option(conf, "bind_host")
    port: int | None = option(conf, "bind_port")
    return host, default_port if port is None else port


def get_num_workers(conf: Any = None) -> int:
    """The worker processes that are configured: one per CPU, at most 8, by default.

    0 means one process that does not fork. Raises `ConfigError` for a value that does
    not fit its option.
    """
    workers: int | None = option(conf, "workers")
    return min(_cpus(), MAX_DEFAULT_WORKERS) if workers is None else workers


def get_socket(conf: Any = None, default_port: int | None = None) -> socket.socket:
    """A new listening socket on the first address that is configured.

    With `cert_file` it is an `ssl.SSLSocket` whose connections make their handshake when
    they are first read from or written to: `accept` waits for no client. The socket
    blocks; it is green where the program has monkey-patched. An address in use is tried
    again for 30 seconds. Raises `BindError` and `ConfigError`.
    """
    from ._sockets import AddressInUse, open_listeners

    settings = Settings.from_conf(_given(conf), default_port=default_port)
    settings = dataclasses.replace(settings, binds=settings.binds[:1])
    context = _context(settings) if settings.cert_file is not None else None
    deadline = time.monotonic() + PATIENCE
    told = False
    while True:
        try:
            # A name may have several addresses; one socket is what was asked for.
            first, *others = open_listeners(settings)
            break
        except AddressInUse as exc:
            if time.monotonic() >= deadline:
                raise
            if not told:
                LOG.warning("%s; trying for %g s", exc, PATIENCE)
                told = True
            time.sleep(_PAUSE)
    for other in others:
        other.close()
    sock = socket.socket(fileno=first.sock.detach())
    sock.setblocking(True)
    return sock if context is None else _wrapped(sock, context)


def ssl_wrap_socket(sock: socket.socket, conf: Any = None) -> ssl.SSLSocket:
    """`sock`, listening or connected, as the server's side of TLS.

    With `cert_file`, `key_file`, `ca_file` and `tls_ciphers` of `conf`; TLS 1.2 at least,
    and with `ca_file` clients must present a certificate. The handshake happens at the
    first read or write, or by `do_handshake`. The new object owns the descriptor; `sock`
    is detached. Raises `ConfigError` for files that cannot be used or are not named.
    """
    settings = Settings.from_conf(_given(conf), default_port=0)
    return _wrapped(sock, _context(settings))


def _given(conf: Any) -> Any:
    return cfg.CONF if conf is None else conf


def option(conf: Any, name: str) -> Any:
    """The value of an option of ours. Raises `ConfigError` where it does not fit."""
    conf = _given(conf)
    return _read(conf, Section(conf), _BY_NAME[name])


def _context(settings: Settings) -> ssl.SSLContext:
    # ssl is slow to import, and most deployments end TLS elsewhere.
    from ._tls import server_context

    context = server_context(settings)
    if context is None:
        raise ConfigError("cert_file is not set: TLS needs a certificate")
    return context


def _wrapped(sock: socket.socket, context: ssl.SSLContext) -> ssl.SSLSocket:
    return context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
