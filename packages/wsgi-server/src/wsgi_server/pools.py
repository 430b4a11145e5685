"""Pools that the end of a worker waits for, and the choice of eventlet's hub.

Beside the eventlet engine this is the only module that imports eventlet, and only when one
of its functions needs it.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from .errors import ServerError

if TYPE_CHECKING:
    import socket

    from _typeshed.wsgi import WSGIApplication

LOG = logging.getLogger(__name__)

#: Hubs that work, the fastest first; the first that the platform has is taken.
_HUBS: Final = ("epolls", "kqueue", "poll", "selects")

# A pool lives as long as somebody uses it or one of its greenlets runs.
_pools: WeakSet[Any] = WeakSet()
_executors: WeakSet[ThreadPoolExecutor] = WeakSet()


def set_eventlet_hub() -> None:
    """Gives the calling thread the best of eventlet's hubs that the platform has.

    Belongs to the start of a program: whatever waited in an earlier hub is forgotten.
    Raises `ServerError` when there is none.
    """
    from eventlet import hubs

    for name in _HUBS:
        module = importlib.import_module(f"eventlet.hubs.{name}")
        if module.is_available():
            hubs.use_hub(module)
            return
    raise ServerError(
        f"eventlet has no hub for this platform (tried {', '.join(_HUBS)})"
    )


def get_asynchronous_eventlet_pool(size: int = 1000) -> Any:
    """A new `eventlet.GreenPool` of `size` greenlets; a stopping worker waits for it.

    Work that goes on after a response was sent belongs into such a pool: a drained worker
    leaves when the pool is empty or its `graceful_timeout` is over.
    """
    import eventlet

    pool = eventlet.GreenPool(size=size)
    _pools.add(pool)
    return pool


def get_asynchronous_pool(size: int = 32) -> ThreadPoolExecutor:
    """A new executor of up to `size` threads; a stopping worker waits for it.

    For services that have left eventlet. Under the eventlet engine its threads are native
    ones, unless the service has patched `threading`.
    """
    executor = ThreadPoolExecutor(size, "wsgi-pool")
    _executors.add(executor)
    return executor


def wait_all_pools(timeout: float | None = None) -> bool:
    """Waits until nothing runs in the pools; false if something does after `timeout` s.

    What still runs then is counted in the log.
    """
    deadline = None if timeout is None else monotonic() + timeout
    finished = _wait_for_greenlets(timeout)
    left = None if deadline is None else max(0.0, deadline - monotonic())
    return _wait_for_threads(left) and finished


def _wait_for_threads(timeout: float | None) -> bool:
    """Closes the executors; what was submitted to them is still done."""
    closing = [
        threading.Thread(target=executor.shutdown, daemon=True)
        for executor in list(_executors)
    ]
    for thread in closing:
        thread.start()
    deadline = None if timeout is None else monotonic() + timeout
    for thread in closing:
        thread.join(None if deadline is None else max(0.0, deadline - monotonic()))
    busy = sum(thread.is_alive() for thread in closing)
    if busy:
        LOG.warning("%d pools of threads did not finish in %s s", busy, timeout)
    return not busy


def _wait_for_greenlets(timeout: float | None) -> bool:
    if "eventlet" not in sys.modules or not _pools:
        return True
    import eventlet

    finished = False
    with eventlet.Timeout(timeout, False):
        while busy := [pool for pool in _pools if pool.running()]:
            for pool in busy:
                pool.waitall()
        finished = True
    if not finished:
        running = sum(pool.running() for pool in _pools)
        LOG.warning("%d greenlets in pools did not finish in %s s", running, timeout)
    return finished


def serve(
    sockets: Sequence[socket.socket],
    app: WSGIApplication,
    pool: Any,
    told: Callable[[], object],
    **keywords: Any,
) -> None:
    """Serves with eventlet's own server until `told`, run in a native thread, returns.

    For platforms without what our engines poll with. `keywords` are those of
    `eventlet.wsgi.server`.
    """
    import eventlet.wsgi
    from eventlet import greenio, tpool

    servers = [
        eventlet.spawn(
            eventlet.wsgi.server,
            greenio.GreenSocket(sock),
            app,
            custom_pool=pool,
            log=LOG,
            log_output=False,
            **keywords,
        )
        for sock in sockets
    ]
    tpool.execute(told)
    for server in servers:
        server.kill()
    pool.waitall()


def renew(*, green: bool) -> None:
    """In a forked child, before anything runs: leaves behind what only the parent runs.

    Pools are emptied, and eventlet gets a hub of our own, for that of the parent would
    share its epoll set with us. With `green` there is a hub afterwards in any case: it
    belongs to the main greenlet, where the engine runs, whoever needs it first.

    It is of the kind that the program chose, or EVENTLET_HUB in the environment; where
    that is the usual one, `wsgi_server._engines.hub` takes its place.
    """
    _executors.clear()
    for pool in list(_pools):
        pool.__init__(pool.size)
    if not green and "eventlet.hubs" not in sys.modules:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from eventlet import hubs
    here = hubs._threadlocal
    if hasattr(here, "hub"):
        here.Hub = type(here.hub)
    elif not green:
        return
    elif not hasattr(here, "Hub"):
        hubs.use_hub()
    module = sys.modules[here.Hub.__module__]
    if module.__name__ == "eventlet.hubs.epolls" and "EVENTLET_HUB" not in os.environ:
        module = importlib.import_module("wsgi_server._engines.hub")
    hubs.use_hub(module)
    hubs.get_hub()
