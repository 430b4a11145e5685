"""The parent process: owns configuration, sockets and workers, and runs no application.

One loop polls for everything: signals, the workers' pipes, an upgrade, the next deadline.
What is to be done is decided by `plan`; this loop carries it out.
"""

from __future__ import annotations

import enum
import logging
import math
import os
import select
import signal
import time
from collections.abc import Callable, Sequence

from wsgi_server._system import unpatched
from wsgi_server._system.process import set_title
from wsgi_server.errors import ExitStatus

from .backoff import Backoff
from .generation import Generation
from .main_process import LONGEST_WAIT, Premises
from .plan import Spawn, complete, plan
from .reload import Renewal
from .service import Deployment, Service
from .upgrade import Successor
from .worker import MARGIN
from .worker_pipe import Message, Topic
from .workers import Crew, Worker, last_words

__all__ = ["Phase", "Service", "Supervisor"]

LOG = logging.getLogger(__name__)


class Phase(enum.Enum):
    """Where the server is in its life."""

    #: The first generation is not ready yet.
    BOOTING = "booting"
    SERVING = "serving"
    #: Workers finish what they have.
    DRAINING = "draining"
    #: Workers leave at once.
    LEAVING = "leaving"

    @property
    def going(self) -> bool:
        """Whether the end was ordered."""
        return self in (Phase.DRAINING, Phase.LEAVING)


class Supervisor:
    """Keeps the services that `configure` names running, reloads and stops them.

    `configure` is called at the start and at every reload; it raises a `ServerError` when
    the configuration does not work. `in_child` is called in each worker before it loads
    its application, `before_exit` when it has answered everything, with the seconds that it
    may take; `on_failed_reload` here when a reload is given up. `bind_retry` is how many
    seconds an address may be in use at a start or a reload before that is an error.
    With `quiet_start` a first generation that fails is for the caller to report, who finds
    it in `reason`.
    """

    def __init__(
        self,
        configure: Callable[[], Sequence[Service]],
        *,
        in_child: Callable[[], object] | None = None,
        before_exit: Callable[[float], object] | None = None,
        on_failed_reload: Callable[[], object] | None = None,
        bind_retry: float = 30.0,
        quiet_start: bool = False,
    ) -> None:
        self._configure = configure
        self._in_child = in_child
        self._before_exit = before_exit
        self._on_failed_reload = on_failed_reload
        self._bind_retry = bind_retry
        self._quiet_start = quiet_start
        #: The level of what is said about a server's ordinary life.
        self._life = logging.INFO
        self._phase = Phase.BOOTING
        self._status = ExitStatus.OK
        #: Why the first generation never became ready.
        self.reason: str | None = None
        self._backoff = Backoff()
        self._successor: Successor | None = None
        self._next_alive = 0.0

    # -- for the program that runs it -----------------------------------------------------

    @property
    def phase(self) -> Phase:
        """Where the server is in its life."""
        return self._phase

    @property
    def generation(self) -> int:
        """The number of the configuration that is served, from 1."""
        return self._premises.present.number

    @property
    def reloads(self) -> int:
        """Reloads that were accepted."""
        return self._renewal.accepted

    @property
    def failed_reloads(self) -> int:
        """Reloads that were given up."""
        return self._renewal.given_up

    @property
    def children(self) -> set[int]:
        """The workers of the present configuration, by process id."""
        return {
            worker.pid
            for worker in self._workers()
            if worker.generation == self.generation and not worker.stopping
        }

    @property
    def stale_children(self) -> set[int]:
        """The workers on their way out, or of a generation not yet accepted."""
        return {worker.pid for worker in self._workers()} - self.children

    @property
    def urls(self) -> list[str]:
        """Where clients find the services."""
        return [listener.url for listener in self._premises.present.listeners]

    def start(self) -> None:
        """Configures, binds, and forks the first workers; `wait` sees them ready.

        Raises `ConfigError`, `BindError`, or with `preload_app` `LoadError`; then every
        handler is back and nothing stays open.
        """
        self._premises = Premises(self._configure, self._bind_retry)
        self._renewal = Renewal(self._premises)
        self._poller = unpatched.poll()
        self._poller.register(self._premises.signals.fileno(), select.POLLIN)
        self._crew = Crew(
            self._poller,
            self._premises.signals,
            in_child=self._in_child,
            before_exit=self._before_exit,
        )
        if self._premises.present.forks:
            set_title("supervisor")
            self._act(time.monotonic())

    def wait(self) -> ExitStatus:
        """Supervises until it is told to stop and the last worker has left."""
        try:
            if self._premises.present.forks:
                while not self._phase.going or self._workers():
                    self._turn()
            else:
                # The engine is imported there; the forking supervisor never does.
                from .single import Solo

                self._status = Solo(
                    self._premises, self._before_exit, self._on_failed_reload
                ).serve()
        finally:
            self._crew.close()
            self._premises.close()
        return self._status

    def stop(self, *, graceful: bool = True) -> None:
        """Stops as SIGTERM does, or as SIGINT does."""
        self._premises.signals.send(signal.SIGTERM if graceful else signal.SIGINT)

    def reload(self) -> None:
        """Reloads as SIGHUP does."""
        self._premises.signals.send(signal.SIGHUP)

    def more(self) -> None:
        """One worker more for each service, until the next reload."""
        self._premises.signals.send(signal.SIGTTIN)

    def fewer(self) -> None:
        """One worker less for each service, until the next reload; never the last."""
        self._premises.signals.send(signal.SIGTTOU)

    # -- the loop -------------------------------------------------------------------------

    def _turn(self) -> None:
        wake = self._deadline()
        wait = None
        if wake != math.inf:
            left = min(LONGEST_WAIT, wake - time.monotonic())
            wait = max(0, math.ceil(left * 1000))
        ready = {fd for fd, _ in self._poller.poll(wait)}
        try:
            self._handle(ready, wake)
        # The supervisor outlives its own faults: workers that nobody watches are worse.
        except Exception:
            LOG.exception("the supervisor stumbled; it goes on")
            # A fault that comes back with every turn must not become a busy loop.
            pause = unpatched.poll()
            pause.register(self._premises.signals.fileno(), select.POLLIN)
            pause.poll(1000)

    def _handle(self, ready: set[int], asked: float) -> None:
        now = time.monotonic()
        for signum in self._premises.signals.take():
            self._obey(signum, now)
        for worker, message in self._crew.hear(ready):
            self._note(worker, message, now)
        self._watch_successor(ready, now)
        for worker, complaint in self._crew.enforce(now, asked):
            self._lose(worker, complaint, ExitStatus.BOOT)
        for worker, code in self._crew.reap():
            self._mourn(worker, code, now)
        self._premises.reap()
        if os.getpid() == 1:
            self._crew.adopt()
        if now >= self._renewal.due:
            self._follow(self._renewal.attempt(now))
        self._act(now)
        self._tell(now)

    def _deadline(self) -> float:
        deadlines = [self._crew.deadline(), self._renewal.due]
        if self._backoff.until > time.monotonic():
            deadlines.append(self._backoff.until)
        if self._successor is not None:
            deadlines.append(self._successor.due)
        if self._premises.notifier.interval is not None:
            deadlines.append(self._next_alive)
        return min(deadlines)

    def _obey(self, signum: signal.Signals, now: float) -> None:
        if signum == signal.SIGTERM:
            self._stop(now, graceful=not self._phase.going)
        elif signum in (signal.SIGINT, signal.SIGQUIT):
            self._stop(now, graceful=False)
        elif signum == signal.SIGUSR1:
            self._premises.reopen_logs()
            for worker in self._workers():
                self._crew.signal(worker, signal.SIGUSR1)
        elif self._phase.going:
            # There is nothing left to reload, upgrade or resize.
            return
        elif signum == signal.SIGHUP:
            self._renewal.wanted = True
        elif signum == signal.SIGUSR2:
            self._upgrade()
        elif signum in (signal.SIGTTIN, signal.SIGTTOU):
            step = 1 if signum == signal.SIGTTIN else -1
            for post in self._premises.present.posts.values():
                if post.wanted + step >= 1:
                    post.extra += step
                LOG.info("%s: %d workers wanted", post.service.name, post.wanted)

    def _note(self, worker: Worker, message: Message, now: float) -> None:
        if message.topic is Topic.READY:
            worker.ready_since = now
            LOG.info(
                "%s ready after %.2f s, generation %d",
                worker,
                now - worker.started,
                worker.generation,
            )
        elif message.topic is Topic.FAILED:
            worker.failure = message
        elif message.topic is Topic.DUE:
            LOG.info("%s is to be replaced: %s", worker, message.text)
            worker.due = True
        elif not worker.stopping:
            LOG.info("%s leaves by itself", worker)
            worker.stopping = True
            worker.leave_by = now + worker.settings.graceful_timeout + MARGIN

    def _mourn(self, worker: Worker, code: int | None, now: float) -> None:
        if worker.stopping:
            if code in (0, None) or not worker.ready:
                LOG.log(self._life, "%s left", worker)
            else:
                LOG.warning("%s %s", worker, last_words(code))
            return
        if worker.failure is not None:
            reason, status = worker.failure.text, ExitStatus(worker.failure.status)
        else:
            reason, status = f"{worker} {last_words(code)}", ExitStatus.BOOT
            if not worker.ready:
                reason += " before it was ready"
        if not self._lose(worker, reason, status):
            LOG.error("%s; it is replaced", reason)
            served = None if worker.ready_since is None else now - worker.ready_since
            self._backoff.died(now, served)

    def _lose(self, worker: Worker, reason: str, status: ExitStatus) -> bool:
        """What else the loss of a worker means; false when it is merely replaced."""
        candidate = self._renewal.candidate
        if candidate is not None and worker.generation == candidate.number:
            self._give_up(reason)
        elif self._phase is Phase.BOOTING:
            self._fail(reason, status)
        else:
            return self._phase.going
        return True

    # -- acting ---------------------------------------------------------------------------

    def _act(self, now: float) -> None:
        """Brings the workers to what is wanted, as far as that may be done now."""
        present, renewal = self._premises.present, self._renewal
        if self._phase is Phase.BOOTING and self._is_complete(present):
            self._phase = Phase.SERVING
            self._premises.announce()
            self._premises.notifier.ready(self._summary())
        if renewal.candidate is not None and self._is_complete(renewal.candidate):
            renewal.accept(renewal.candidate)
            self._premises.notifier.ready(self._summary())
        if (
            renewal.wanted
            and self._phase is Phase.SERVING
            and not renewal.under_way
            and self._successor is None
        ):
            self._follow(renewal.begin(now))
        posts = self._premises.present.posts.keys() | {
            w.service for w in self._workers()
        }
        if renewal.candidate is not None:
            posts |= renewal.candidate.posts.keys()
        for name in posts:
            if not self._phase.going:
                self._act_on(name, now)

    def _act_on(self, name: str, now: float) -> None:
        """Carries out what `plan` says about one service."""
        present, candidate = self._premises.present, self._renewal.candidate
        post = present.posts.get(name)
        following = candidate.posts.get(name) if candidate is not None else None
        steps = plan(
            self._crew.of(name),
            post.wanted if post is not None else 0,
            present.number,
            candidate=(candidate.number, following.wanted if following else 0)
            if candidate is not None
            else None,
        )
        for step in steps:
            if not isinstance(step, Spawn):
                self._crew.stop(step.worker, now)
            elif step.generation != present.number:
                # A candidate that was given up meanwhile gets no more workers.
                if following is not None and self._renewal.candidate is candidate:
                    self._spawn(following, step, now)
            elif post is not None and now >= self._backoff.until:
                self._spawn(post, step, now)

    def _spawn(self, post: Deployment, step: Spawn, now: float) -> None:
        candidate = self._renewal.candidate
        foreign = self._premises.foreign(
            [listener.sock.fileno() for listener in post.listeners], candidate
        )
        if self._successor is not None:
            foreign.append(self._successor.fileno())
        try:
            worker = self._crew.spawn(
                post, step.generation, step.worker_id, now, foreign
            )
        except (OSError, LookupError) as exc:
            reason = f"cannot start a worker: {exc}"
            if candidate is not None and step.generation == candidate.number:
                self._give_up(reason)
            elif self._phase is Phase.BOOTING:
                self._fail(reason, ExitStatus.BOOT)
            else:
                LOG.error("%s", reason)  # noqa: TRY400  one line says it
                self._backoff.died(now, None)
        else:
            LOG.debug("%s started, generation %d", worker, step.generation)

    def _fail(self, reason: str, status: ExitStatus) -> None:
        """The first generation does not come up: says why and leaves."""
        self.reason = reason
        self._status = status
        if self._quiet_start:
            self._life = logging.DEBUG
        else:
            LOG.error("cannot start: %s", reason)
        self._stop(time.monotonic(), graceful=False)

    def _stop(self, now: float, *, graceful: bool) -> None:
        if self._phase is Phase.LEAVING:
            return
        how = "when all is answered" if graceful else "at once"
        LOG.log(self._life, "stopping %s", how)
        self._phase = Phase.DRAINING if graceful else Phase.LEAVING
        self._renewal.drop()
        if self._successor is not None:
            self._successor.stop()
        # Ours first: a port that only draining workers hold takes no new clients.
        self._premises.stop_listening()
        for worker in self._workers():
            self._crew.stop(worker, now, graceful=graceful)

    def _follow(self, obstacle: str | None) -> None:
        """A reload has been tried: goes on with it, or gives it up."""
        if obstacle is not None:
            self._give_up(obstacle)

    def _give_up(self, reason: str) -> None:
        """The reload does not work out: its workers go, the present ones stay."""
        candidate = self._renewal.candidate
        if self._on_failed_reload is not None:
            self._on_failed_reload()
        self._renewal.give_up(reason)
        if candidate is not None:
            now = time.monotonic()
            for worker in self._workers():
                if worker.generation == candidate.number and not worker.stopping:
                    self._crew.stop(worker, now)
        self._premises.notifier.ready(self._summary())

    # -- upgrading --------------------------------------------------------------------

    def _upgrade(self) -> None:
        if (
            self._phase is not Phase.SERVING
            or self._successor is not None
            or self._renewal.under_way
        ):
            LOG.warning("no upgrade now: a start, reload or upgrade is under way")
            return
        self._successor = self._premises.upgrade()
        if self._successor is not None:
            self._poller.register(self._successor.fileno(), select.POLLIN)

    def _watch_successor(self, ready: set[int], now: float) -> None:
        successor = self._successor
        if successor is None:
            return
        if now >= successor.due:
            LOG.error("upgrade: process %d is not ready in time", successor.pid)
            successor.stop()
        if successor.fileno() in ready:
            self._poller.unregister(successor.fileno())
            self._successor = None
            if self._premises.settle_upgrade(successor):
                self._stop(now, graceful=True)

    # -- small things ---------------------------------------------------------------------

    def _workers(self) -> list[Worker]:
        return list(self._crew.workers.values())

    def _is_complete(self, generation: Generation) -> bool:
        return all(
            complete(self._crew.of(name), post.wanted, generation.number)
            for name, post in generation.posts.items()
        )

    def _summary(self) -> str:
        ready = sum(w.ready and not w.stopping for w in self._workers())
        return f"generation {self.generation}, {ready} workers ready"

    def _tell(self, now: float) -> None:
        """What systemd hears between two events."""
        if self._phase is Phase.SERVING and self._renewal.candidate is None:
            self._premises.notifier.status(self._summary())
        interval = self._premises.notifier.interval
        if interval is not None and now >= self._next_alive:
            self._next_alive = now + interval
            serving = any(w.ready and not w.stopping for w in self._workers())
            if serving or self._phase is not Phase.SERVING:
                self._premises.notifier.alive()
