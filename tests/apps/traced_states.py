"""`apps.exercise:app`, with a note of each way that a connection goes between two states.

The file that `WAYS` names in the environment gets a line for each, once.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from wsgi_server._connection import probed
from wsgi_server._connection.connection import Connection
from wsgi_server._connection.state import State

from .exercise import TEXT, Environ, StartResponse
from .exercise import app as exercise

WAYS = os.open(os.environ["WAYS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
SEEN: set[tuple[State, State]] = set()


class Traced(Connection):
    """A connection whose every change of state is noted."""

    __slots__ = ("_now",)

    @property
    def state(self) -> State:
        return self._now

    @state.setter
    def state(self, new: State) -> None:
        way = (getattr(self, "_now", new), new)
        if way not in SEEN and way[0] is not new:
            SEEN.add(way)
            os.write(WAYS, f"{way[0].name} {new.name}\n".encode())
        self._now = new


# What a client is from now on.
vars(probed)["Connection"] = Traced


def app(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    """`/block` is as many bytes as the query asks for, at once."""
    if environ["PATH_INFO"] != "/block":
        return exercise(environ, start)
    start("200 OK", [TEXT])
    return [b"x" * int(environ["QUERY_STRING"])]
