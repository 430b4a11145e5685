"""Where the whole server is, and what that comes to for a probe.

The supervisor knows and writes it into the memory that all processes share, so that a worker
can answer a probe by itself.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from typing import Final, NamedTuple


class Standing(enum.IntEnum):
    """Where the server is, for all of its workers."""

    #: The first generation is not ready yet.
    STARTING = 0
    SERVING = 1
    #: It serves; an operator asked for it to be not ready.
    HELD = 2
    #: It was told to stop, and serves until those who send clients have noticed.
    WITHDRAWN = 3
    #: It stops: what goes on is finished.
    STOPPING = 4


class Verdict(NamedTuple):
    """An answer to a probe: well or not, in a word, and why."""

    well: bool
    word: str
    reason: str

    def rendered(self, accept: str, drain_status: int) -> tuple[str, str, bytes]:
        """Status, content type and body, in JSON where `accept` names it.

        `drain_status` is that of a server that is well and wants no more clients.
        """
        status = "200 OK" if self.well else "503 Service Unavailable"
        if drain_status == 404 and self in (DRAINING, ON_HOLD):
            status = "404 Not Found"
        if "application/json" in accept:
            content = {"status": self.word, "reason": self.reason}
            return status, "application/json", json.dumps(content).encode() + b"\n"
        text = f"{self.word}: {self.reason}\n"
        return status, "text/plain; charset=utf-8", text.encode()


NOT_STARTED: Final = Verdict(False, "starting", "the first workers are not ready yet")
DRAINING: Final = Verdict(False, "draining", "the server was told to stop")
ON_HOLD: Final = Verdict(
    False, "held", "an operator asked for it: POST /undrain ends it"
)

_READY: Final[Mapping[Standing, Verdict]] = {
    Standing.STARTING: NOT_STARTED,
    Standing.SERVING: Verdict(True, "ready", "a worker answers"),
    Standing.HELD: ON_HOLD,
    Standing.WITHDRAWN: DRAINING,
    Standing.STOPPING: DRAINING,
}
_LIVE: Final = Verdict(True, "live", "a worker answers")
_STARTED: Final = Verdict(True, "started", "a worker answers")

#: What a worker says to each probe; that it answers at all is half of it.
WORKER_PROBES: Final[Mapping[str, Mapping[Standing, Verdict]]] = {
    "/livez": dict.fromkeys(Standing, _LIVE),
    "/readyz": _READY,
    "/healthz": _READY,
    "/startupz": {
        **dict.fromkeys(Standing, _STARTED),
        Standing.STARTING: NOT_STARTED,
    },
}
