"""The admin side of this process: its sockets, its application, and what orders come to."""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from wsgi_server._admin.application import Application
from wsgi_server._admin.events import Event
from wsgi_server._admin.http import AdminServer
from wsgi_server._admin.state import Outcome, State, Tell
from wsgi_server._config.addresses import TcpAddress, UnixAddress
from wsgi_server._net import binding
from wsgi_server._net.control_socket import ControlSocket, default_control_socket
from wsgi_server._system import forks
from wsgi_server.errors import BindError, ConfigError

if TYPE_CHECKING:
    from wsgi_server._config.settings import Settings
    from wsgi_server._process.generation import Generation
    from wsgi_server._process.reload import Reload
    from wsgi_server._process.workers import Worker

    from .observed import Observed

LOG = logging.getLogger(__name__)

#: Seconds between two points of the page's past.
TICK: Final = 1.0

#: What is never shown of a configuration.
_SECRETS: Final = frozenset({"key_file"})


@dataclass
class Steering:
    """How orders reach the process that they are for."""

    present: Callable[[], Generation]
    reload: Reload
    #: Behaves as if the signal had arrived.
    send: Callable[[signal.Signals], object]
    #: The workers there are; empty where one process serves by itself.
    workers: Callable[[], Sequence[Worker]]
    #: Whether the end was ordered.
    ending: Callable[[], bool]
    #: Tells whoever answers probes that `held` has changed.
    stand: Callable[[], object]
    #: Where this process stands, if it serves by itself.
    own_stacks: Callable[[], str]
    #: Whether this server takes the place of another one.
    succeeds: bool
    #: Tells a worker something: its level of logs, or that its stack is wanted.
    tell_worker: Callable[[Worker, Mapping[str, Any]], object]


class AdminSide:
    """Listens where `settings` say, answers, and passes orders on.

    The loop of the process polls `fileno()` and calls `turn`, at `deadline` at the latest.
    Raises `ConfigError` and `BindError` where what was configured cannot be set up.
    """

    def __init__(
        self, settings: Settings, observed: Observed, steering: Steering
    ) -> None:
        self.observed = observed
        self._steering = steering
        self._settings = settings
        self._control: ControlSocket | None = None
        #: Who waits for the end of a reload, and for which of all that have ended.
        self._waiting: list[tuple[int, Tell]] = []
        self._stacks: dict[int, _Stacks] = {}
        self._levels: list[tuple[float, Callable[[], object]]] = []
        self._tick_at = monotonic()
        self._application = Application(
            self,
            observed.events,
            hosts=settings.admin_hosts,
            drain_status=settings.drain_status,
        )
        listeners = self._open(settings)
        self._server = AdminServer(listeners, self._application)
        self._stay = forks.on_fork(lambda keep: forks.close(self._server.fds(), keep))

    def fileno(self) -> int:
        """The descriptor to poll for reading."""
        return self._server.fileno()

    @property
    def deadline(self) -> float:
        """When `turn` is due, in monotonic seconds."""
        dues = [one.until for one in self._stacks.values()]
        dues += [when for when, _ in self._levels]
        return min(self._server.deadline, self._tick_at, *dues)

    def turn(self) -> None:
        """Does what is to be done now; never waits."""
        now = monotonic()
        self._server.turn()
        if now >= self._tick_at:
            self._tick_at = now + TICK
            self._application.tick()
        for one in [s for s in self._stacks.values() if s.until <= now]:
            self._end_stacks(one)
        for when, restore in list(self._levels):
            if when <= now:
                self._levels.remove((when, restore))
                restore()
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
        if self._control is not None:
            self._control.remove()
        self._server.close()
        self.observed.close()

    def _open(self, settings: Settings) -> list[socket.socket]:
        found: list[socket.socket] = []
        try:
            match settings.admin_bind:
                case TcpAddress() as address:
                    for family, target in binding.resolve(address):
                        shown = TcpAddress(target[0], address.port)
                        found.append(binding.bind_tcp(family, target, shown, settings))
                case UnixAddress() as address:
                    found.append(binding.bind_unix(address, settings))
            self._control = self._open_control(settings)
            if self._control is not None:
                found.append(self._control.sock)
        except BaseException:
            for sock in found:
                sock.close()
            raise
        for sock in found:
            if sock.family != socket.AF_UNIX:
                host, port = sock.getsockname()[:2]
                LOG.info("admin: http://%s", TcpAddress(host, port))
        if self._control is not None:
            LOG.info("admin: control socket %s", self._control.path)
        return found

    def _open_control(self, settings: Settings) -> ControlSocket | None:
        path = settings.control_socket or default_control_socket()
        if path is None:
            return None
        mode, succeeds = settings.control_socket_mode, self._steering.succeeds
        try:
            return ControlSocket(path, mode, takes_over=succeeds)
        except (BindError, ConfigError) as exc:
            if settings.control_socket is not None:
                raise
            # Nobody asked for it.
            LOG.info("no control socket: %s", exc)
            return None

    # What `wsgi_server._admin.state.Server` asks for.

    def state(self) -> State:
        """The server now."""
        return self.observed.state()

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
        self._steering.send(signal.SIGHUP)

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
        self._steering.send(signal.SIGCHLD)
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
        self._steering.send(signal.SIGCHLD)
        pids = [worker.pid for worker in found]
        tell(Outcome(True, f"worker {number} is being replaced", {"pids": pids}))

    def log_level(
        self, tell: Tell, level: str, logger: str, seconds: float | None
    ) -> None:
        """Sets a logger's level here and in the workers; for so long, where given."""
        target = logging.getLogger(logger or None)
        before = logging.getLevelName(target.level)
        self._set_level(logger, level)
        if seconds is not None:
            restore = (monotonic() + seconds, lambda: self._set_level(logger, before))
            self._levels.append(restore)
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
        self._steering.send(signal.SIGTERM if graceful else signal.SIGINT)

    def reopen_logs(self, tell: Tell) -> None:
        """As SIGUSR1."""
        self._steering.send(signal.SIGUSR1)
        tell(Outcome(True, "the log files are opened anew"))

    def upgrade(self, tell: Tell) -> None:
        """As SIGUSR2."""
        if not self._refuses_while_ending(tell):
            self._steering.send(signal.SIGUSR2)
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
        one = _Stacks(tell, {worker.pid: worker for worker in asked}, monotonic() + 1.0)
        self._stacks[id(one)] = one
        for worker in asked:
            self._steering.tell_worker(worker, {"stacks": True})

    def heard_stacks(self, worker: Worker, text: str) -> None:
        """A worker has said where it stands."""
        for one in list(self._stacks.values()):
            if one.missing.pop(worker.pid, None) is not None:
                one.found[str(worker)] = text
                if not one.missing:
                    self._end_stacks(one)

    def _end_stacks(self, one: _Stacks) -> None:
        del self._stacks[id(one)]
        silent = {
            str(worker): "it gave no answer within 1 s: its loop does not turn"
            for worker in one.missing.values()
        }
        one.tell(Outcome(True, "where they stand", {"stacks": {**one.found, **silent}}))

    def _set_level(self, logger: str, level: str) -> None:
        logging.getLogger(logger or None).setLevel(level)
        LOG.info("logger %s: level %s", logger or "root", level)
        for worker in self._steering.workers():
            self._steering.tell_worker(worker, {"logger": logger, "level": level})

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


@dataclass
class _Stacks:
    """Somebody waits for the stacks of workers."""

    tell: Tell
    missing: dict[int, Worker]
    until: float
    found: dict[str, str] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        self.found = {}


def is_wanted(settings: Settings) -> bool:
    """Whether anybody asked for an admin side, or systemd gives it a place."""
    asked = settings.admin_bind is not None or settings.control_socket is not None
    return asked or default_control_socket() is not None
