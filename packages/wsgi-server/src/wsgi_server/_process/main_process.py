"""What the server holds as a process, whoever serves: configuration, sockets, files, ties.

Shared by the supervisor, which has workers, and by the process that serves alone.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from wsgi_server._logs import rotation
from wsgi_server._net.binding import AddressInUse
from wsgi_server._net.listeners import Inheritance
from wsgi_server._system import unpatched
from wsgi_server._system.pid_file import PidFile
from wsgi_server._system.signals import SignalPipe
from wsgi_server._system.systemd import Notifier, listen_fds
from wsgi_server.errors import BootError, ConfigError

from . import generation as generations
from .generation import Generation
from .service import Service, check
from .upgrade import Predecessor, Successor

LOG = logging.getLogger(__name__)


SIGNALS: Final = (
    signal.SIGHUP,
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGCHLD,
)
#: Those that stop the server.
STOPPING: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})

#: The longest wait, in seconds: poll() counts milliseconds in an int.
LONGEST_WAIT: Final = 86400.0
#: Seconds between two attempts at an address that is in use.
BIND_PAUSE: Final = 0.5


class Premises:
    """Opened by the start, renewed by every reload, closed at the end.

    Opening raises `ConfigError`, `BindError`, or with `preload_app` `LoadError`; then
    every handler is back and nothing stays open. `bind_retry` is how many seconds an
    address may be in use before that is an error.
    """

    def __init__(
        self, configure: Callable[[], Sequence[Service]], bind_retry: float
    ) -> None:
        self._configure = configure
        self.bind_retry = bind_retry
        self._directory = os.getcwd()
        self._number = 0
        self._pid_file: PidFile | None = None
        #: New binaries that failed and have not ended yet.
        self._failed: list[Successor] = []
        self.predecessor = Predecessor(os.environ)
        self._inheritance = Inheritance(
            listen_fds(os.environ, os.getpid()), self.predecessor.sockets
        )
        self.notifier = Notifier(os.environ, os.getpid())
        self.signals = SignalPipe(SIGNALS)
        try:
            self.present = self._open()
        except BaseException:
            self.signals.close()
            raise
        try:
            self._settle()
        except BaseException:
            self.close()
            raise

    def next_generation(self, *, first_attempt: bool = True) -> Generation:
        """Reads the configuration and opens what it wants; the present one stays.

        Raises a `ServerError` (`AddressInUse` where another attempt may help), or
        whatever the program's own `configure` raises.
        """
        services = self._configure()
        check(services)
        if (services[0].settings.workers > 0) != self.present.forks:
            raise ConfigError(
                f"workers = {services[0].settings.workers}: changing between 0 and more "
                "needs a restart"
            )
        engine = services[0].settings.engine
        if not self.present.forks and engine != self.present.settings.engine:
            raise ConfigError(
                f"engine = {engine}: with workers = 0 the process keeps its engine; "
                "restart it"
            )
        if first_attempt:
            generations.log_changes(self.present, services)
        generation = generations.build(
            self._number + 1,
            generations.restart_bound(self.present, services),
            present=self.present,
            inheritance=self._inheritance,
        )
        self._number += 1
        return generation

    def move_to(self, generation: Generation) -> None:
        """Makes it the present one; sockets that only the old one had are closed."""
        old, self.present = self.present, generation
        known = {id(listener.sock) for listener in old.listeners}
        generations.accept(old, generation)
        os.umask(generation.settings.umask)
        for listener in generation.listeners:
            if id(listener.sock) not in known:
                LOG.info("listening on %s", listener.url)
        LOG.info(
            "reload: generation %d serves, generation %d retires",
            generation.number,
            old.number,
        )

    def discard(self, generation: Generation) -> None:
        """Closes what only `generation` has."""
        generations.retire(generation, keep=self.present.listeners)

    def announce(self) -> None:
        """The server answers: says so, and sends a predecessor home."""
        for listener in self.present.listeners:
            LOG.info("listening on %s", listener.url)
        if self.predecessor:
            self._write_pid()
            self.predecessor.dismiss()
            for listener in self.present.listeners:
                listener.owner = os.getpid()
            generations.apply_options(self.present, to=self.present.listeners)

    def upgrade(self) -> Successor | None:
        """Starts the command again on these sockets; None where that is impossible."""
        if os.getpid() == 1:
            LOG.error("no upgrade: PID 1 cannot hand over, its end ends the container")
            return None
        sockets = {
            f"{post.service.name} {listener.key}": listener.sock.fileno()
            for post in self.present.posts.values()
            for listener in post.listeners
        }
        timeout = 2 * self.present.settings.worker_ready_timeout + self.bind_retry
        try:
            successor = Successor(sockets, self._directory, time.monotonic() + timeout)
        except OSError as exc:
            LOG.error("no upgrade: %s", exc)  # noqa: TRY400  one line says it
            return None
        LOG.info("upgrade: process %d starts on our sockets", successor.pid)
        return successor

    def settle_upgrade(self, successor: Successor) -> bool:
        """Hears the successor out: true when it has taken over, false when it failed.

        In the first case the sockets' files, and systemd's eye, are its own.
        """
        took_over = successor.is_ready()
        successor.close()
        if took_over:
            LOG.info("upgrade: process %d has taken over", successor.pid)
            self.notifier.main_pid(successor.pid)
            for listener in self.present.listeners:
                listener.owner = successor.pid
        else:
            if successor.unwanted:
                LOG.info("upgrade: process %d has left", successor.pid)
            else:
                LOG.error("upgrade: process %d failed; we go on", successor.pid)
            self._failed.append(successor)
        return took_over

    def reap(self) -> None:
        """Takes leave of new binaries that failed; called when a child has ended."""
        self._failed = [one for one in self._failed if not one.has_ended()]

    def stop_listening(self) -> None:
        """Closes this process's copies of the sockets and says that the end is near."""
        self.notifier.stopping()
        for listener in self.present.listeners:
            listener.close()

    def reopen_logs(self) -> None:
        """Opens the log files anew, for the workers to do the same."""
        rotation.reopen()
        self._hand_over_logs()
        LOG.info("log files reopened")

    def foreign(self, keep: Iterable[int], *others: Generation | None) -> list[int]:
        """Descriptors that a worker which serves `keep` must not hold open."""
        held = {
            listener.sock.fileno()
            for generation in (self.present, *others)
            if generation is not None
            for listener in generation.listeners
        }
        return [*(held - {*keep}), *self.predecessor.fds()]

    def close(self) -> None:
        """Closes everything and puts the program's own handlers back."""
        for listener in self.present.listeners:
            listener.close()
        if self._pid_file is not None:
            self._pid_file.remove(os.getpid())
        self.predecessor.close()
        self.signals.close()

    def _open(self) -> Generation:
        """The first generation; waits a while for an address that is in use."""
        until = time.monotonic() + self.bind_retry
        services = self._configure()
        check(services)
        pause = unpatched.poll()
        pause.register(self.signals.fileno(), select.POLLIN)
        told = False
        while True:
            try:
                generation = generations.build(
                    1, services, inheritance=self._inheritance
                )
            except AddressInUse as exc:
                if time.monotonic() >= until:
                    raise
                if not told:
                    LOG.warning("%s; trying for %g s", exc, self.bind_retry)
                    told = True
            else:
                self._number = 1
                self._inheritance.close()
                return generation
            pause.poll(BIND_PAUSE * 1000)
            if STOPPING.intersection(self.signals.take()):
                raise BootError("stopped before every address was bound")

    def _settle(self) -> None:
        settings = self.present.settings
        os.umask(settings.umask)
        if settings.pid_file is not None:
            self._pid_file = PidFile(settings.pid_file)
            if not self.predecessor:
                self._write_pid()
        self._hand_over_logs()

    def _write_pid(self) -> None:
        if self._pid_file is not None:
            self._pid_file.write(os.getpid())

    def _hand_over_logs(self) -> None:
        for post in self.present.posts.values():
            rotation.hand_over_all(post.identity)
