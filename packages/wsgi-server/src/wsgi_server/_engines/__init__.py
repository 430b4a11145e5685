"""What an engine is, and which there are.

An engine waits and runs: it polls, accepts, reads, writes, runs applications and wakes at
deadlines. What bytes mean is the connection's business. What an engine stands on is imported
before the fork, once for all workers; so is the threads engine, which no application may patch.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from wsgi_server._system import forks
from wsgi_server._system.unpatched import threads_are_green
from wsgi_server.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from wsgi_server._config.settings import Settings
    from wsgi_server._net.listeners import Listener
    from wsgi_server._scoreboard.slots import Slot


class Engine(Protocol):
    """A loop. Everything but `begin` and `run` is called from callbacks inside it."""

    def watch(self, fd: int, callback: Callable[[], object]) -> None:
        """Calls `callback` in the loop whenever `fd` is readable, until `unwatch`."""

    def unwatch(self, fd: int) -> None:
        """Forgets `fd`."""

    def call_at(self, deadline: float, callback: Callable[[], object]) -> None:
        """Calls `callback` in the loop at `deadline` (monotonic seconds), once."""

    def begin(self, listeners: Sequence[Listener], app: WSGIApplication) -> None:
        """Accepts from now on. What it raises leaves nothing behind."""

    def run(self) -> None:
        """Answers, and returns when drained. Belongs behind `begin`."""

    def spawn(self, function: Callable[[], object]) -> None:
        """Runs `function` beside everything else."""

    def drain(self, deadline: float, *, retiring: bool) -> None:
        """Stops accepting, finishes what was started, cuts what runs at `deadline`.

        Where it is `retiring`, because something newer serves, a request may have begun
        with half a head; at a stop only whole ones have. May be told again, to hurry.
        """

    def replace(
        self, settings: Settings, listeners: Sequence[Listener], app: WSGIApplication
    ) -> None:
        """Serves `app` on `listeners` from now on; what runs is finished as it began."""

    def stacks(self) -> str:
        """Where each request and each thread stands, for people."""

    def reopen_logs(self) -> None:
        """Opens the access log anew, for log rotation."""

    def abandon(self) -> None:
        """In a process that the application forked: closes all of this engine's.

        Who comes back there from the application ends the process.
        """


_ENGINES: Final[Mapping[str, str]] = {
    "eventlet": "wsgi_server._engines.eventlet:EventletEngine",
    "threads": "wsgi_server._engines.threads:ThreadsEngine",
}

#: What an engine imports and nothing in a worker changes. Eventlet imports asyncio, which
#: takes half of its time; eventlet itself is not here, for an application may patch with it.
_GROUNDS: Final[Mapping[str, Sequence[str]]] = {
    "eventlet": ("wsgi_server._engines.loop", "asyncio"),
    "threads": ("wsgi_server._engines.hubs", "wsgi_server._engines.threads"),
}


def preload(engine: str) -> None:
    """Imports what workers with this engine can share, for the process that forks them.

    Halves the time until a worker is ready. A name that is no engine's is for
    `create_engine` to refuse.
    """
    for module in _GROUNDS.get(engine, ()):
        importlib.import_module(module)


def check_engine(settings: Settings) -> None:
    """Raises `ConfigError` for threads that would not be native."""
    if settings.engine == "threads" and threads_are_green():
        raise ConfigError(
            "engine = threads: the program calls eventlet.monkey_patch(), which makes "
            "its threads greenlets; take the call out, or leave engine = eventlet"
        )


def create_engine(settings: Settings, slot: Slot, **context: Any) -> Engine:
    """The engine that `settings.engine` names.

    Raises `ConfigError` for another, and as `check_engine`.
    """
    check_engine(settings)
    try:
        module, _, name = _ENGINES[settings.engine].partition(":")
    except KeyError:
        known = ", ".join(sorted(_ENGINES))
        raise ConfigError(
            f"engine = {settings.engine}: unknown (one of {known})"
        ) from None
    factory: Callable[..., Engine] = getattr(importlib.import_module(module), name)
    return factory(settings, slot, **context)


def serve(
    engine: Engine,
    listeners: Sequence[Listener],
    app: WSGIApplication,
    ready: Callable[[], object],
) -> None:
    """Serves in the calling thread: calls `ready` once it does, returns when drained."""
    with forks.during(lambda _keep: engine.abandon()):
        engine.begin(listeners, app)
        ready()
        engine.run()
