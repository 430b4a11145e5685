"""Which workers may be started now, where workers died or asked to be replaced."""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from wsgi_server._process.plan import Spawn, in_turn

from .backoff import LONGEST, History, Ration

if TYPE_CHECKING:
    from wsgi_server._process.workers import Worker

LOG = logging.getLogger(__name__)


class Replacements:
    """What all services share, and what became of the workers of each."""

    def __init__(self) -> None:
        self._ration = Ration()
        self._histories: defaultdict[str, History] = defaultdict(History)
        #: When a worker that must wait for its turn may be started (monotonic seconds).
        self.due = math.inf

    def died(
        self, service: str, now: float, served: float | None, *, alone: bool
    ) -> None:
        """A worker went unasked, or could not be forked; as `History.died`."""
        history = self._histories[service].died(now, served, alone=alone)
        self._histories[service] = history

    def became_ready(self, service: str) -> None:
        """A worker serves: the others are worth starting."""
        self._histories[service] = self._histories[service].became_ready()

    def forget(self) -> None:
        """Another generation serves: what became of the workers before says nothing."""
        self._histories.clear()

    def choose(
        self,
        needs: Sequence[tuple[str, Sequence[Worker], Sequence[Spawn]]],
        now: float,
    ) -> list[tuple[str, Spawn]]:
        """Those that may be started now; `due` says when to ask again for the others.

        `needs` are services, the workers of each that stay, and those that it lacks.
        """
        self.due = math.inf
        chosen = []
        there = {name: workers for name, workers, _ in needs}
        starting = {name for name, has, _ in needs if any(not w.ready for w in has)}
        for name, spawn in in_turn([(n, len(has), lacks) for n, has, lacks in needs]):
            history = self._histories[name]
            if history.doubtful and name in starting:
                # One by one: what becomes of it wakes the loop.
                continue
            due = max(self._ration.next, history.next(successor=spawn.successor))
            if due > now:
                self.due = min(self.due, due)
                continue
            self._ration = self._ration.spend(now)
            if spawn.successor:
                self._succeed(name, there[name], spawn.worker_id, now)
            chosen.append((name, spawn))
            starting.add(name)
        return chosen

    def _succeed(
        self, name: str, workers: Sequence[Worker], worker_id: int, now: float
    ) -> None:
        """A successor starts of the worker of that number, which is due."""
        worker = next(w for w in workers if w.worker_id == worker_id and w.due)
        startup = (worker.ready_since or now) - worker.started
        history = self._histories[name].replaced(now, worker.due_after, startup)
        self._histories[name] = history
        if history.futile == 2:
            LOG.warning(
                "%s: replacing does not help: %s was due %.1f s after it was ready (%s); "
                "it is tried more and more rarely, up to every %g s",
                name,
                worker,
                worker.due_after,
                worker.due_reason,
                LONGEST,
            )
