"""The seam between connections and engines: what each may ask of the other, and no more."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from .endpoint import Endpoint


class Next(enum.Enum):
    """What a connection wants of its engine; the value says when to `step` it again."""

    INPUT = "when something has arrived"
    OUTPUT = "when the client takes more"
    AGAIN = "in its turn: something may be there already"
    RUN = "not before `run`: a request is ready"
    NOTHING = "never: it is closed"


class Timed(Protocol):
    """A request, whose text names it for people while it runs."""

    @property
    def seconds(self) -> float:
        """What it took; 0 while it runs."""


class Running(NamedTuple):
    """A request that runs: since when (monotonic seconds), and which it is."""

    since: float
    method: str
    #: Without the query, which may hold secrets.
    path: str
    request_id: str
    #: The same one each time.
    itself: Timed


class Client(Protocol):
    """What an engine calls on a connection. None of it waits, but what runs in `run`."""

    #: Its descriptor; stays the same after it is closed.
    fd: int
    #: When `expire` is due, in monotonic seconds; infinity for never.
    deadline: float
    #: When the last `run` was over, in monotonic seconds.
    answered: float
    #: Where it came in; `move_to` changes it.
    endpoint: Endpoint

    def step(self, now: float) -> Next:
        """Takes in what has arrived, or sends what is left."""

    def run(self, now: float, waited: float = 0.0) -> Next:
        """Runs the request that is ready, and waited for so many seconds, to its end."""

    def expire(self, now: float) -> Next:
        """The deadline has passed."""

    def signal(self) -> None:
        """Something has arrived while a request runs or waits for its turn."""

    def end(self) -> None:
        """The client will send no more than what it has sent."""

    def refuse(self, status: int, detail: str) -> Next:
        """Answers for a request that is ready and will not be run."""

    def retire(self, now: float) -> None:
        """Its endpoint has retired, or stops: one that has no request may bring one yet."""

    def move_to(self, endpoint: Endpoint) -> None:
        """The next requests are for this one."""

    def seen(self) -> tuple[str, Running | None]:
        """Where it is, in the words of metrics, and the request that runs."""

    def request_due(self, now: float) -> float:
        """When the running request has lasted for `request_timeout`, or infinity."""

    def interrupt(self, where: str, fate: str, *, answer: bool) -> bool:
        """Notes that the running request has had its time; false where it was answered.

        The log says where it stands and what its fate is. With `answer` the client gets one
        from here, unless some of another was sent.
        """

    def cut(self, now: float, where: str) -> None:
        """Closes; names the request that runs, and at `where` it stands."""

    def close(self) -> None:
        """Closes at once. Harmless when it is closed already."""

    def abandon(self) -> None:
        """In a process that the application forked: who comes back to it there ends."""

    @property
    def idle(self) -> bool:
        """Whether it is between two requests, and can be closed without a loss."""


class Scheduler(Protocol):
    """What a connection may ask of its engine."""

    #: Exceptions that end whoever runs a request, from outside.
    killed_by: tuple[type[BaseException], ...]

    def wait(self, fd: int, deadline: float, *, writable: bool) -> None:
        """Returns when the client of the running request can be read from, or written to.

        Raises `TimeoutError` when `deadline` (monotonic seconds) comes first.
        """

    def breathe(self) -> None:
        """Lets others run, in the middle of a long transfer that never had to wait."""

    def forget(self, fd: int) -> None:
        """The connection is about to close its descriptor."""
