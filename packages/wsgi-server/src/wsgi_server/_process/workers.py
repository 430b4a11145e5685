"""The workers there are: started, heard, timed, signalled, reaped. Decides nothing.

How one comes to be, and what then ties it to us, is the business of `births`.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from wsgi_server._scoreboard.slots import Scoreboard, Slot, WorkerState
from wsgi_server._system import forks, unpatched
from wsgi_server._system.children import Children
from wsgi_server._system.platform import IN
from wsgi_server._system.signals import Signal
from wsgi_server.errors import ExitStatus

from .admin.multiprocess import mark_dead
from .births.pipes import DUMP_SIGNAL
from .plan import complete
from .worker import MARGIN
from .worker_pipe import Failed, Forked, Inbox, Message

if TYPE_CHECKING:
    from wsgi_server._config.settings import Settings
    from wsgi_server._scoreboard.standing import Standing

    from .births import Births, Process
    from .generation import Generation
    from .service import Deployment

LOG = logging.getLogger(__name__)


#: Most workers at one time, those that drain included.
SLOTS: Final = 1024
#: Seconds for a worker to write its stack before it is killed.
DUMP_TIMEOUT: Final = 1.0
#: A wait that ended so many seconds late means that this process was stopped itself.
LATE: Final = 1.0


@dataclass(eq=False)
class Worker:
    """What the supervisor knows of one worker process."""

    pid: int
    worker_id: int
    generation: int
    service: str
    settings: Settings
    slot: Slot
    inbox: Inbox
    process: Process
    started: float
    ready_since: float | None = None
    stopping: bool = False
    #: Why it is to be replaced, in full and as a metric has it, and how many seconds after
    #: it was ready.
    due_reason: str | None = None
    due_kind: str = ""
    due_after: float = 0.0
    #: When a stopping worker must have left.
    leave_by: float = math.inf
    #: When it is killed, once its stack was asked for.
    kill_at: float | None = None
    #: What its application has forked.
    children: Children = field(default_factory=Children)
    #: Why it could not become ready, in its own words.
    failure: Failed | None = None

    @property
    def ready(self) -> bool:
        """Whether it accepts connections."""
        return self.ready_since is not None

    @property
    def due(self) -> bool:
        """Whether it asked to be replaced."""
        return self.due_reason is not None

    def served(self, now: float) -> float | None:
        """How long it has been ready, in seconds; None for never."""
        return None if self.ready_since is None else now - self.ready_since

    def __str__(self) -> str:
        return f"worker {self.pid} ({self.service} {self.worker_id})"

    def failure_with(self, code: int | None) -> Failed:
        """What its end with this exit code means where nobody had asked for it."""
        if self.failure is not None:
            return self.failure
        early = "" if self.ready else " before it was ready"
        return Failed(f"{self} {how_it_ended(code)}{early}", ExitStatus.BOOT)

    def deadline(self, awake_since: float) -> float:
        """When something has to be done about it if it does not move."""
        if self.kill_at is not None:
            return self.kill_at
        if self.stopping:
            return self.leave_by
        if not self.ready:
            return self.started + self.settings.worker_ready_timeout
        if self.settings.worker_timeout is None:
            return math.inf
        return max(self.slot.beat, awake_since) + self.settings.worker_timeout

    @property
    def complaint(self) -> str:
        """What is wrong with it at its deadline."""
        if self.stopping:
            return "did not leave in time"
        if not self.ready:
            return f"was not ready within {self.settings.worker_ready_timeout:g} s"
        return f"has not moved for {self.settings.worker_timeout:g} s"


class Workers:
    """All workers of all services and generations."""

    def __init__(
        self,
        poller: Any,
        births: Births,
        board: Scoreboard,
    ) -> None:
        self._poller = poller
        self._births = births
        self._board = board
        #: Called when a worker has ended, before its slot is free, with its CPU seconds.
        self.on_end: Callable[[Worker, int | None, float], object] | None = None
        self._by_fd: dict[int, Worker] = {}
        self._awake_since = 0.0
        self._stay = forks.on_fork(self._on_fork)
        self._by_pid: dict[int, Worker] = {}
        #: What workers left behind, and when it is killed.
        self._left: list[tuple[float, Children]] = []

    def __iter__(self) -> Iterator[Worker]:
        return iter([*self._by_pid.values()])

    def __len__(self) -> int:
        return len(self._by_pid)

    def of(self, service: str, generation: int | None = None) -> list[Worker]:
        """The workers of a service, of one generation or of all."""
        return [
            worker
            for worker in self._by_pid.values()
            if worker.service == service and generation in (None, worker.generation)
        ]

    def spawn(
        self,
        deployment: Deployment,
        generation: int,
        worker_id: int,
        now: float,
        go: Callable[[], object],
    ) -> Worker:
        """Starts a worker, which begins with `go`. Raises `OSError` when there is no room."""
        with contextlib.ExitStack() as undo:
            slot = self._claim(worker_id, generation, now)
            undo.callback(setattr, slot, "state", WorkerState.FREE)
            process = self._births.bear(deployment, slot, go)
            undo.pop_all()
        worker = Worker(
            process.pid,
            worker_id,
            generation,
            deployment.service.name,
            deployment.service.settings,
            slot,
            process.inbox,
            process,
            now,
        )
        self._by_pid[worker.pid] = worker
        self._by_fd[worker.inbox.fd] = worker
        self._poller.register(worker.inbox.fd, IN)
        return worker

    def complete(self, generation: Generation) -> bool:
        """Whether all the workers that it wants are ready."""
        return all(
            complete(self.of(name), deployment.wanted, generation.number)
            for name, deployment in generation.deployments.items()
        )

    @property
    def serving(self) -> int:
        """How many accept connections."""
        return sum(worker.ready and not worker.stopping for worker in self)

    @property
    def gone(self) -> bool:
        """Whether nobody is left, nor anything that the applications forked."""
        return not self._by_pid and not self._left

    def hear(self, ready: Iterable[int]) -> list[tuple[Worker, Message]]:
        """What the workers behind those of the `ready` descriptors that are theirs say."""
        heard = []
        for worker in [self._by_fd[fd] for fd in ready if fd in self._by_fd]:
            heard += [(worker, message) for message in worker.inbox.take()]
            if not worker.inbox.open:
                self._close_inbox(worker)
        return heard

    def stand(self, standing: Standing) -> None:
        """Tells all where the server is; before TERM, so that they know what it means."""
        self._board.stand(standing)

    def stop(self, worker: Worker, now: float, *, graceful: bool = True) -> None:
        """Tells a worker to leave: after what it has, or at once."""
        worker.stopping = True
        if worker.kill_at is not None:
            # It was asked for its stack and has a moment to give it.
            return
        limit = worker.settings.graceful_timeout if graceful else 0.0
        worker.leave_by = min(worker.leave_by, now + limit + MARGIN)
        self.signal(worker, Signal.SIGTERM if graceful else Signal.SIGQUIT)

    def tell(self, worker: Worker, order: Mapping[str, Any]) -> None:
        """Sends a worker an order, over the pipe that ends with us.

        One that is still loading gets none: what comes over that pipe would end it.
        """
        if not worker.ready:
            return
        worker.process.tell(order)

    def signal(self, worker: Worker, signum: Signal) -> None:
        """Sends a signal; a worker that is gone but not yet reaped takes no notice."""
        worker.process.signal(signum)

    def enforce(self, now: float, asked: float) -> list[tuple[Worker, str]]:
        """Asks workers that are overdue for their stack, and kills them a little later.

        `asked` is when this turn should have begun. Returns those newly found overdue,
        now stopping, and what is wrong with them.
        """
        if now - asked > LATE:
            # We were stopped or starved ourselves: nobody may be blamed for that time.
            self._awake_since = now
        for kill_at, children in self._left[:]:
            children.prune()
            if now >= kill_at:
                children.send(Signal.SIGKILL)
            if now >= kill_at or not children:
                self._left.remove((kill_at, children))
                self._poller.unregister(children.fds()[0])
                children.close()
        found = []
        for worker in self._by_pid.values():
            if worker.deadline(self._awake_since) > now:
                continue
            if worker.kill_at is not None:
                self._kill(worker)
                continue
            complaint = f"{worker} {worker.complaint}"
            LOG.error("%s; it is killed", complaint)
            self.signal(worker, DUMP_SIGNAL)
            worker.kill_at = now + DUMP_TIMEOUT
            if not worker.stopping:
                worker.stopping = True
                found.append((worker, complaint))
        return found

    def deadline(self) -> float:
        """When `enforce` is due again."""
        deadlines = [w.deadline(self._awake_since) for w in self._by_pid.values()]
        return min(
            [*deadlines, *(kill_at for kill_at, _ in self._left)], default=math.inf
        )

    def reap(self, now: float) -> list[tuple[Worker, int | None]]:
        """The workers that have ended, with exit code (minus the signal) where known."""
        ended = []
        for worker in list(self._by_pid.values()):
            end = worker.process.end()
            if end is not None:
                code, cpu = end
                self._hear_last(worker)
                if self.on_end is not None:
                    self.on_end(worker, code, cpu)
                mark_dead(worker.pid)
                self._remove(worker, now)
                ended.append((worker, code))
        return ended

    def reap_orphans(self) -> None:
        """As PID 1 of a container: reaps the orphans that were left to us."""
        while os.getpid() == 1:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                # ECHILD: no child at all.
                return
            if found is None or found.si_pid in self._by_pid:
                return
            unpatched.waitpid(found.si_pid, 0)
            LOG.debug("reaped process %d, an orphan", found.si_pid)

    def close(self) -> None:
        """Closes the pipes; workers that are left take that for our death."""
        self._stay()
        for worker in list(self._by_fd.values()):
            self._close_inbox(worker)
        for worker in self._by_pid.values():
            worker.process.close()
            worker.children.close()

    def _on_fork(self, keep: Collection[int]) -> None:
        held = [children for _, children in self._left]
        held += [worker.children for worker in self._by_pid.values()]
        lives = [fd for worker in self._by_pid.values() for fd in worker.process.fds()]
        pids = [fd for children in held for fd in children.fds()]
        forks.close([*self._by_fd, *lives, *pids], keep)

    def _claim(self, worker_id: int, generation: int, now: float) -> Slot:
        slot = self._board.claim()
        slot.worker_id = worker_id
        slot.generation = generation
        slot.started = slot.beat = now
        return slot

    def _kill(self, worker: Worker) -> None:
        worker.inbox.take()
        dump = worker.inbox.take_dump()
        if dump:
            LOG.error("%s stood at\n%s", worker, dump)
        else:
            LOG.error("%s gave no stack: it is stopped or in the kernel", worker)
        self.signal(worker, Signal.SIGKILL)
        worker.kill_at = math.inf

    def _hear_last(self, worker: Worker) -> None:
        for message in worker.inbox.take():
            if isinstance(message, Failed):
                worker.failure = message
            elif isinstance(message, Forked):
                worker.children.add(message.pid)

    def _remove(self, worker: Worker, now: float) -> None:
        del self._by_pid[worker.pid]
        # What it forked ends with it.
        worker.children.send(Signal.SIGTERM)
        if worker.children:
            self._left.append((now + MARGIN, worker.children))
            self._poller.register(worker.children.fds()[0], IN)
        else:
            worker.children.close()
        self._close_inbox(worker)
        worker.process.close()
        worker.slot.state = WorkerState.FREE

    def _close_inbox(self, worker: Worker) -> None:
        fd = worker.inbox.fd
        if self._by_fd.pop(fd, None) is not None:
            self._poller.unregister(fd)
            worker.inbox.close()


def how_it_ended(code: int | None) -> str:
    """An exit code in words: `was killed by SIGSEGV`, `ended with status 3`."""
    if code is None:
        return "is gone"
    if code >= 0:
        return f"ended with status {code}"
    try:
        return f"was killed by {Signal(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
