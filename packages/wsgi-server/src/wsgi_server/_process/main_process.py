"""What the first process holds, whoever serves: configuration, sockets, files, signals.

The supervisor, which has workers, and the single process are both given one of these.
"""

from __future__ import annotations

import enum
import logging
import os
import select
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

from wsgi_server._logs import rotation
from wsgi_server._logs.standard_streams import open_closed
from wsgi_server._net.binding import AddressInUse
from wsgi_server._net.listeners import Inheritance, Listener
from wsgi_server._net.retry import Retry
from wsgi_server._scoreboard.standing import Standing
from wsgi_server._system import forks, unpatched
from wsgi_server._system.directory import WorkingDirectory
from wsgi_server._system.pid_file import PidFile
from wsgi_server._system.predecessor import Predecessor
from wsgi_server._system.signals import Signal, SignalPipe
from wsgi_server._system.systemd import Notifier, listen_fds
from wsgi_server.errors import BootError, LoadError

from . import generation as generations
from .admin.doors import open_admin_listeners
from .generation import Generation
from .pace.start import Start
from .service import Service, check

LOG = logging.getLogger(__name__)

SIGNALS: Final = (
    Signal.SIGHUP,
    Signal.SIGTERM,
    Signal.SIGINT,
    Signal.SIGQUIT,
    Signal.SIGUSR1,
    Signal.SIGUSR2,
    Signal.SIGTTIN,
    Signal.SIGTTOU,
    Signal.SIGCHLD,
)
#: Those that stop the server.
STOPPING: Final = frozenset({Signal.SIGTERM, Signal.SIGINT, Signal.SIGQUIT})

#: The longest wait, in seconds: poll() counts milliseconds in an int.
LONGEST_WAIT: Final = 86400.0


class Phase(enum.Enum):
    """Where the server is in its life."""

    #: The first generation is not ready yet.
    BOOTING = "booting"
    SERVING = "serving"
    #: It was told to stop and serves on until that was noticed (`drain_delay`).
    WITHDRAWN = "withdrawn"
    #: Workers finish what they have.
    DRAINING = "draining"
    #: Workers leave at once.
    LEAVING = "leaving"

    @property
    def ending(self) -> bool:
        """Whether the end was ordered: nothing is reloaded, upgraded or resized."""
        return self is Phase.WITHDRAWN or self.going

    @property
    def going(self) -> bool:
        """Whether the workers go, and none is replaced."""
        return self in (Phase.DRAINING, Phase.LEAVING)

    def standing(self, *, held: bool) -> Standing:
        """The same for those who answer probes; `held`: an operator wants no clients."""
        if self is Phase.SERVING and held:
            return Standing.HELD
        return _STANDING[self]


_STANDING: Final[Mapping[Phase, Standing]] = {
    Phase.BOOTING: Standing.STARTING,
    Phase.SERVING: Standing.SERVING,
    Phase.WITHDRAWN: Standing.WITHDRAWN,
    Phase.DRAINING: Standing.STOPPING,
    Phase.LEAVING: Standing.STOPPING,
}


class MainProcess:
    """Opened by the start, changed by every reload, closed at the end.

    Opening raises ``ConfigError``, ``BindError``, or with ``preload_app`` ``LoadError``;
    then every handler is back and nothing stays open. ``bind_retry`` is how many seconds
    an address may be in use before that is an error.
    """

    def __init__(
        self, configure: Callable[[], Sequence[Service]], bind_retry: float
    ) -> None:
        open_closed()
        self._pid_file: PidFile | None = None
        self.bind_retry = bind_retry
        self.directory = WorkingDirectory()
        self.predecessor = Predecessor(os.environ)
        self.inheritance = Inheritance(
            listen_fds(os.environ, os.getpid()), self.predecessor.sockets
        )
        self.notifier = Notifier(os.environ, os.getpid())
        self.signals = SignalPipe(SIGNALS)
        #: What was said of the time that an end takes.
        self._grace = ""
        #: Where the admin side listens, whatever is reloaded.
        self.admin: list[Listener] = []
        #: Whether another process has taken over.
        self.succeeded = False
        try:
            self.present = self._open(configure)
        except BaseException:
            self._close_listeners(self.admin)
            self.signals.close()
            raise
        try:
            self._settle()
        except BaseException:
            self.close()
            raise

    def announce(self, summary: str) -> None:
        """The server answers: says so, and sends a predecessor home."""
        several = len(self.present.deployments) > 1
        for name, deployment in self.present.deployments.items():
            for listener in deployment.listeners:
                whose = f" ({name})" if several else ""
                LOG.info("listening on %s%s", listener.url, whose)
        self.say_grace()
        if self.predecessor:
            self._write_pid()
            self.predecessor.dismiss()
            self.hand_over(os.getpid())
            generations.apply_options(self.present, to=self.present.listeners)
        self.notifier.ready(summary)

    def say_grace(self) -> None:
        """Under Kubernetes: says how long an end may take, where that is news."""
        grace = self.present.grace()
        if grace != self._grace and "KUBERNETES_SERVICE_HOST" in os.environ:
            self._grace = grace
            LOG.info("terminationGracePeriodSeconds must exceed %s", grace)

    def stop_listening(self) -> None:
        """Closes this process's copies of the services' sockets."""
        self._close_listeners(self.present.listeners)

    def hand_over(self, pid: int) -> None:
        """The files of the sockets are now that process's to remove."""
        self.succeeded = pid != os.getpid()
        for listener in (*self.present.listeners, *self.admin):
            listener.owner = pid

    def reopen_logs(self) -> None:
        """Opens the log files anew, for the workers to do the same."""
        rotation.reopen()
        self._hand_over_logs()
        LOG.info("log files reopened")

    def wait_for_signals(self, seconds: float) -> None:
        """Returns when one is there to be taken, or the time is over."""
        poll = unpatched.poll()
        poll.register(self.signals.fileno(), select.POLLIN)
        poll.poll(seconds * 1000)

    def leave_behind(self, keep: Collection[int]) -> None:
        """In a forked child: closes sockets and pipes that are not in `keep`."""
        self.present.leave_behind(keep)
        for listener in self.admin:
            listener.leave_behind(keep)
        inherited = [fd for _, fd in self.inheritance.systemd]
        forks.close([*inherited, *self.predecessor.fds(), *self.directory.fds()], keep)

    def close(self) -> None:
        """Closes everything and puts the program's own handlers back."""
        self._close_listeners([*self.present.listeners, *self.admin])
        if self._pid_file is not None:
            self._pid_file.remove(os.getpid())
        self.predecessor.close()
        self.signals.close()

    @staticmethod
    def _close_listeners(listeners: Iterable[Listener]) -> None:
        for listener in listeners:
            listener.close()

    def _open(self, configure: Callable[[], Sequence[Service]]) -> Generation:
        """The first generation; waits a while for an address in use, or to load it."""
        retry = Retry(self.bind_retry)
        services = configure()
        check(services)
        settings = services[0].settings
        self.start = Start(settings, whole=bool(self.predecessor))
        if self.start.longest:
            self.notifier.starting(self.start.longest + settings.worker_ready_timeout)
        while True:
            try:
                self.admin = self.admin or open_admin_listeners(
                    services[0].settings, self.inheritance
                )
                generation = generations.build(
                    1, services, inheritance=self.inheritance
                )
            except AddressInUse as exc:
                self.wait_for_signals(retry.pause(exc))
            except LoadError as exc:
                self.wait_for_signals(self.start.pause(exc))
            else:
                self.inheritance.close()
                return generation
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
        for deployment in self.present.deployments.values():
            rotation.hand_over_all(deployment.identity)
