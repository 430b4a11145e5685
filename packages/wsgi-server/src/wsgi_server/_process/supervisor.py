"""The parent process: owns configuration, sockets and workers, and runs no application.

One loop polls for everything: signals, the workers' pipes, an upgrade, the next deadline.
What is to be done is decided by `plan` and `backoff`; this loop carries it out.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Collection, Sequence

from wsgi_server._system import forks, unpatched
from wsgi_server._system.platform import HAS_FORK, IN
from wsgi_server._system.process import set_title
from wsgi_server._system.signals import Signal
from wsgi_server.errors import ExitStatus, ServerError

from .admin import admin_of_workers
from .admin.facts import Facts
from .admin.wanted import is_wanted
from .births.choice import make_workers, reborn_if_any
from .main_process import LONGEST_WAIT, MainProcess, Phase
from .pace.replacements import Replacements
from .plan import Spawn, plan
from .reload import Reload
from .service import Deployment, Service
from .upgrade import Upgrade
from .worker import MARGIN
from .worker_pipe import (
    Answered,
    Due,
    Failed,
    Forked,
    Leaving,
    Message,
    Ready,
    Stacks,
)
from .workers import Worker, how_it_ended

__all__ = ["Phase", "Service", "Supervisor"]

LOG = logging.getLogger(__name__)


class Supervisor(Facts):
    """Keeps the services that `configure` names running, reloads and stops them.

    `configure` is called at the start and once for every reload; it raises a `ServerError`
    when the configuration does not work. `in_child` is called in each worker before it
    loads its application, `before_exit` when it has answered everything, with the seconds
    that it may take; `on_failed_reload` here when a reload is given up. `bind_retry` is how
    many seconds an address may be in use at a start or a reload before that is an error.
    With `quiet_start` a start that fails is for the caller to report, who finds it in
    `reason`. Where it `spawns`, a worker is the program started anew, and `start` does not
    return there.
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
        spawns: bool = not HAS_FORK,
    ) -> None:
        self._spawns = spawns
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
        self._replacements = Replacements()
        #: When the listeners close of a server that is `WITHDRAWN` (monotonic seconds).
        self._close_at = math.inf

    def start(self) -> None:
        """Configures, binds, and forks the first workers; `wait` sees them ready.

        Raises `ConfigError`, `BindError`, or with `preload_app` `LoadError`; then every
        handler is back and nothing stays open.
        """
        if self._spawns and (reborn := reborn_if_any()) is not None:
            reborn.live(self._configure(), self._in_child, self._before_exit)
        self._main = MainProcess(self._configure, self._bind_retry)
        self._reload = Reload(
            self._main, self._configure, self._on_failed_reload, self._summary
        )
        self._upgrade = Upgrade(self._main)
        self._stay = forks.on_fork(self._on_fork)
        self._poller = unpatched.poll()
        self._poller.register(self._main.signals.fileno(), IN)
        self._workers = make_workers(
            self._poller,
            self._main.signals,
            spawns=self._spawns,
            observed=is_wanted(self._main.present.settings),
            in_child=self._in_child,
            before_exit=self._before_exit,
        )
        self._admin = admin_of_workers(
            *(self._main, self._reload, self._upgrade, self._workers),
            stage=lambda: (self._phase, self.reason, self._close_at),
            stand=self._stand,
        )
        if self._admin is not None:
            self._poller.register(self._admin.fileno(), IN)
        if self._main.present.forks:
            set_title("supervisor")
            self._act(time.monotonic())

    def wait(self) -> ExitStatus:
        """Supervises until it is told to stop and the last worker has left."""
        try:
            if self._main.present.forks:
                while not self._phase.going or not self._workers.gone:
                    self._turn()
            else:
                self._serve_alone()
        finally:
            self._close()
        return self._status

    def _close(self) -> None:
        if self._admin is not None:
            self._admin.close()
        self._stay()
        self._workers.close()
        self._main.close()

    def _serve_alone(self) -> None:
        # The engine is imported there; the forking supervisor never does.
        from .single import SingleProcess

        try:
            SingleProcess(self._main, self._upgrade, self._reload).serve(
                self._before_exit
            )
        except ServerError as exc:
            self.reason, self._status = str(exc), exc.exit_status
            # The traceback is for `debug` alone.
            debug = self._main.present.settings.debug
            self._say_failed(exc.__cause__ if debug else None)

    def _turn(self) -> None:
        try:
            wake = self._deadline()
            wait = None
            if not math.isinf(wake):
                left = min(LONGEST_WAIT, wake - time.monotonic())
                wait = max(0, math.ceil(left * 1000))
            self._handle({fd for fd, _ in self._poller.poll(wait)}, wake)
        # The supervisor outlives its own faults: workers that nobody watches are worse.
        except Exception:
            LOG.exception("the supervisor stumbled; it goes on")
            # A fault that comes back with every turn must not become a busy loop.
            self._main.wait_for_signals(1.0)

    def _handle(self, ready: set[int], asked: float) -> None:
        now = time.monotonic()
        for signum in self._main.signals.take():
            self._on_signal(signum, now)
        for worker, message in self._workers.hear(ready):
            self._on_message(worker, message, now)
        self._watch_upgrade(ready, now)
        for worker, complaint in self._workers.enforce(now, asked):
            self._on_loss(worker, Failed(complaint, ExitStatus.BOOT), now)
        for worker, code in self._workers.reap(now):
            self._on_end(worker, code, now)
        self._upgrade.reap()
        self._workers.reap_orphans()
        if now >= self._reload.due:
            self._reload.open()
        if now >= self._close_at:
            self._stop(now, graceful=True)
        self._act(now)
        self._notify(now)
        if self._admin is not None:
            self._admin.turn()

    def _deadline(self) -> float:
        deadlines = [
            self._workers.deadline(),
            self._reload.due,
            self._upgrade.due,
            self._replacements.due,
            self._main.notifier.due,
            self._close_at,
            self._main.start.due,
        ]
        if self._admin is not None:
            deadlines.append(self._admin.deadline)
        return min(deadlines)

    def _on_signal(self, signum: Signal, now: float) -> None:
        if signum == Signal.SIGTERM:
            self._stop(now, graceful=not self._phase.going)
        elif signum in (Signal.SIGINT, Signal.SIGQUIT):
            self._stop(now, graceful=False)
        elif signum == Signal.SIGUSR1:
            self._main.reopen_logs()
            for worker in self._workers:
                self._workers.signal(worker, Signal.SIGUSR1)
        elif self._phase.ending:
            # There is nothing left to reload, upgrade or resize.
            if signum != Signal.SIGCHLD:
                LOG.info("%s means nothing any more: it stops", signum.name)
        elif signum == Signal.SIGHUP:
            self._reload.wanted = True
        elif signum == Signal.SIGUSR2:
            self._begin_upgrade()
        elif signum in (Signal.SIGTTIN, Signal.SIGTTOU):
            self._main.present.resize(1 if signum == Signal.SIGTTIN else -1)

    def _on_message(self, worker: Worker, message: Message, now: float) -> None:
        match message:
            case Ready():
                worker.ready_since = now
                self._replacements.became_ready(worker.service)
                LOG.info(
                    "%s ready after %.2f s, generation %d",
                    worker,
                    now - worker.started,
                    worker.generation,
                )
            case Failed():
                worker.failure = message
            case Stacks(text) if self._admin is not None:
                self._admin.heard_stacks(worker, text)
            case Due(kind, reason):
                LOG.info("%s is to be replaced: %s", worker, reason)
                worker.due_reason, worker.due_kind = reason, kind
                worker.due_after = worker.served(now) or 0.0
            case Forked(pid):
                worker.children.add(pid)
            case Answered():
                worker.children.send(Signal.SIGTERM)
            case Leaving() if not worker.stopping:
                LOG.info("%s leaves by itself", worker)
                worker.stopping = True
                worker.leave_by = now + worker.settings.graceful_timeout + MARGIN
                self._remember(worker, now)

    def _on_end(self, worker: Worker, code: int | None, now: float) -> None:
        if worker.stopping:
            if code in (0, None) or not worker.ready:
                LOG.log(self._life, "%s left", worker)
            else:
                LOG.warning("%s %s", worker, how_it_ended(code))
            return
        loss = worker.failure_with(code)
        if not self._on_loss(worker, loss, now):
            LOG.error("%s; it is replaced", loss.reason)

    def _on_loss(self, worker: Worker, loss: Failed, now: float) -> bool:
        """What else the loss of a worker means; false when it is merely replaced."""
        coming = self._reload.coming
        if coming is not None and worker.generation == coming.number:
            self._give_up(loss.reason)
        elif self._phase is Phase.BOOTING:
            if self._main.start.survives(worker.service, loss, self._workers):
                self._remember(worker, now)
            else:
                self._fail(loss)
        else:
            self._remember(worker, now)
            return self._phase.going
        return True

    def _remember(self, worker: Worker, now: float) -> None:
        """A worker of the present generation goes unasked."""
        others = [w for w in self._workers.of(worker.service) if not w.stopping]
        self._replacements.died(
            worker.service, now, worker.served(now), alone=not others
        )

    def _act(self, now: float) -> None:
        """Brings the workers to what is wanted, as far as that may be done now."""
        if self._phase is Phase.BOOTING:
            self._try_to_serve(now)
        coming = self._reload.coming
        if (
            coming is not None
            and self._workers.complete(coming)
            and self._reload.accept(coming)
        ):
            self._replacements.forget()
        if (
            self._reload.wanted
            and self._phase is Phase.SERVING
            and not self._reload.under_way
            and not self._upgrade.under_way
        ):
            self._reload.begin()
        if not self._phase.going:
            self._bring_about(now)

    def _try_to_serve(self, now: float) -> None:
        if self._main.start.suffices(self._main.present, self._workers):
            self._phase = Phase.SERVING
            self._stand()
            self._main.announce(self._summary())
        elif failure := self._main.start.is_over(self._workers, now):
            self._fail(failure)

    def _bring_about(self, now: float) -> None:
        """Carries out what `plan` says about each service."""
        present, coming = self._main.present, self._reload.coming
        named = {*present.deployments, *(worker.service for worker in self._workers)}
        if coming is not None:
            named |= coming.deployments.keys()
        needs = []
        for name in sorted(named):
            steps = plan(
                self._workers.of(name),
                present.wanted(name),
                present.number,
                coming=None if coming is None else (coming.number, coming.wanted(name)),
            )
            missing = []
            for step in steps:
                if not isinstance(step, Spawn):
                    self._workers.stop(step.worker, now)
                elif step.generation == present.number:
                    missing.append(step)
                # One that was given up meanwhile gets no more workers.
                elif coming is not None and self._reload.coming is coming:
                    self._spawn(coming.deployments[name], step, now)
            stay = [w for w in self._workers.of(name) if not w.stopping]
            needs.append((name, stay, missing))
        if self._phase is Phase.BOOTING and not self._main.start.failures:
            turns = [(name, step) for name, _, missing in needs for step in missing]
        else:
            turns = self._replacements.choose(needs, now)
        for name, step in turns:
            self._spawn(present.deployments[name], step, now)

    def _spawn(self, deployment: Deployment, step: Spawn, now: float) -> None:
        coming = self._reload.coming
        # A reload that is under way has gone on to where the next release is.
        directory = self._main.directory
        here = coming is not None and step.generation == coming.number
        go = directory.stay if here else directory.back
        try:
            worker = self._workers.spawn(
                deployment, step.generation, step.worker_id, now, go
            )
        except (OSError, LookupError) as exc:
            reason = f"cannot start a worker: {exc}"
            if here:
                self._give_up(reason)
            elif self._phase is Phase.BOOTING:
                self._fail(Failed(reason, ExitStatus.BOOT))
            else:
                LOG.error("%s", reason)  # noqa: TRY400  one line says it
                self._replacements.died(deployment.service.name, now, None, alone=False)
        else:
            LOG.debug("%s started, generation %d", worker, step.generation)
            if self._admin is not None:
                self._admin.observed.began(worker.service)

    def _on_fork(self, keep: Collection[int]) -> None:
        """In a child: the sockets, and what an upgrade has, are not its own."""
        self._main.leave_behind(keep)
        if self._reload.coming is not None:
            self._reload.coming.leave_behind(keep)
        if self._upgrade.under_way:
            forks.close([self._upgrade.fileno()], keep)

    def _fail(self, loss: Failed) -> None:
        """The first generation does not come up: says why and leaves."""
        self.reason, self._status = loss.reason, loss.status
        self._life = logging.DEBUG if self._quiet_start else logging.INFO
        self._say_failed()
        self._stop(time.monotonic(), graceful=False)

    def _say_failed(self, cause: BaseException | None = None) -> None:
        if not self._quiet_start:
            LOG.error("cannot start: %s", self.reason, exc_info=cause)
        elif cause is not None:
            LOG.debug("cannot start", exc_info=cause)

    def _stop(self, now: float, *, graceful: bool, succeeded: bool = False) -> None:
        if self._phase is Phase.LEAVING:
            return
        if not self._phase.ending:
            self._main.notifier.stopping()
            self._reload.drop()
            self._upgrade.stop()
        delay = self._main.present.settings.drain_delay
        if graceful and delay and self._phase is Phase.SERVING and not succeeded:
            self._phase, self._close_at = Phase.WITHDRAWN, now + delay
            self._stand()
            LOG.info("stopping: not ready from now on; listening for %g s yet", delay)
            return
        how = "when all is answered" if graceful else "at once"
        LOG.log(self._life, "stopping %s", how)
        self._phase = Phase.DRAINING if graceful else Phase.LEAVING
        self._close_at = self._replacements.due = math.inf
        # Ours first: a port that only draining workers hold takes no new clients.
        self._main.stop_listening()
        if not succeeded:
            self._stand()
        for worker in self._workers:
            self._workers.stop(worker, now, graceful=graceful)

    def _give_up(self, reason: str) -> None:
        """The reload does not work out: its workers go, the present ones stay."""
        coming = self._reload.coming
        self._reload.give_up(reason)
        for worker in self._workers:
            if coming is not None and worker.generation == coming.number:
                self._workers.stop(worker, time.monotonic())

    def _begin_upgrade(self) -> None:
        if (
            self._phase is not Phase.SERVING
            or self._upgrade.under_way
            or self._reload.under_way
        ):
            LOG.warning("no upgrade now: a start, reload or upgrade is under way")
        elif self._upgrade.begin():
            self._poller.register(self._upgrade.fileno(), IN)

    def _watch_upgrade(self, ready: set[int], now: float) -> None:
        self._upgrade.enforce(now)
        if self._upgrade.under_way and self._upgrade.fileno() in ready:
            self._poller.unregister(self._upgrade.fileno())
            if self._upgrade.settle():
                self._stop(now, graceful=True, succeeded=True)

    def _notify(self, now: float) -> None:
        """What systemd hears between two events."""
        if self._phase is Phase.SERVING and self._reload.coming is None:
            self._main.notifier.status(self._summary())
        well = self._workers.serving > 0 or self._phase is not Phase.SERVING
        self._main.notifier.tick(now, well=well)
