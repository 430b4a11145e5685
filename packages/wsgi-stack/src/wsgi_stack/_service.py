"""What both drop-ins share: the service that they work for, and its way with errors.

A service catches the exceptions that it defines; look-alikes would pass its handlers
and reach the client as 500. So the drop-ins take the service's own classes, and without
the service the ones of wsgi_api.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from wsgi_server.errors import ServerError


def installed(name: str) -> Any:
    """Returns the module ``name``, or None when its distribution is not installed.

    An error inside the module is the service's own and propagates.
    """
    spec = importlib.util.find_spec(name.partition(".")[0])
    # A folder that happens to be called so is a namespace package, without an origin.
    if spec is None or spec.origin is None:
        return None
    return importlib.import_module(name)


@contextmanager
def start_errors(*own: type[Exception]) -> Iterator[None]:
    """Turns what the server refuses into the ``RuntimeError`` that services handle.

    A cause of a type that the service tells apart itself, one of ``own``, is raised as
    it is.
    """
    try:
        yield
    except ServerError as exc:
        if isinstance(exc.__cause__, own):
            raise exc.__cause__ from None
        raise RuntimeError(str(exc)) from exc


def renew_logging(conf: Any, name: str) -> None:
    """Sets up oslo.log again, where the service uses it, as ``conf`` says now."""
    log = installed("oslo_log.log")
    if log is not None and "log_file" in conf:
        log.setup(conf, name)
