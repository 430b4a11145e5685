"""What a worker tells the supervisor, through the pipe whose end is also its death.

One JSON object per line. Anything else on the pipe is the stack that faulthandler wrote
there, because a worker that hangs can write nothing better.
"""

from __future__ import annotations

import contextlib
import enum
import json
import os
from dataclasses import dataclass

from wsgi_server._system import unpatched


class Topic(enum.Enum):
    """What a message is about."""

    #: The application is loaded and connections are accepted.
    READY = "ready"
    #: It cannot be; `status` and `text` say why.
    FAILED = "failed"
    #: It wants to be replaced; `text` says why.
    DUE = "due"
    #: It drains although the supervisor did not ask.
    LEAVING = "leaving"


@dataclass(frozen=True, slots=True)
class Message:
    """One fact about a worker."""

    topic: Topic
    text: str = ""
    status: int = 0


class Reporter:
    """The worker's end of the pipe."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def send(self, topic: Topic, text: str = "", status: int = 0) -> None:
        """Writes one message; short ones arrive whole (POSIX: up to PIPE_BUF)."""
        line = json.dumps({"topic": topic.value, "text": text[:1000], "status": status})
        # EPIPE: the supervisor is gone. The other pipe says so too, and what to do.
        with contextlib.suppress(BrokenPipeError):
            unpatched.write(self.fd, line.encode() + b"\n")


class Inbox:
    """The supervisor's end: messages, and whatever else the worker wrote."""

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self.fd = fd
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
        return messages

    def take_dump(self) -> str:
        """The stack that was written since the last call."""
        dump, self._dump = "\n".join(self._dump), []
        return dump

    def close(self) -> None:
        """Closes the descriptor; what was read before can still be taken."""
        os.close(self.fd)
        self.fd = -1

    def _lines(self) -> list[str]:
        if self.fd < 0:
            return []
        data = self._partial
        # EAGAIN: that was all for now.
        with contextlib.suppress(BlockingIOError):
            while chunk := unpatched.read(self.fd, 65536):
                data += chunk
            self.open = False
        *lines, self._partial = data.split(b"\n")
        return [line.decode(errors="replace") for line in lines]


def _parse(line: str) -> Message | None:
    if not line.startswith("{"):
        return None
    try:
        fields = json.loads(line)
        return Message(Topic(fields["topic"]), fields["text"], fields["status"])
    except (ValueError, KeyError):
        return None
