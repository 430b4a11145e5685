"""The supervisor of a program that calls `start` and `wait` itself, step by step."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from wsgi_server._system.signals import Signal
from wsgi_server.errors import BootError, ExitStatus

from .births.choice import reborn_if_any
from .plan import Spawn, plan
from .supervisor import Supervisor

if TYPE_CHECKING:
    import socket

    from .births.reborn import Reborn
    from .service import Service


class Embedded(Supervisor):
    """Opens sockets first, forks workers when told, and drives a reload by itself."""

    def __init__(
        self, configure: Callable[[], Sequence[Service]], **keywords: Any
    ) -> None:
        super().__init__(configure, **keywords)
        #: Nothing is forked but by `fork_one`, until `release`.
        self._held = True
        #: Whether `wait` runs, so that notes are obeyed soon.
        self.waiting = False
        #: In a worker that was started anew: what it is to do, and with what.
        self._reborn: Reborn | None = None

    def start(self) -> None:
        """As `Supervisor.start`; a worker that was started anew lives from `fork_one` on."""
        self._reborn = reborn_if_any() if self._spawns else None
        if self._reborn is None:
            super().start()
        else:
            self._told = self._configure()

    @property
    def is_worker(self) -> bool:
        """Whether this process was started anew as a worker."""
        return self._reborn is not None

    @property
    def children(self) -> set[int]:
        """The workers of the present configuration, by process id."""
        return super().children if self._reborn is None else set()

    @property
    def stale_children(self) -> set[int]:
        """The workers on their way out, or of a generation not yet accepted."""
        return super().stale_children if self._reborn is None else set()

    @property
    def urls(self) -> list[str]:
        """Where clients find the service."""
        if self._reborn is None:
            return super().urls
        return [listener.url for listener in self._reborn.listeners]

    @property
    def forks(self) -> bool:
        """Whether there are worker processes at all."""
        return self._reborn is not None or self._main.present.forks

    @property
    def sockets(self) -> list[socket.socket]:
        """The sockets that the present configuration listens on."""
        if self._reborn is not None:
            return [listener.sock for listener in self._reborn.listeners]
        return [listener.sock for listener in self._main.present.listeners]

    def fork_one(self) -> None:
        """Forks a missing worker, or where none is missing one more than configured.

        Raises `BootError` when the system has no room for it. Does not return in a worker.
        """
        if self._reborn is not None:
            self._reborn.live(self._told, self._in_child, self._before_exit)
        (deployment,) = self._main.present.deployments.values()
        step = self._missing()
        if step is None:
            deployment.extra += 1
            step = self._missing()
        before = len(self.children)
        if step is not None:
            self._spawn(deployment, step, time.monotonic())
        if len(self.children) == before:
            raise BootError(
                self.reason or "the server is stopping: no worker is forked"
            )

    def dismiss(self) -> None:
        """Tells all workers to leave when they have answered what they have."""
        for worker in self._workers:
            self._workers.signal(worker, Signal.SIGTERM)

    def release(self) -> None:
        """From now on dead workers are replaced, and missing ones forked."""
        self._held = False

    def reopen(self) -> None:
        """Opens what a changed configuration wants, then closes what it does not.

        For sockets that no worker has yet; where there are workers, `reload` does it.
        Raises `ConfigError` and `BindError`; then everything is as it was.
        """
        self._reload.change_at_once()

    def reload_now(self) -> None:
        """Reloads, and returns when the new workers serve or the reload was given up."""
        before = self.reloads + self.failed_reloads
        self.reload()
        while self.reloads + self.failed_reloads == before and not self.phase.ending:
            self._turn()

    def wait(self) -> ExitStatus:
        """As `Supervisor.wait`."""
        self.waiting = True
        self.release()
        try:
            return super().wait()
        finally:
            self.waiting = False

    def serve_here(self) -> ExitStatus:
        """Serves in this process, without workers, until it is told to stop."""
        self.waiting = True
        try:
            self._serve_alone()
        finally:
            self.waiting = False
            self._close()
        return self._status

    def _act(self, now: float) -> None:
        if not self._held:
            super()._act(now)

    def _missing(self) -> Spawn | None:
        present = self._main.present
        (deployment,) = present.deployments.values()
        steps = plan(
            self._workers.of(deployment.service.name), deployment.wanted, present.number
        )
        return next((step for step in steps if isinstance(step, Spawn)), None)
