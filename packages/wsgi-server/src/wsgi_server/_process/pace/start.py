"""The first generation until it serves: what of it fails, and what that means.

A worker that does not come up ends the start when its service is then left without one that
serves or may still do so; otherwise the others serve, and it is tried again. How long a
service without any is tried, `start_retry` says. A new binary, whose predecessor goes on
where it fails, has to be whole.
"""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING

from .backoff import History

if TYPE_CHECKING:
    from wsgi_server._config.settings import Settings
    from wsgi_server._process.generation import Generation
    from wsgi_server._process.worker_pipe import Failed
    from wsgi_server._process.workers import Workers
    from wsgi_server.errors import LoadError

LOG = logging.getLogger(__name__)


class Start:
    """What became of a start of a service with `settings`, which begins now.

    `whole` says that a part of the workers is not enough.
    """

    def __init__(self, settings: Settings, *, whole: bool) -> None:
        self._whole = whole
        self._patience = 0.0 if whole else settings.start_retry
        self._until = time.monotonic() + self._patience
        self._history = History()
        #: Why the last worker of each service failed that did.
        self.failures: dict[str, Failed] = {}

    @property
    def longest(self) -> float:
        """How long it may be tried, in seconds; 0 where it is tried once."""
        return self._patience

    @property
    def due(self) -> float:
        """When a service without workers has been tried for long enough."""
        return self._until if self.failures and self._patience else math.inf

    def survives(self, service: str, loss: Failed, workers: Workers) -> bool:
        """Tells whether the start goes on without a worker that failed."""
        self.failures[service] = loss
        others = [worker for worker in workers.of(service) if not worker.stopping]
        if self._whole:
            return False
        if others:
            # What this one says the others may say as well, and one line is enough.
            LOG.log(
                logging.WARNING if any(w.ready for w in others) else logging.DEBUG,
                "%s; it is tried again",
                loss.reason,
            )
            return True
        if time.monotonic() >= self._until:
            return False
        LOG.warning("%s; it is tried again for %g s", loss.reason, self._left)
        return True

    def is_over(self, workers: Workers, now: float) -> Failed | None:
        """Why it has failed; None where it goes on."""
        if now < self.due:
            return None
        # Whoever is still starting may become ready; nobody is tried any more.
        self._patience = 0.0
        for service, failure in self.failures.items():
            if not any(not worker.stopping for worker in workers.of(service)):
                return failure
        return None

    def suffices(self, present: Generation, workers: Workers) -> bool:
        """Tells whether all are ready, or those are enough that have not failed."""
        if workers.complete(present):
            self._patience = 0.0
            return True
        if not self.failures:
            return False
        for name in present.deployments:
            if not any(w.ready and not w.stopping for w in workers.of(name)):
                return False
        wanted = sum(d.wanted for d in present.deployments.values())
        LOG.warning(
            "%d of %d workers serve; the others are tried again: %s",
            workers.serving,
            wanted,
            "; ".join(loss.reason for loss in self.failures.values()),
        )
        self._patience = 0.0
        return True

    def pause(self, exc: LoadError) -> float:
        """Seconds until the next attempt in a process of one; raises `exc` if there is none."""
        now = time.monotonic()
        if self._whole or now >= self._until:
            raise exc
        LOG.warning("%s; it is tried again for %g s", exc, self._left)
        self._history = self._history.died(now, None)
        return min(self._history.missing_at, self._until) - now

    @property
    def _left(self) -> float:
        return round(max(0.0, self._until - time.monotonic()), 1)
