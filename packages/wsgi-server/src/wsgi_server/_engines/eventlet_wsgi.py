"""Eventlet's own WSGI server, for platforms without what our engines poll with."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket

    from _typeshed.wsgi import WSGIApplication


LOG = logging.getLogger(__name__)


def serve(
    sockets: Sequence[socket.socket],
    app: WSGIApplication,
    pool: Any,
    told: Callable[[], object],
    *,
    logger: Any = None,
    **keywords: Any,
) -> None:
    """Serves with eventlet's own server until `told`, run in a native thread, returns.

    For platforms without what our engines poll with. Requests are logged through `logger`,
    where there is one. `keywords` are those of `eventlet.wsgi.server`.
    """
    import eventlet.wsgi
    from eventlet import greenio, tpool

    servers = [
        eventlet.spawn(
            eventlet.wsgi.server,
            greenio.GreenSocket(sock),
            app,
            custom_pool=pool,
            log=LOG if logger is None else logger,
            log_output=logger is not None,
            **keywords,
        )
        for sock in sockets
    ]
    tpool.execute(told)
    for server in servers:
        server.kill()
    pool.waitall()
