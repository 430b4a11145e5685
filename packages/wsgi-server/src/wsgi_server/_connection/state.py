"""Where a client connection can be."""

from __future__ import annotations

import enum


class State(enum.Enum):
    """Where a connection is. In IDLE and HEAD it reads requests.

    PREFACE waits for a PROXY header, BODY for the rest of a small body. FLUSHING sends
    the end of a response, DISCARDING reads over the rest of a body, LINGERING has
    half-closed and waits for the client to do so.
    """

    IDLE = 0
    HEAD = 1
    HANDSHAKE = 2
    READY = 3
    RUNNING = 4
    DISCARDING = 5
    LINGERING = 6
    CLOSED = 7
    PREFACE = 8
    BODY = 9
    FLUSHING = 10
