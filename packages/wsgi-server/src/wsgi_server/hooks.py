"""What an application may want to do when its worker starts, drains and ends.

Register in the module that builds the application, so that it happens wherever that is
loaded::

    from wsgi_server import hooks

    @hooks.post_fork
    def connect(worker_id: int) -> None: ...

    @hooks.on_drain
    def stop_taking_jobs() -> None: ...

    @hooks.on_exit
    def disconnect() -> None: ...

`post_fork` runs once the application is loaded in a worker, before it serves; an exception
ends the worker's start. `on_drain` runs beside the last requests, in a greenlet or a thread
of its own; the worker waits for it as it waits for a request. `on_exit` runs when
everything is answered. Exceptions in the last two are logged. Without forking (`workers = 0`) they run in the one process, with worker id 0.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from .errors import LoadError

LOG = logging.getLogger(__name__)

PostFork = TypeVar("PostFork", bound=Callable[[int], object])
Hook = TypeVar("Hook", bound=Callable[[], object])

_post_fork: Final[list[Callable[[int], object]]] = []
_on_drain: Final[list[Callable[[], object]]] = []
_on_exit: Final[list[Callable[[], object]]] = []


def post_fork(hook: PostFork) -> PostFork:
    """Registers a function of the worker's id (1..N); usable as a decorator."""
    _post_fork.append(hook)
    return hook


def on_drain(hook: Hook) -> Hook:
    """Registers a function for when the worker stops accepting."""
    _on_drain.append(hook)
    return hook


def on_exit(hook: Hook) -> Hook:
    """Registers a function for the end of the worker; the last one runs first."""
    _on_exit.append(hook)
    return hook


def started(worker_id: int) -> None:
    """Runs the `post_fork` hooks, for the server. Raises `LoadError` where one fails."""
    for hook in _post_fork:
        try:
            hook(worker_id)
        except Exception as exc:
            raise LoadError(f"the post_fork hook {hook!r} failed: {exc}") from exc


def draining() -> None:
    """Runs the `on_drain` hooks, for the server."""
    _run(_on_drain)


def ended() -> None:
    """Runs the `on_exit` hooks, for the server."""
    _run(reversed(_on_exit))


def has_start_hooks() -> bool:
    """Tells the server whether `started` would do anything."""
    return bool(_post_fork)


def has_drain_hooks() -> bool:
    """Tells the server whether `draining` would do anything."""
    return bool(_on_drain)


def _run(hooks: Iterable[Callable[[], object]]) -> None:
    for hook in hooks:
        try:
            hook()
        except Exception:  # the application's own fault must not stop the others
            LOG.exception("the hook %r failed", hook)
