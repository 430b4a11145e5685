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
from collections.abc import Mapping, MutableMapping
from typing import Final, NoReturn

from wsgi_server._system import unpatched
from wsgi_server._system.signals import blocked

LOG = logging.getLogger(__name__)


#: Listening sockets by name, as JSON.
_SOCKETS: Final = "WSGI_SERVER_SOCKETS"
#: The descriptor to write to.
_READY: Final = "WSGI_SERVER_READY"
#: What systemd meant for the old process alone.
_NOT_INHERITED: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID")


class Successor:
    """The new supervisor, as its predecessor sees it.

    `sockets` are the descriptors it inherits by name, `directory` is where the command was
    started: its arguments may be relative. It is overdue at `due` (monotonic seconds).
    Raises `OSError` when nothing can be forked.
    """

    def __init__(self, sockets: Mapping[str, int], directory: str, due: float) -> None:
        self.due = due
        #: Whether it was asked to go, so that its end is no failure.
        self.unwanted = False
        reader, writer = os.pipe()
        with blocked(signal.valid_signals()) as gate:
            self.pid: int = unpatched.fork()
            if self.pid == 0:
                _become(sockets, directory, writer, gate)
        os.close(writer)
        os.set_blocking(reader, False)
        self._reader = reader

    def fileno(self) -> int:
        """Readable when it is ready or has failed."""
        return self._reader

    def is_ready(self) -> bool:
        """Whether it has taken over; called once `fileno()` is readable."""
        return bool(unpatched.read(self._reader, 16))

    def stop(self) -> None:
        """Asks it to go: its predecessor stops, or has waited too long."""
        self.due = math.inf
        self.unwanted = True
        # ESRCH: it has gone already.
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)

    def close(self) -> None:
        """Closes the pipe."""
        os.close(self._reader)

    def has_ended(self) -> bool:
        """Whether it is gone; it is then reaped."""
        try:
            return bool(unpatched.waitpid(self.pid, os.WNOHANG)[0])
        except ChildProcessError:
            # ECHILD: the embedding program has reaped it.
            return True


class Predecessor:
    """The old supervisor, as its successor sees it: sockets, and a word when ready."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        # Taken out, so that what the workers start does not believe in them.
        ready = environ.pop(_READY, None)
        self.sockets: dict[str, int] = json.loads(environ.pop(_SOCKETS, "{}"))
        self._writer = None if ready is None else int(ready)
        for fd in (self._writer, *self.sockets.values()):
            if fd is not None:
                os.set_inheritable(fd, False)

    def __bool__(self) -> bool:
        return self._writer is not None

    def fds(self) -> list[int]:
        """What a worker must not keep open."""
        return [] if self._writer is None else [self._writer]

    def dismiss(self) -> None:
        """Says that the workers are ready; the old supervisor then drains."""
        if self._writer is not None:
            try:
                unpatched.write(self._writer, b"ready\n")
            except BrokenPipeError:
                LOG.warning("the old supervisor was gone before it could be told")
            self.close()

    def close(self) -> None:
        """Closes the pipe; without `dismiss` the old supervisor stays."""
        if self._writer is not None:
            os.close(self._writer)
            self._writer = None


def _become(
    sockets: Mapping[str, int], directory: str, ready: int, gate: blocked
) -> NoReturn:
    """In the child: turns into the new supervisor, or ends."""
    try:
        environ = {k: v for k, v in os.environ.items() if k not in _NOT_INHERITED}
        environ[_SOCKETS] = json.dumps(dict(sockets))
        environ[_READY] = str(ready)
        for fd in (ready, *sockets.values()):
            os.set_inheritable(fd, True)
        os.chdir(directory)
        # A mask survives exec: let signals through, with the default handlers first.
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
            signal.signal(signum, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        gate.release()
        os.execve(  # noqa: S606  the very command we were started with
            sys.executable, [sys.executable, *sys.orig_argv[1:]], environ
        )
    # Nothing may fall back into the supervisor's stack.
    except BaseException:
        LOG.exception("cannot start %s again", sys.executable)
    finally:
        os._exit(1)
