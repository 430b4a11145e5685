"""Pools that the end of a worker waits for, and the choice of eventlet's hub.

Beside the eventlet engine this is the only module that imports eventlet, and only when one
of its functions needs it.
"""

from __future__ import annotations

import logging
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any
from weakref import WeakSet

LOG = logging.getLogger(__name__)


# A pool lives as long as somebody uses it or one of its greenlets runs.
_pools: WeakSet[Any] = WeakSet()
_executors: WeakSet[ThreadPoolExecutor] = WeakSet()


def set_eventlet_hub() -> None:
    """Gives the calling thread the best of eventlet's hubs that the platform has.

    Belongs to the start of a program: whatever waited in an earlier hub is forgotten.
    Raises `ServerError` when there is none.
    """
    from ._engines.hubs import use_best_hub

    use_best_hub()


def get_asynchronous_eventlet_pool(size: int = 1000) -> Any:
    """Returns a new `eventlet.GreenPool` of `size` greenlets; a stopping worker waits for it.

    Work that goes on after a response was sent belongs into such a pool: a drained worker
    leaves when the pool is empty or its `graceful_timeout` is over.
    """
    import eventlet

    pool = eventlet.GreenPool(size=size)
    _pools.add(pool)
    return pool


def get_asynchronous_pool(size: int = 32) -> ThreadPoolExecutor:
    """Returns a new executor of up to `size` threads; a stopping worker waits for it.

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


def renew(*, green: bool) -> None:
    """Gives a forked child, before anything runs there, a hub and empty pools.

    What only the parent runs, and waits for, is left behind; `green` as in `renew_hub`.
    """
    from ._engines.hubs import renew_hub

    _executors.clear()
    for pool in list(_pools):
        vars(pool).update(vars(type(pool)(pool.size)))
    renew_hub(green=green)
