"""Where a client connection can be, and where it can go from there."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final


class State(enum.Enum):
    """Where a connection is; the value says what it does there."""

    PREFACE = "waits for a PROXY header"
    HANDSHAKE = "agrees on TLS"
    HEAD = "reads a head"
    IDLE = "waits for the next request"
    BODY = "waits for the rest of a small body"
    READY = "has a request that may run"
    RUNNING = "runs a request"
    FLUSHING = "sends the end of a response"
    DISCARDING = "reads over the rest of a body"
    LINGERING = "has half-closed, and waits for the client to do so"
    CLOSED = "is closed"


_REFUSED: Final = {State.LINGERING: "refused"}

#: From each state: where to, and why. Every state but the last can be left for CLOSED, when
#: the client closes, its time is over or the worker ends; that is not repeated here.
TRANSITIONS: Final[Mapping[State, Mapping[State, str]]] = {
    State.PREFACE: {State.HANDSHAKE: "header, TLS", State.HEAD: "header"},
    State.HANDSHAKE: {State.HEAD: "agreed"},
    State.HEAD: {
        State.IDLE: "silent, and drained",
        State.READY: "request",
        State.BODY: "body to come",
        **_REFUSED,
    },
    State.IDLE: {
        State.HEAD: "a part",
        State.READY: "request",
        State.BODY: "body to come",
        State.LINGERING: "refused, drained",
    },
    State.BODY: {State.READY: "body", **_REFUSED},
    State.READY: {State.RUNNING: "its turn", **_REFUSED},
    State.RUNNING: {
        State.FLUSHING: "some unsent",
        State.DISCARDING: "some unread",
        State.IDLE: "answered",
        State.LINGERING: "the last, or refused",
    },
    State.FLUSHING: {
        State.DISCARDING: "some unread",
        State.IDLE: "sent",
        State.LINGERING: "the last",
    },
    State.DISCARDING: {State.IDLE: "read over", State.LINGERING: "too much"},
    State.LINGERING: {},
    State.CLOSED: {},
}


def may_follow(before: State, after: State) -> bool:
    """Whether a connection may go from one state to another."""
    if after is State.CLOSED:
        return before is not State.CLOSED
    return after in TRANSITIONS[before]


#: Where a connection is, in the words of metrics; one that drains is told apart elsewhere.
SHOWN: Final[Mapping[State, str]] = {
    **dict.fromkeys(State, "reading"),
    **dict.fromkeys((State.READY, State.RUNNING), "running"),
    **dict.fromkeys((State.FLUSHING, State.LINGERING, State.CLOSED), "writing"),
    State.IDLE: "idle",
}
