"""The server of platforms that do not fork: workers are the same program, started again.

The supervisor is the one that forks elsewhere, with its generations, reloads and rations. It
gives its workers the sockets, and tells them through a socket what to do; where Windows has
jobs, it ends them with it.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from typing import Any

from ._process.births import MARK
from ._system.job_object import JobObject
from .errors import ExitStatus, ServerError
from .server import BaseServer


class Win32ProcessLauncher:
    """Starts processes, and lets none of them outlive this one, whatever ends it."""

    def __init__(self) -> None:
        self._job = JobObject()
        self.processes: list[subprocess.Popen[bytes]] = []

    def add_process(
        self, cmd: Sequence[str], **keywords: Any
    ) -> subprocess.Popen[bytes]:
        """Starts `cmd` with the `keywords` of `subprocess.Popen`.

        Raises `ServerError` when the program cannot be started.
        """
        try:
            process = subprocess.Popen(list(cmd), **keywords)  # noqa: S603
        except OSError as exc:
            raise ServerError(f"cannot start {cmd[0]}: {exc.strerror}") from exc
        self._job.add(process)
        self.processes.append(process)
        return process

    def wait(self) -> None:
        """Returns when all have ended; ends them when it is interrupted itself."""
        try:
            while self.processes:
                self.processes[-1].wait()
                self.processes.pop()
        finally:
            self.stop()

    def stop(self) -> None:
        """Ends the processes that still run."""
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait()
        self.processes.clear()


class Win32Server(BaseServer):
    """Serves from worker processes that it starts, and that share its sockets.

    The program must come to `start` by itself when it is started again with the same
    arguments; a worker never comes back from there. With `workers = 0` nothing is started.
    """

    spawns = True

    @property
    def is_worker(self) -> bool:
        """Whether this process was started as a worker, for what only the parent does."""
        supervisor = self._supervisor
        return MARK in os.environ or (supervisor is not None and supervisor.is_worker)

    def run_child(self) -> None:
        """Starts the program again as a worker that is missing, or as one more.

        Raises `BootError` when the system has no room for it. Workers that die later are
        replaced by `wait` itself. In a worker this is where it serves.
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
