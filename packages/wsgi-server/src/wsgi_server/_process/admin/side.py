"""The admin side of this process: its sockets, its application, and what orders come to."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from wsgi_server._admin.application import Application
from wsgi_server._admin.events import Event
from wsgi_server._admin.http import AdminServer
from wsgi_server._admin.state import Outcome, State, Tell
from wsgi_server._system import forks
from wsgi_server._system.signals import Signal

from .doors import Doors
from .stacks import Stacks
from .wanted import TICK

if TYPE_CHECKING:
    from wsgi_server._config.settings import Settings
    from wsgi_server._net.listeners import Listener
    from wsgi_server._process.generation import Generation
    from wsgi_server._process.reload import Reload
    from wsgi_server._process.upgrade import Upgrade
    from wsgi_server._process.workers import Worker

    from .observed import Observed

LOG = logging.getLogger(__name__)

#: What is never shown of a configuration.
_SECRETS: Final = frozenset({"key_file"})


@dataclass
class Steering:
    """How orders reach the process that they are for."""

    present: Callable[[], Generation]
    reload: Reload
    #: Behaves as if the signal had arrived.
    send: Callable[[Signal], object]
    #: The workers there are; empty where one process serves by itself.
    workers: Callable[[], Sequence[Worker]]
    #: Whether the end was ordered.
    ending: Callable[[], bool]
    #: Tells whoever answers probes that `held` has changed.
    stand: Callable[[], object]
    #: Where this process stands, if it serves by itself.
    own_stacks: Callable[[], str]
    #: Whether this server is to take the place of another one, and whether one has its.
    succeeds: Callable[[], bool]
    succeeded: Callable[[], bool]
    #: Tells a worker something: its level of logs, or that its stack is wanted.
    tell_worker: Callable[[Worker, Mapping[str, Any]], object]
    send_signal: Callable[[Worker, Signal], object]
    #: The upgrade that is under way, or none.
    upgrade: Upgrade


class AdminSide:
    """Answers at `listeners` and at the control socket, and passes orders on.

    The loop of the process polls `fileno()` and calls `turn`, at `deadline` at the latest.
    Raises `ConfigError` and `BindError` where what was configured cannot be set up.
    """

    def __init__(
        self,
        settings: Settings,
        listeners: Sequence[Listener],
        observed: Observed,
        steering: Steering,
    ) -> None:
        self.observed = observed
        self._steering = steering
        #: Who waits for the end of a reload, and for which of all that have ended.
        self._waiting: list[tuple[int, Tell]] = []
        self._stacks = Stacks(steering.tell_worker, steering.send_signal)
        #: Loggers whose level was set for a while: until when, and what it was before.
        self._levels: dict[str, tuple[float, str]] = {}
        #: Levels that an operator has set, and who knows of all of them.
        self._ordered: dict[str, str] = {}
        self._informed: set[Worker] = set()
        self._tick_at = monotonic()
        self._application = Application(
            self,
            observed.events,
            hosts=settings.admin_hosts,
            drain_status=settings.drain_status,
        )
        self._doors = Doors(settings, listeners, succeeds=steering.succeeds())
        self._server = AdminServer(self._application)
        self._stay = forks.on_fork(self._on_fork)
        self._open = self._left = False
        self._let_in()

    def fileno(self) -> int:
        """The descriptor to poll for reading."""
        return self._server.fileno()

    @property
    def deadline(self) -> float:
        """When `turn` is due, in monotonic seconds."""
        levels = [when for when, _ in self._levels.values()]
        return min(
            *(self._server.deadline, self._tick_at, self._stacks.deadline), *levels
        )

    def turn(self) -> None:
        """Does what is to be done now; never waits."""
        now = monotonic()
        self._let_in()
        self._server.turn()
        if now >= self._tick_at:
            self._tick_at = now + TICK
            self._application.tick()
        self._stacks.turn(now)
        for logger, (when, level) in list(self._levels.items()):
            if when <= now:
                del self._levels[logger]
                self._set_level(logger, level)
        if self._ordered:
            self._inform()
        ended = self._ended_reloads()
        for number, tell in list(self._waiting):
            if ended >= number:
                self._waiting.remove((number, tell))
                self._tell_reload(tell)

    def close(self) -> None:
        """Closes everything; the control socket's file goes where it is still ours."""
        self._stay()
        for _, tell in self._waiting:
            tell(Outcome(False, "the server is stopping"))
        self._waiting.clear()
        self._doors.close()
        self._server.close()
        self.observed.close()

    def _let_in(self) -> None:
        """Of two servers at an upgrade the one answers that serves."""
        if not self._open and not self._steering.succeeds():
            self._open = True
            self._server.listen(*self._doors.open())
        elif self._steering.succeeded() and not self._left:
            self._left = True
            self._server.listen(())

    def _on_fork(self, keep: Collection[int]) -> None:
        forks.close([*self._server.fds(), *self._doors.fds()], keep)

    # What `wsgi_server._admin.state.Server` asks for.

    def state(self, *, brief: bool = False) -> State:
        """The server now; in `brief` without what its services and workers have counted."""
        return self.observed.state(brief=brief)

    def events(self) -> Sequence[Event]:
        """The last events, oldest first."""
        return self.observed.events.last()

    def config(self) -> Mapping[str, Any]:
        """The effective options of each service with their sources, secrets masked."""
        return {
            name: deployment.service.settings.shown(_SECRETS)
            for name, deployment in self._steering.present().deployments.items()
        }

    def reload(self, tell: Tell) -> None:
        """As SIGHUP; tells when the transaction has ended."""
        if self._refuses_while_ending(tell):
            return
        under_way = self._steering.reload.under_way
        self._waiting.append((self._ended_reloads() + 1 + under_way, tell))
        self._steering.send(Signal.SIGHUP)

    def scale(self, tell: Tell, *, workers: int | None, by: int | None) -> None:
        """As SIGTTIN and SIGTTOU, to a number or by some."""
        if self._refuses_while_ending(tell) or self._refuses_without_workers(tell):
            return
        deployments = self._steering.present().deployments
        wanted = {
            name: workers if workers is not None else one.wanted + (by or 0)
            for name, one in deployments.items()
        }
        if min(wanted.values()) < 1:
            tell(Outcome(False, "at least one worker has to serve"))
            return
        for name, number in wanted.items():
            one = deployments[name]
            one.extra = number - one.service.settings.workers
            LOG.info("%s: %d workers wanted", name, number)
        # Wakes the loop: the supervisor does the rest.
        self._steering.send(Signal.SIGCHLD)
        text = ", ".join(f"{name}: {number}" for name, number in wanted.items())
        tell(Outcome(True, f"workers wanted: {text}", {"workers": wanted}))

    def restart(self, tell: Tell, number: int) -> None:
        """Has a worker replaced, drained, when its successor is ready."""
        if self._refuses_while_ending(tell) or self._refuses_without_workers(tell):
            return
        present = self._steering.present().number
        found = [
            worker
            for worker in self._steering.workers()
            if worker.worker_id == number
            and worker.generation == present
            and not worker.stopping
        ]
        if not found:
            tell(Outcome(False, f"there is no worker {number} to replace"))
            return
        for worker in found:
            worker.due_reason = worker.due_reason or "an operator asked for it"
            worker.due_kind = worker.due_kind or "scale"
            LOG.info("%s is to be replaced: an operator asked for it", worker)
        self._steering.send(Signal.SIGCHLD)
        pids = [worker.pid for worker in found]
        tell(Outcome(True, f"worker {number} is being replaced", {"pids": pids}))

    def log_level(
        self, tell: Tell, level: str, logger: str, seconds: float | None
    ) -> None:
        """Sets a logger's level here and in the workers; for so long, where given."""
        target = logging.getLogger(logger or None)
        before: str = logging.getLevelName(target.level)
        # What it goes back to is what it was before anybody set it for a while.
        _, rest = self._levels.pop(logger, (0.0, before))
        self._set_level(logger, level)
        if seconds is not None:
            self._levels[logger] = monotonic() + seconds, rest
        until = "" if seconds is None else f" for {seconds:g} s"
        name = logger or "the root logger"
        tell(Outcome(True, f"{name} logs {level}{until}, {before} before"))

    def hold(self, tell: Tell, *, held: bool) -> None:
        """From now on the server says that it is not ready, or no more."""
        self.observed.held = held
        self._steering.stand()
        detail = "not ready until undrain" if held else "ready as far as it is"
        LOG.warning("the readiness probe says: %s", detail)
        tell(Outcome(True, detail))

    def stop(self, tell: Tell, *, graceful: bool) -> None:
        """As SIGTERM, or as SIGINT."""
        tell(Outcome(True, "stopping" if graceful else "stopping at once"))
        self._steering.send(Signal.SIGTERM if graceful else Signal.SIGINT)

    def reopen_logs(self, tell: Tell) -> None:
        """As SIGUSR1."""
        self._steering.send(Signal.SIGUSR1)
        tell(Outcome(True, "the log files are opened anew"))

    def upgrade(self, tell: Tell) -> None:
        """As SIGUSR2."""
        if self._refuses_while_ending(tell):
            return
        obstacle = self._steering.upgrade.obstacle()
        if obstacle is None and self._steering.reload.under_way:
            obstacle = "a reload is under way"
        if obstacle is None and not self.state(brief=True).started:
            obstacle = "the first workers are not ready yet"
        if obstacle is not None:
            tell(Outcome(False, f"no upgrade: {obstacle}"))
            return
        self._steering.send(Signal.SIGUSR2)
        tell(Outcome(True, "a new server is being started; its log says more"))

    def stacks(self, tell: Tell, number: int | None) -> None:
        """Asks workers where they stand, and tells when they have said so, or have not."""
        asked = [
            worker
            for worker in self._steering.workers()
            if number in (None, worker.worker_id)
        ]
        if number is None and not self._steering.present().forks:
            stacks = {"this process": self._steering.own_stacks()}
            tell(Outcome(True, "where they stand", {"stacks": stacks}))
            return
        if not asked:
            tell(
                Outcome(False, f"there is no worker {'' if number is None else number}")
            )
            return
        self._stacks.ask(asked, tell)

    def heard_stacks(self, worker: Worker, text: str) -> None:
        """A worker has said where it stands."""
        self._stacks.heard(worker, text)

    def _set_level(self, logger: str, level: str) -> None:
        logging.getLogger(logger or None).setLevel(level)
        LOG.info("logger %s: level %s", logger or "root", level)
        self._ordered[logger] = level
        self._informed.clear()
        self._inform()

    def _inform(self) -> None:
        """Tells workers, those too that were still loading when a level was set."""
        workers = {worker for worker in self._steering.workers() if worker.ready}
        for worker in workers - self._informed:
            for logger, level in self._ordered.items():
                self._steering.tell_worker(worker, {"logger": logger, "level": level})
        self._informed = workers

    def _ended_reloads(self) -> int:
        return self._steering.reload.accepted + self._steering.reload.given_up

    def _tell_reload(self, tell: Tell) -> None:
        failure = self._steering.reload.last_failure
        present = self._steering.present().number
        if failure:
            tell(
                Outcome(
                    False, f"reload failed: {failure}; generation {present} goes on"
                )
            )
        else:
            seconds = round(self._steering.reload.seconds, 3)
            facts = {"generation": present, "seconds": seconds}
            tell(
                Outcome(True, f"generation {present} serves after {seconds:g} s", facts)
            )

    def _refuses_while_ending(self, tell: Tell) -> bool:
        ending = self._steering.ending()
        if ending:
            tell(Outcome(False, "the server is stopping"))
        return ending

    def _refuses_without_workers(self, tell: Tell) -> bool:
        forks = self._steering.present().forks
        if not forks:
            tell(Outcome(False, "workers = 0: there are no workers"))
        return not forks
