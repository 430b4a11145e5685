"""What a worker tells the supervisor, through the pipe whose end is also its death.

One JSON object per line. Anything else on the pipe is the stack that faulthandler wrote
there, because a worker that hangs can write nothing better.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from wsgi_server._system import unpatched
from wsgi_server.errors import ExitStatus


@dataclass(frozen=True, slots=True)
class Ready:
    """The application is loaded and connections are accepted."""


@dataclass(frozen=True, slots=True)
class Failed:
    """It cannot be, and why."""

    reason: str
    status: ExitStatus


@dataclass(frozen=True, slots=True)
class Due:
    """The worker wants to be replaced, and why: in a word for metrics, and in full."""

    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class Leaving:
    """The worker drains although the supervisor did not ask."""


@dataclass(frozen=True, slots=True)
class Answered:
    """All is answered; what the application forked may go."""


@dataclass(frozen=True, slots=True)
class Forked:
    """Sent by a process that the application forked, of itself."""

    pid: int


@dataclass(frozen=True, slots=True)
class Stacks:
    """Where the threads and greenlets of the worker stand."""

    text: str


Message = Ready | Failed | Due | Leaving | Answered | Forked | Stacks

_KINDS: Final[Mapping[str, type[Message]]] = {
    kind.__name__: kind
    for kind in (Ready, Failed, Due, Leaving, Answered, Forked, Stacks)
}
#: Characters of a reason: a message should arrive whole (POSIX: up to PIPE_BUF). Stacks do
#: not, and are no longer than a pipe takes at once.
_LONGEST: Final = 1000
_LONGEST_STACKS: Final = 40_000


class Ties(Protocol):
    """What ties a worker to its supervisor, as the worker has it.

    Two pipes or one socket: messages go one way, orders the other, and each side learns by
    the end of it that the other is gone.
    """

    @property
    def descriptors(self) -> list[int]:
        """What a worker must not close, and what it forks has to."""

    def fileno(self) -> int:
        """The descriptor to poll for orders, and for the supervisor's end."""

    def begin(self) -> None:
        """From now on the supervisor's end ends a worker that is still loading."""

    def limit(self, seconds: float) -> None:
        """From now on it gives a worker so many seconds, whatever holds up its loop."""

    def has_ended(self) -> bool:
        """Whether the supervisor is gone."""

    def send(self, data: bytes, /) -> object:
        """Sends a message. Raises `ConnectionError` where nobody reads any more."""

    def receive(self) -> bytes:
        """Orders, empty for the end. Raises `BlockingIOError` where none has come."""

    def has_room(self) -> bool:
        """Whether a message can be sent without waiting."""

    def leave_behind(self, keep: Collection[int]) -> None:
        """In a process that the application forked: unties it."""


class Reporter:
    """The worker's end of the pipe."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self.write = write

    def send(self, message: Message) -> None:
        """Writes one message."""
        longest = _LONGEST_STACKS if isinstance(message, Stacks) else _LONGEST
        fields = {
            name: value[:longest] if isinstance(value, str) else value
            for name, value in dataclasses.asdict(message).items()
        }
        line = json.dumps({type(message).__name__: fields})
        # EPIPE: the supervisor is gone. Where orders come from says so too, and what to do.
        with contextlib.suppress(ConnectionError):
            self.write(line.encode() + b"\n")


class Inbox:
    """The supervisor's end: messages, and whatever else the worker wrote."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._unblock()
        #: Whether it has said anything.
        self.heard = False
        #: False once the worker, and whoever inherited its end, is gone.
        self.open = True
        self._partial = b""
        self._dump: list[str] = []

    def take(self) -> list[Message]:
        """The messages that have arrived; never waits."""
        messages = []
        for line in self._lines():
            message = _parse(line)
            if message is None:
                self._dump.append(line)
            else:
                messages.append(message)
        self.heard = self.heard or bool(messages)
        return messages

    @property
    def dumped(self) -> int:
        """Lines of the stack that was written so far."""
        return len(self._dump)

    def take_dump(self) -> str:
        """The stack that was written since the last call."""
        dump, self._dump = "\n".join(self._dump), []
        return dump

    def close(self) -> None:
        """Closes the descriptor; what was read before can still be taken."""
        os.close(self.fd)
        self.fd = -1

    def _unblock(self) -> None:
        os.set_blocking(self.fd, False)

    def _read(self) -> bytes:
        return unpatched.read(self.fd, 65536)

    def _lines(self) -> list[str]:
        if self.fd < 0:
            return []
        data = self._partial
        # EAGAIN: that was all for now.
        with contextlib.suppress(BlockingIOError):
            while chunk := self._read():
                data += chunk
            self.open = False
        *lines, self._partial = data.split(b"\n")
        return [line.decode(errors="replace") for line in lines]


class Orders:
    """The worker's end of the other pipe: what the supervisor tells it."""

    def __init__(self, receive: Callable[[], bytes]) -> None:
        self._receive = receive
        #: False once the supervisor is gone.
        self.open = True
        self._partial = b""

    def take(self) -> list[Mapping[str, Any]]:
        """The orders that have arrived; never waits."""
        # EAGAIN: that was all for now.
        with contextlib.suppress(BlockingIOError):
            while chunk := self._receive():
                self._partial += chunk
            self.open = False
        *lines, self._partial = self._partial.split(b"\n")
        return [json.loads(line) for line in lines]


def _parse(line: str) -> Message | None:
    if not line.startswith("{"):
        return None
    try:
        ((kind, fields),) = json.loads(line).items()
        if kind == "Failed":
            return Failed(fields["reason"], ExitStatus(fields["status"]))
        return _KINDS[kind](**fields)
    except (ValueError, KeyError, TypeError):
        return None
