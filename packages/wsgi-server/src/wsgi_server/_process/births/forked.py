"""Workers that are forked, as everywhere but on Windows."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from wsgi_server._engines import preload
from wsgi_server._process.worker import Assignment, run
from wsgi_server._process.worker_pipe import Inbox
from wsgi_server._system import forks, unpatched
from wsgi_server._system.signals import Signal, SignalPipe, blocked

from .pipes import PipeTies

if TYPE_CHECKING:
    from wsgi_server._process.service import Deployment
    from wsgi_server._scoreboard.slots import Slot


class Forking:
    """`in_child` and `before_exit` are those of the supervisor."""

    def __init__(
        self,
        signals: SignalPipe,
        in_child: Callable[[], object] | None,
        before_exit: Callable[[float], object] | None,
    ) -> None:
        self._signals = signals
        self._in_child = in_child
        self._before_exit = before_exit

    def bear(
        self, deployment: Deployment, slot: Slot, go: Callable[[], object]
    ) -> ForkedProcess:
        """See `Births`."""
        preload(deployment.service.settings.engine)
        with contextlib.ExitStack() as undo:
            inbox, report = _pipe(undo)
            ending, life = _pipe(undo)
            ties = PipeTies(report, ending)
            job = Assignment(
                deployment, slot, ties, go, self._in_child, self._before_exit
            )
            handled = self._signals.handled
            with blocked(signal.valid_signals()) as gate:
                pid = forks.fork()
                if pid == 0:
                    forks.close((inbox, life))
                    run(job, gate.release, handled)
            undo.pop_all()
        os.close(report)
        os.close(ending)
        os.set_blocking(life, False)
        return ForkedProcess(pid, Inbox(inbox), life)


class ForkedProcess:
    """See `Process`; `life` is the writing end of the pipe that ends with us."""

    def __init__(self, pid: int, inbox: Inbox, life: int) -> None:
        self.pid = pid
        self.inbox = inbox
        self._life = life

    def tell(self, order: Mapping[str, Any]) -> None:
        # EPIPE: it is gone. EAGAIN: it has not read for long, and will be dealt with.
        with contextlib.suppress(BrokenPipeError, BlockingIOError):
            unpatched.write(self._life, json.dumps(order).encode() + b"\n")

    def signal(self, signum: Signal) -> None:
        # ESRCH: the embedding program has reaped it.
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signum)

    def end(self) -> tuple[int | None, float] | None:
        try:
            pid, status, usage = unpatched.wait4(self.pid, os.WNOHANG)
        except ChildProcessError:
            # ECHILD: the embedding program reaps children itself.
            return None, 0.0
        if not pid:
            return None
        return os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime

    def close(self) -> None:
        os.close(self._life)

    def fds(self) -> list[int]:
        return [self._life]


def _pipe(undo: contextlib.ExitStack) -> tuple[int, int]:
    """A pipe that `undo` closes."""
    ends = os.pipe()
    for fd in ends:
        undo.callback(os.close, fd)
    return ends
