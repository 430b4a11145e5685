"""What is found out about a service before it is served.

`prepare` is what a start and a reload ask before they bind anything. `examine` goes on
through all that a start does, in its order, and leaves nothing behind: it binds for a
moment only, makes no file, and forks nothing.
"""

from __future__ import annotations

import dataclasses
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from wsgi_server import hooks
from wsgi_server._engines import check_engine
from wsgi_server._logs.access import line_maker
from wsgi_server._net.listeners import try_addresses
from wsgi_server._system import privileges
from wsgi_server.errors import ConfigError

from .service import load, refuse_absent

if TYPE_CHECKING:
    import ssl

    from wsgi_server._config.settings import Settings

    from .service import Service


@dataclass(frozen=True)
class Prepared:
    """What settings turn into without a socket."""

    identity: privileges.Identity
    tls: ssl.SSLContext | None


def prepare(settings: Settings) -> Prepared:
    """Checks what needs neither address nor application. Raises `ConfigError`."""
    refuse_absent(settings)
    identity = privileges.resolve(settings.user, settings.group)
    tls = None
    if settings.cert_file is not None:
        # ssl is slow to import, and most deployments end TLS elsewhere.
        from wsgi_server._net.tls import server_context

        tls = server_context(settings)
    if settings.access_log is not None or settings.access_logger is not None:
        line_maker(settings.access_log_format, worker_id=0, generation=1)
    if settings.spans and find_spec("opentelemetry") is None:
        raise ConfigError(
            "spans needs the API of OpenTelemetry: pip install 'wsgi-server[otel]'"
        )
    if settings.pid_file is not None:
        # It is put into the place of what is there.
        path = os.path.abspath(settings.pid_file)
        _check_writable("pid_file", path, os.path.dirname(path))
    return Prepared(identity, tls)


def examine(service: Service) -> Iterator[str]:
    """Raises the `ServerError` that a start would end with; yields what is not tried.

    Gives the process the identity of a worker, for good: files are opened and the
    application is loaded as there.
    """
    settings = service.settings
    prepared = prepare(settings)
    if settings.log_file is not None:
        _check_writable("log_file", settings.log_file)
    yield from try_addresses(settings)
    if settings.admin_bind is not None:
        yield from try_addresses(
            dataclasses.replace(settings, binds=(settings.admin_bind,))
        )
    preloaded = settings.preload_app and settings.workers > 0
    if preloaded:
        load(service)
    prepared.identity.assume()
    if settings.access_log not in (None, "-"):
        _check_writable("access_log", str(settings.access_log))
    if not preloaded:
        load(service)
    check_engine(settings)
    if hooks.has_start_hooks():
        yield "what the application does after the fork (post_fork)"


def _check_writable(option: str, path: str, place: str | None = None) -> None:
    """Raises `ConfigError` where the file cannot be made, or written in its `place`."""
    real = os.path.realpath(path)
    folder = os.path.dirname(real) if place is None else place
    if os.path.isdir(real):
        number = errno.EISDIR
    elif not os.path.isdir(folder):
        number = errno.ENOENT
    elif not os.access(real if os.path.exists(real) and not place else folder, os.W_OK):
        number = errno.EACCES
    else:
        return
    raise ConfigError(f"{option}: cannot write {path}: {os.strerror(number)}")
