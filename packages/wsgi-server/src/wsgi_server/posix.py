"""The server of platforms that fork."""

from __future__ import annotations

from .errors import ExitStatus
from .server import BaseServer


class PosixServer(BaseServer):
    """Serves from worker processes that share its sockets.

    The process stays in the process group that it was started in, so that Ctrl-C reaches
    it, and never signals a group: its own workers are all that it stops.
    """

    def run_child(self) -> None:
        """Forks a worker that is missing, or one more than configured where none is.

        Raises `BootError` when the system has no room for it. Workers that die later are
        replaced by `wait` itself.
        """
        self._running_supervisor().fork_one()

    def wait_on_children(self) -> ExitStatus:
        """Replaces workers that die, reloads, and returns when all have stopped."""
        return self._supervise()

    def kill_children(self, *args: object) -> None:
        """Stops the workers when they have answered what they have, and the server.

        Usable as a signal handler. While `wait` runs it does the stopping; otherwise the
        workers are told at once, and a later `wait` returns when they have left.
        """
        supervisor = self._running_supervisor()
        self.running = False
        supervisor.stop(graceful=True)
        if not supervisor.waiting:
            supervisor.dismiss()
