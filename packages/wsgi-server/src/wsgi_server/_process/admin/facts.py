"""What the program around a supervisor may ask it, and tell it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsgi_server._system.signals import Signal

if TYPE_CHECKING:
    from wsgi_server._process.main_process import MainProcess, Phase
    from wsgi_server._process.reload import Reload
    from wsgi_server._process.workers import Workers

    from .side import AdminSide


class Facts:
    """What a program may ask its supervisor, and tell it."""

    _main: MainProcess
    _phase: Phase
    _reload: Reload
    _workers: Workers
    _admin: AdminSide | None

    @property
    def phase(self) -> Phase:
        """Where the server is in its life."""
        return self._phase

    def stop(self, *, graceful: bool = True) -> None:
        """Stops as SIGTERM does, or as SIGINT does."""
        self._main.signals.send(Signal.SIGTERM if graceful else Signal.SIGINT)

    def reload(self) -> None:
        """Reloads as SIGHUP does."""
        self._main.signals.send(Signal.SIGHUP)

    @property
    def generation(self) -> int:
        """The number of the configuration that is served, from 1."""
        return self._main.present.number

    @property
    def reloads(self) -> int:
        """Reloads that were accepted."""
        return self._reload.accepted

    @property
    def failed_reloads(self) -> int:
        """Reloads that were given up."""
        return self._reload.given_up

    @property
    def children(self) -> set[int]:
        """The workers of the present configuration, by process id."""
        return {
            worker.pid
            for worker in self._workers
            if worker.generation == self.generation and not worker.stopping
        }

    @property
    def stale_children(self) -> set[int]:
        """The workers on their way out, or of a generation not yet accepted."""
        return {worker.pid for worker in self._workers} - self.children

    @property
    def urls(self) -> list[str]:
        """Where clients find the services."""
        return [listener.url for listener in self._main.present.listeners]

    def _summary(self) -> str:
        return f"generation {self.generation}, {self._workers.serving} workers ready"

    def _stand(self) -> None:
        held = self._admin is not None and self._admin.observed.held
        self._workers.stand(self._phase.standing(held=held))
