"""The worker's side of `spawned`: the program has come to where its supervisor forks."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import pickle
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from wsgi_server._net.listeners import Listener
from wsgi_server._process.checks import prepare
from wsgi_server._process.service import Deployment, Service
from wsgi_server._process.worker import Assignment, end_with
from wsgi_server._process.worker_pipe import Failed, Reporter
from wsgi_server._process.workers import SLOTS
from wsgi_server._scoreboard.slots import Scoreboard, board_size
from wsgi_server._system import handover, unpatched
from wsgi_server._system.platform import IN
from wsgi_server.errors import ConfigError, ExitStatus, ServerError

from . import MARK
from .channel import ChannelTies, receive

if TYPE_CHECKING:
    from wsgi_server._config.settings import Settings


class Reborn:
    """What the supervisor wants of this process. See `reborn_if_any`."""

    def __init__(self) -> None:
        # What this one starts is no worker.
        del os.environ[MARK]
        with open(0, "rb", closefd=False) as stdin:
            first = json.loads(stdin.read() or b"{}")
        if not first:
            # The supervisor was gone before it could say.
            sys.exit(ExitStatus.OK)
        nothing = unpatched.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        if first["pid"] != os.getpid():
            raise ConfigError(
                f"process {first['pid']} was given the sockets and has started this one: "
                f"start the server with the interpreter itself, not with {sys.executable}"
            )
        self._channel = handover.take(first["channel"])
        self._job: dict[str, Any] = json.loads(self._read_line())
        settings: Settings = pickle.loads(  # noqa: S301  our own supervisor's
            base64.b64decode(self._job["settings"])
        )
        self._settings = settings
        #: The sockets that it is to serve on.
        self.listeners = [
            Listener(
                handover.take(given),
                pickle.loads(bytes.fromhex(source)),  # noqa: S301  as above
                part,
                owner=None,
            )
            for given, source, part in self._job["listeners"]
        ]

    def live(
        self,
        services: Sequence[Service],
        in_child: Callable[[], object] | None,
        before_exit: Callable[[float], object] | None,
    ) -> NoReturn:
        """Is that worker from now on; where it cannot be, it says why and ends."""
        ties = ChannelTies(self._channel)
        try:
            job = self._assignment(services, ties, in_child, before_exit)
        except ServerError as exc:
            Reporter(ties.send).send(Failed(str(exc), exc.exit_status))
            sys.exit(exc.exit_status)
        end_with(job)

    def _assignment(
        self,
        services: Sequence[Service],
        ties: ChannelTies,
        in_child: Callable[[], object] | None,
        before_exit: Callable[[float], object] | None,
    ) -> Assignment:
        name = self._job["service"]
        service = next((one for one in services if one.name == name), None)
        if service is None:
            raise ConfigError(f"{name}: the program has no such service, started again")
        # The operator's files may have changed since; the supervisor has not read them yet.
        settings = dataclasses.replace(
            self._settings, access_logger=service.settings.access_logger
        )
        prepared = prepare(settings)
        listeners = [
            dataclasses.replace(one, tls=prepared.tls) for one in self.listeners
        ]
        deployment = Deployment(
            dataclasses.replace(service, settings=settings),
            listeners,
            prepared.identity,
        )
        observed = self._job["observed"]
        memory = handover.SharedMemory(
            board_size(SLOTS, observed=observed), self._job["memory"]
        ).memory
        board = Scoreboard(SLOTS, observed=observed, memory=memory)
        slot = board.slots[self._job["slot"]]
        return Assignment(deployment, slot, ties, lambda: None, in_child, before_exit)

    def _read_line(self) -> bytes:
        poll = unpatched.poll()
        poll.register(self._channel.fileno(), IN)
        data = b""
        while not data.endswith(b"\n"):
            try:
                piece = receive(self._channel)
            except BlockingIOError:
                poll.poll()
                continue
            if not piece:
                sys.exit(ExitStatus.OK)
            data += piece
        return data
