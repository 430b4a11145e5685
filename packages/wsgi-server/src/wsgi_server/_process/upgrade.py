"""A new binary on the same sockets: SIGUSR2.

The supervisor starts its own command again. The new process inherits the listening sockets
and a pipe; it writes to the pipe when its workers are ready, and only then does the old one
drain. If the pipe ends without a word, nothing has happened.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NoReturn

from wsgi_server._system import forks, unpatched
from wsgi_server._system.predecessor import READY, SOCKETS
from wsgi_server._system.signals import Signal, blocked

from .admin.doors import NAME

if TYPE_CHECKING:
    from .main_process import MainProcess

LOG = logging.getLogger(__name__)

#: What systemd meant for the old process alone.
_NOT_INHERITED: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID")


class Upgrade:
    """The upgrade that is under way, or none, for supervisor and single process alike.

    Whoever waits for descriptors polls the one that `begin` returns, calls `settle` when it
    is readable, and `enforce` at `due`.
    """

    def __init__(self, main: MainProcess) -> None:
        self._main = main
        self._command = _command(main.directory.path)
        self._successor: _Successor | None = None
        #: New binaries that failed and have not ended yet.
        self._failed: list[_Successor] = []
        #: When the new binary must be ready (monotonic seconds).
        self.due = math.inf

    @property
    def under_way(self) -> bool:
        """Whether one has begun and not ended."""
        return self._successor is not None

    def fileno(self) -> int:
        """The descriptor that is readable when the new binary is ready or has failed."""
        if self._successor is None:
            raise ValueError("no upgrade is under way")
        return self._successor.reader

    def obstacle(self) -> str | None:
        """Why none can begin now, if so."""
        if os.getpid() == 1:
            return "PID 1 cannot hand over, its end ends the container"
        return "one is under way" if self.under_way else None

    def begin(self) -> bool:
        """Starts the command again on these sockets; false where that is impossible."""
        obstacle = self.obstacle()
        if obstacle is not None:
            LOG.error("no upgrade: %s", obstacle)
            return False
        present = self._main.present
        sockets = {
            f"{deployment.service.name} {listener.key}": listener.sock.fileno()
            for deployment in present.deployments.values()
            for listener in deployment.listeners
        }
        for listener in self._main.admin:
            sockets[f"{NAME} {listener.key}"] = listener.sock.fileno()
        try:
            self._successor = _Successor(
                sockets, self._main.directory.path, self._command
            )
        except OSError as exc:
            LOG.error("no upgrade: %s", exc)  # noqa: TRY400  one line says it
            return False
        limit = 2 * present.settings.worker_ready_timeout + self._main.bind_retry
        self.due = time.monotonic() + limit
        LOG.info("upgrade: process %d starts on our sockets", self._successor.pid)
        return True

    def enforce(self, now: float) -> None:
        """Asks the new binary to go where it is overdue."""
        if now >= self.due and self._successor is not None:
            LOG.error("upgrade: process %d is not ready in time", self._successor.pid)
            self.stop()

    def stop(self) -> None:
        """Asks the new binary to go: we stop, or it took too long."""
        self.due = math.inf
        if self._successor is not None:
            self._successor.stop()

    def settle(self) -> bool:
        """Hears the new binary out: true when it has taken over, false when it failed.

        In the first case the sockets' files, and systemd's eye, are its own.
        """
        successor, self._successor = self._successor, None
        self.due = math.inf
        if successor is None:
            return False
        if successor.is_ready():
            LOG.info("upgrade: process %d has taken over", successor.pid)
            self._main.notifier.main_pid(successor.pid)
            self._main.hand_over(successor.pid)
            return True
        if successor.unwanted:
            LOG.info("upgrade: process %d has left", successor.pid)
        else:
            LOG.error("upgrade: process %d failed; we go on", successor.pid)
        self._failed.append(successor)
        return False

    def reap(self) -> None:
        """Reaps new binaries that failed; called when a child has ended."""
        self._failed = [one for one in self._failed if not one.has_ended()]


class _Successor:
    """The new supervisor, as its predecessor sees it.

    `sockets` are the descriptors it inherits by name, `directory` is where `command` was
    started: its arguments may be relative. Raises `OSError` when nothing can be forked.
    """

    def __init__(
        self, sockets: Mapping[str, int], directory: str, command: Sequence[str]
    ) -> None:
        #: Whether it was asked to go, so that its end is no failure.
        self.unwanted = False
        self.reader, writer = os.pipe()
        with blocked(signal.valid_signals()) as gate:
            self.pid = forks.fork()
            if self.pid == 0:
                _become(sockets, directory, command, writer, gate)
        os.close(writer)
        os.set_blocking(self.reader, False)

    def is_ready(self) -> bool:
        """Whether it has taken over; closes the pipe that would say so."""
        try:
            return bool(unpatched.read(self.reader, 16))
        finally:
            os.close(self.reader)

    def stop(self) -> None:
        """Asks it to go."""
        self.unwanted = True
        # ESRCH: it has gone already.
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, Signal.SIGTERM)

    def has_ended(self) -> bool:
        """Whether it is gone; it is then reaped."""
        try:
            return bool(unpatched.waitpid(self.pid, os.WNOHANG)[0])
        except ChildProcessError:
            # ECHILD: the embedding program has reaped it.
            return True


def _command(directory: str) -> list[str]:
    """The command that started this process, by the paths that it was given.

    A script that the kernel started is started so again: another release of it may name
    another interpreter.
    """
    interpreter, *arguments = sys.orig_argv
    # None, or a script that is not to be read.
    with contextlib.suppress(IndexError, OSError), open(arguments[0], "rb") as script:
        line = script.readline().split()
        if line[:1] == [b"#!" + os.fsencode(interpreter)]:
            return arguments
    path = os.path.join(directory, interpreter)
    with contextlib.suppress(OSError):
        if os.sep in interpreter and os.path.samefile(path, sys.executable):
            return [path, *arguments]
    return [sys.executable, *arguments]


def _become(
    sockets: Mapping[str, int],
    directory: str,
    command: Sequence[str],
    ready: int,
    gate: blocked,
) -> NoReturn:
    """In the child: turns into the new supervisor, or ends."""
    try:
        environ = {k: v for k, v in os.environ.items() if k not in _NOT_INHERITED}
        environ[SOCKETS] = json.dumps(dict(sockets))
        environ[READY] = str(ready)
        for fd in (ready, *sockets.values()):
            os.set_inheritable(fd, True)
        os.chdir(directory)
        # A mask survives exec: let signals through, with the default handlers first.
        for signum in (Signal.SIGTERM, Signal.SIGINT, Signal.SIGQUIT, Signal.SIGHUP):
            signal.signal(signum, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        gate.release()
        # The very command we were started with.
        os.execve(command[0], [*command], environ)  # noqa: S606
    # Nothing may fall back into the supervisor's stack.
    except BaseException:
        LOG.exception("cannot start %s again", command[0])
    finally:
        os._exit(1)
