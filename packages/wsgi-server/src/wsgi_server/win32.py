"""The server of platforms that do not fork: workers are the same program, started again.

The parent opens the sockets. Each worker is given them through its standard input, whose
end also tells it that the parent is gone.
"""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import os
import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import IO, Any, Final

from . import pools
from ._net.listeners import Listener, open_listeners, reconfigure
from ._process.backoff import History, Ration
from .errors import ConfigError, ExitStatus, LoadError, ServerError
from .server import BaseServer, HasChanged

LOG = logging.getLogger(__name__)

#: In the environment of a worker: its sockets come through standard input.
WORKER_MARK: Final = "WSGI_SERVER_WORKER"
#: A worker that ended sooner never served, as far as anybody can tell here; in seconds.
_SETTLED: Final = 5.0


class Win32ProcessLauncher:
    """Starts processes, and lets none of them outlive this one's `wait`."""

    def __init__(self) -> None:
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

    def forget(self, pid: int) -> None:
        """Waits for that process no more."""
        self.processes = [p for p in self.processes if p.pid != pid]

    def stop(self) -> None:
        """Ends the processes that still run."""
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait()
        self.processes.clear()


class Win32Server(BaseServer):
    """Serves from processes that share its sockets by handing them over.

    The program must come to `start` and `wait` by itself when it is started again with
    the same arguments. Workers serve with eventlet's own WSGI server, because what our
    engines poll with is not there; TLS and Unix sockets are not there either, and a new
    configuration takes a restart.
    """

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self._launcher = Win32ProcessLauncher()
        self._listeners: list[Listener] = []
        self._sockets: list[socket.socket] = []
        self._ended: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._born: dict[int, float] = {}

    @property
    def sock(self) -> socket.socket | None:
        """The listening socket; None before `configure_socket`."""
        return self._sockets[0] if self._sockets else None

    @property
    def urls(self) -> list[str]:
        """Where clients find the server; empty before `configure_socket`."""
        return ["http://{}:{}".format(*sock.getsockname()) for sock in self._sockets]

    @property
    def children(self) -> set[int]:
        """The process ids of the workers."""
        return {p.pid for p in self._launcher.processes if p.poll() is None}

    def start_wsgi(self) -> None:
        """Starts the workers; with none configured `wait` serves in this process."""
        if not self._sockets:
            self.configure_socket()
        if _is_worker():
            return
        for _ in range(self._current().workers):
            self.run_child()
        # Until here a signal ends this process, and with it the workers.
        self.set_signal_handler("SIGTERM", self.kill_children)
        self.set_signal_handler("SIGINT", self.kill_children)
        for url in self.urls:
            LOG.info("listening on %s", url)

    def wait(self) -> ExitStatus:
        """Serves until the server is told to stop, and returns why it did."""
        if self._launcher.processes:
            return self.wait_on_children()
        self.run_server()
        return ExitStatus.OK

    def configure_socket(
        self,
        old_conf: Mapping[str, Any] | None = None,
        has_changed: HasChanged | None = None,
    ) -> None:
        """Opens the sockets, or takes them over from the parent.

        A changed address is opened before the old socket closes; workers that run keep
        the old one. Raises `ConfigError`, also for what this server cannot do, and
        `BindError`.
        """
        self._read_settings()
        self._refuse_what_is_not_there()
        if _is_worker():
            self._sockets = self._sockets or _receive(sys.stdin.buffer)
            return
        if self._sockets and has_changed is not None and not self._differs(has_changed):
            return
        old, settings = self._listeners, self._current()
        self._listeners = open_listeners(settings, present=old)
        self._sockets = [listener.sock for listener in self._listeners]
        for listener in old:
            if listener.sock in self._sockets:
                reconfigure(listener, settings)
            else:
                listener.close()

    def _refuse_what_is_not_there(self) -> None:
        settings = self._current()
        if settings.cert_file is not None:
            raise ConfigError(
                f"cert_file = {settings.cert_file}: Win32Server serves no TLS; end TLS "
                "in front of it, or take the option out"
            )
        if settings.engine != "eventlet":
            raise ConfigError(
                f"engine = {settings.engine}: Win32Server serves with eventlet alone"
            )

    def run_child(self) -> None:
        """Starts the program again as a worker, and gives it the sockets."""
        posix: dict[str, Any] = {}
        if sys.platform != "win32":
            posix["pass_fds"] = [sock.fileno() for sock in self._sockets]
        process = self._launcher.add_process(
            [sys.executable, *sys.orig_argv[1:]],
            stdin=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, WORKER_MARK: "1"},
            **posix,
        )
        self._born[process.pid] = monotonic()
        assert process.stdin is not None  # noqa: S101  it was asked for
        # One that has ended, or was told to leave, takes nothing any more.
        with contextlib.suppress(BrokenPipeError, ValueError):
            process.stdin.write(_handover(self._sockets, process.pid))

        def watch() -> None:
            process.wait()
            self._ended.put(process.pid)

        threading.Thread(target=watch, daemon=True).start()

    def run_server(self) -> None:
        """Serves `application` in this process until it is told to stop."""
        # Eventlet is imported by who serves, and by nobody before.
        from ._engines.eventlet_wsgi import serve

        if self.application is None:
            raise LoadError(f"{self.name} has no application: start was not called")
        settings = self._current()
        if _is_worker():
            # Its end says that the parent is gone, or wants this process gone.
            told: Callable[[], object] = sys.stdin.buffer.read
        else:
            stop = threading.Event()
            self.set_signal_handler("SIGTERM", lambda *_: stop.set())
            self.set_signal_handler("SIGINT", lambda *_: stop.set())
            told = stop.wait
        serve(
            self._sockets,
            self.application,
            self.pool,
            told,
            logger=settings.access_logger,
            keepalive=settings.http_keepalive,
            socket_timeout=settings.client_socket_timeout,
        )
        pools.wait_all_pools(settings.graceful_timeout)

    def wait_on_children(self) -> ExitStatus:
        """Replaces workers that die, and returns when all have stopped."""
        ration, history, missing = Ration(), History(), 0
        while self.running or self.children:
            # Waiting without an end could not be interrupted there.
            with contextlib.suppress(queue.Empty):
                pid = self._ended.get(timeout=0.5)
                self._launcher.forget(pid)
                if self.running:
                    LOG.error("worker %d ended; it is replaced", pid)
                    missing += 1
                    lived = monotonic() - self._born.pop(pid)
                    served = None if lived < _SETTLED else lived
                    history = history.died(monotonic(), served)
            due = max(ration.next, history.next(successor=False))
            if missing and self.running and monotonic() >= due:
                ration, missing = ration.spend(monotonic()), missing - 1
                self.run_child()
            if not self.running:
                # Who was started at the moment of the signal was not told by it.
                self.kill_children()
        self._launcher.wait()
        return ExitStatus.OK

    def kill_children(self, *args: object) -> None:
        """Tells the workers to answer what they have and leave, and stops the server."""
        self.running = False
        for process in self._launcher.processes:
            if process.stdin is not None:
                process.stdin.close()

    def hup(self, *args: object) -> None:
        """Says that a reload takes a restart."""
        self.reload()

    def reload(self) -> None:
        """Says that a reload takes a restart."""
        LOG.error("no reload: this platform takes a restart for it")


def _is_worker() -> bool:
    return WORKER_MARK in os.environ


def _handover(sockets: Sequence[socket.socket], pid: int) -> bytes:
    """Returns one line that gives the sockets to a process."""
    if sys.platform == "win32":
        shared = [base64.b64encode(sock.share(pid)).decode() for sock in sockets]
        return json.dumps(shared).encode() + b"\n"
    return json.dumps([sock.fileno() for sock in sockets]).encode() + b"\n"


def _receive(stream: IO[bytes]) -> list[socket.socket]:
    """Returns the sockets that such a line gives."""
    line = stream.readline()
    if not line:
        # The parent is gone, or wants this process gone, before it began.
        sys.exit(ExitStatus.OK)
    given = json.loads(line)
    if sys.platform == "win32":
        return [socket.fromshare(base64.b64decode(item)) for item in given]
    return [socket.socket(fileno=fd) for fd in given]
