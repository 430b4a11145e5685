"""A subclass's `run_server`, wrapped around what a worker does by itself.

A worker loads, serves and leaves. What a subclass does before and after
`super().run_server()` belongs in between, so its `run_server` runs in a greenlet that is
left when it wants to serve, and entered again when everything is answered.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wsgi_server.errors import LoadError


class _Place:
    """Where the worker and the subclass stand; one of each in a process."""

    worker: Any = None
    subclass: Any = None
    fault: BaseException | None = None


def enter(run_server: Callable[[], object]) -> None:
    """Runs `run_server` until it serves. Raises `LoadError` when it never does."""
    from greenlet import getcurrent, greenlet

    def body() -> None:
        try:
            run_server()
        # It belongs to the worker's stack, not to this greenlet's parent, which eventlet
        # may have changed meanwhile.
        except BaseException as exc:  # noqa: BLE001
            _Place.fault = exc
        finally:
            _Place.subclass = None
            _Place.worker.switch()

    _Place.worker = getcurrent()
    _Place.subclass = greenlet(body)
    _switch()
    if _Place.subclass is None:
        raise LoadError("run_server returned without calling super().run_server()")


def serve() -> bool:
    """Lets the worker serve and returns afterwards; false outside of `enter`."""
    if _Place.subclass is None:
        return False
    _Place.worker.switch()
    return True


def leave() -> None:
    """Runs what is left of `run_server`."""
    if _Place.subclass is not None:
        _switch()


def _switch() -> None:
    _Place.subclass.switch()
    fault, _Place.fault = _Place.fault, None
    if fault is not None:
        raise fault
