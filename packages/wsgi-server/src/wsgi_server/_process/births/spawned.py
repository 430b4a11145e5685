"""Workers that are the program itself, started again with the same arguments.

The supervisor's side; `reborn` is the worker's. It is given its end of a socket through its
standard input, and everything else through that.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from wsgi_server._system import handover, unpatched
from wsgi_server._system.edges import socket_pair
from wsgi_server._system.job_object import JobObject
from wsgi_server._system.signals import Signal, SignalPipe

from . import MARK
from .channel import ChannelInbox

if TYPE_CHECKING:
    import socket

    from wsgi_server._process.service import Deployment
    from wsgi_server._scoreboard.slots import Scoreboard, Slot


class Spawning:
    """`memory` is what `board` is in."""

    def __init__(
        self,
        signals: SignalPipe,
        board: Scoreboard,
        memory: handover.SharedMemory,
        *,
        observed: bool,
    ) -> None:
        self._signals = signals
        self._board = board
        self._memory = memory
        self._observed = observed
        self._job = JobObject()

    def bear(
        self, deployment: Deployment, slot: Slot, go: Callable[[], object]
    ) -> SpawnedProcess:
        """See `Births`."""
        ours, theirs = socket_pair()
        try:
            process = self._start(deployment, theirs)
        except OSError:
            ours.close()
            theirs.close()
            raise
        self._job.add(process)
        inbox = ChannelInbox(ours)
        first = {"pid": process.pid, "channel": handover.give(theirs, process.pid)}
        born = SpawnedProcess(process, inbox, theirs, self._signals)
        # One that has ended already takes nothing; its end says the rest.
        with contextlib.suppress(OSError):
            assert process.stdin is not None  # noqa: S101  it was asked for
            process.stdin.write(json.dumps(first).encode())
            process.stdin.close()
            inbox.send(self._assignment(deployment, slot, process.pid))
        return born

    def _start(
        self, deployment: Deployment, theirs: socket.socket
    ) -> subprocess.Popen[bytes]:
        socks = [theirs, *(listener.sock for listener in deployment.listeners)]
        environ = {**os.environ, MARK: "1"}
        process: subprocess.Popen[bytes] = unpatched.popen(
            # What we were started with ourselves.
            [_interpreter(environ), *sys.orig_argv[1:]],
            stdin=subprocess.PIPE,
            bufsize=0,
            env=environ,
            # Ctrl-C is for the supervisor, also while they are still being loaded.
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            **handover.inherited(socks, self._memory),
        )
        return process

    def _assignment(self, deployment: Deployment, slot: Slot, pid: int) -> bytes:
        # A logger is the program's own, and comes to a worker with the program.
        settings = dataclasses.replace(deployment.service.settings, access_logger=None)
        listeners = [
            (handover.give(one.sock, pid), pickle.dumps(one.source).hex(), one.part)
            for one in deployment.listeners
        ]
        job = {
            "service": deployment.service.name,
            "settings": base64.b64encode(pickle.dumps(settings)).decode(),
            "listeners": listeners,
            "memory": self._memory.token,
            "observed": self._observed,
            "slot": self._board.slots.index(slot),
        }
        return json.dumps(job).encode() + b"\n"


class SpawnedProcess:
    """See `Process`."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        inbox: ChannelInbox,
        theirs: socket.socket,
        signals: SignalPipe,
    ) -> None:
        self.pid = process.pid
        self.inbox = inbox
        self._process = process
        # Windows wants it open until it was taken; then it would hide the worker's end.
        self._theirs: socket.socket | None = theirs
        self._signals = signals
        if sys.platform == "win32":
            unpatched.start_new_thread(self._watch, ())
        else:
            self.taken()

    def taken(self) -> None:
        """The worker has its end."""
        if self._theirs is not None:
            self._theirs.close()
            self._theirs = None

    def tell(self, order: Mapping[str, Any]) -> None:
        with contextlib.suppress(OSError):
            self.inbox.send(json.dumps(order).encode() + b"\n")

    def signal(self, signum: Signal) -> None:
        leave = signum in (Signal.SIGTERM, Signal.SIGQUIT)
        if signum == Signal.SIGKILL or (leave and not self.inbox.heard):
            # One that is still loading hears no order.
            self._process.kill()
        elif leave or signum == Signal.SIGUSR1:
            self.tell({"signal": signum})

    def end(self) -> tuple[int | None, float] | None:
        if self.inbox.heard:
            self.taken()
        code = self._process.poll()
        return None if code is None else (code, 0.0)

    def close(self) -> None:
        self.taken()

    def fds(self) -> list[int]:
        return []

    def _watch(self) -> None:
        """In a native thread: no signal says here that a child has ended."""
        self._process.wait()
        # The supervisor may have ended meanwhile, and its pipe with it.
        with contextlib.suppress(OSError):
            self._signals.send(Signal.SIGCHLD)


def _interpreter(environ: dict[str, str]) -> str:
    """The interpreter itself: what a virtual environment has only starts it.

    Sockets are given to a process by its number, and that one would be another's.
    """
    if sys.platform == "win32" and sys.prefix != sys.base_prefix:
        base = os.path.join(sys.base_prefix, os.path.basename(sys.executable))
        if os.path.isfile(base):
            environ["__PYVENV_LAUNCHER__"] = sys.executable
            return base
    return sys.executable
