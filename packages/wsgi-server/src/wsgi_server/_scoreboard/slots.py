"""What each worker is doing, in memory that all processes share.

One slot per worker, written by that worker and read by the supervisor. A slot is a
row of aligned 64-bit numbers, so that a reader never sees half of one. One number is the
other way round: where the server is, written by the supervisor and read by all.
"""

from __future__ import annotations

import enum
import mmap
from collections.abc import Mapping
from typing import Final

from . import counts, running
from .counts import Counts
from .running import RunningBoard
from .standing import Standing

#: Numbers per slot; 128 bytes, so that two workers never share a cache line.
_WIDTH: Final = 16
_PID, _WORKER, _GENERATION, _STATE = 0, 1, 2, 3
_STARTED, _RSS = 4, 6
# Side by side: the engine writes them together, once per turn of its loop.
_BEAT, _REQUESTS, _IN_FLIGHT, _CONNECTIONS, _QUEUED = 8, 9, 10, 11, 12
#: Where connections are, as metrics tell it; those that run are the requests that do.
_COUNTED: Final[Mapping[str, int]] = {
    "reading": 5,
    "writing": 13,
    "idle": 14,
    "draining": 15,
}
_STATE_PLACES: Final[Mapping[str, int]] = {**_COUNTED, "running": _IN_FLIGHT}


class WorkerState(enum.IntEnum):
    """Where a worker is in its life."""

    FREE = 0
    STARTING = 1
    READY = 2
    DRAINING = 3


class Slot:
    """One worker's row. Numbers are exact up to 2**53; times are monotonic seconds.

    `counts` and `running` are there where somebody may look at them.
    """

    __slots__ = ("_row", "_server", "counts", "running")

    def __init__(
        self,
        row: memoryview[float],
        server: memoryview[float],
        counts: Counts | None = None,
        running: RunningBoard | None = None,
    ) -> None:
        self._row = row
        self._server = server
        self.counts = counts
        self.running = running

    @classmethod
    def local(cls, *, observed: bool = False) -> Slot:
        """A slot of this process alone, where nothing is forked."""
        row = memoryview(bytearray(8 * _WIDTH)).cast("d")
        server = memoryview(bytearray(8)).cast("d")
        if not observed:
            return cls(row, server)
        return cls(row, server, Counts.local(), RunningBoard.local())

    def update(
        self, beat: float, requests: int, in_flight: int, connections: int
    ) -> None:
        """What the engine reports once per turn of its loop."""
        row = self._row
        row[8] = beat
        row[9] = requests
        row[10] = in_flight
        row[11] = connections

    def clear(self) -> None:
        """Makes the slot one that nobody has used."""
        for place in range(_WIDTH):
            self._row[place] = 0.0
        if self.counts is not None:
            self.counts.clear()
        if self.running is not None:
            self.running.clear()

    @property
    def beat(self) -> float:
        """When the engine's loop last turned."""
        return self._row[_BEAT]

    @beat.setter
    def beat(self, now: float) -> None:
        self._row[_BEAT] = now

    @property
    def requests(self) -> int:
        """Requests begun since the worker started."""
        return int(self._row[_REQUESTS])

    @property
    def in_flight(self) -> int:
        """Requests that run now."""
        return int(self._row[_IN_FLIGHT])

    @property
    def connections(self) -> int:
        """Connections that are open now."""
        return int(self._row[_CONNECTIONS])

    @property
    def queued(self) -> int:
        """Requests that wait for a free place."""
        return int(self._row[_QUEUED])

    @queued.setter
    def queued(self, count: int) -> None:
        self._row[_QUEUED] = count

    @property
    def connection_states(self) -> Mapping[str, int]:
        """Open connections by where they are, as far as they were counted."""
        return {name: int(self._row[at]) for name, at in _STATE_PLACES.items()}

    def count_connections(self, states: Mapping[str, int]) -> None:
        """How many connections are where, now and then."""
        for name, at in _COUNTED.items():
            self._row[at] = states.get(name, 0)

    @property
    def pid(self) -> int:
        """The worker's process id; 0 when the slot is free."""
        return int(self._row[_PID])

    @pid.setter
    def pid(self, pid: int) -> None:
        self._row[_PID] = pid

    @property
    def worker_id(self) -> int:
        """The worker's number, from 1."""
        return int(self._row[_WORKER])

    @worker_id.setter
    def worker_id(self, number: int) -> None:
        self._row[_WORKER] = number

    @property
    def generation(self) -> int:
        """The configuration that the worker serves, counted from 1."""
        return int(self._row[_GENERATION])

    @generation.setter
    def generation(self, number: int) -> None:
        self._row[_GENERATION] = number

    @property
    def state(self) -> WorkerState:
        """Where the worker is in its life."""
        return WorkerState(int(self._row[_STATE]))

    @state.setter
    def state(self, state: WorkerState) -> None:
        self._row[_STATE] = state

    @property
    def standing(self) -> Standing:
        """Where the server is; the same for all slots of a board."""
        return Standing(int(self._server[0]))

    @standing.setter
    def standing(self, standing: Standing) -> None:
        self._server[0] = standing

    @property
    def started(self) -> float:
        """When the worker was forked."""
        return self._row[_STARTED]

    @started.setter
    def started(self, now: float) -> None:
        self._row[_STARTED] = now

    @property
    def rss(self) -> int:
        """Resident bytes at the last beat, where `max_worker_rss` asks for them."""
        return int(self._row[_RSS])

    @rss.setter
    def rss(self, size: int) -> None:
        self._row[_RSS] = size


class Scoreboard:
    """`slots` slots in shared memory; the kernel backs only what is used.

    It is anonymous where `memory` of `board_size` bytes is not given. With `observed` each
    slot has counts and a board of what runs.
    """

    def __init__(
        self, slots: int, *, observed: bool = False, memory: mmap.mmap | None = None
    ) -> None:
        size = _slot_size(observed=observed)
        # In front what is the server's, as wide as a row.
        if memory is None:
            memory = mmap.mmap(-1, board_size(slots, observed=observed))
        self._memory = memory
        table = memoryview(self._memory)
        self._server = table[:8].cast("d")
        self.slots = [
            self._slot(table[start : start + size], observed=observed)
            for start in range(8 * _WIDTH, 8 * _WIDTH + slots * size, size)
        ]

    def stand(self, standing: Standing) -> None:
        """Tells all slots where the server is."""
        self._server[0] = standing

    def claim(self) -> Slot:
        """A free slot, cleared. Raises `LookupError` when every one is taken."""
        for slot in self.slots:
            if slot.state is WorkerState.FREE:
                slot.clear()
                slot.state = WorkerState.STARTING
                return slot
        raise LookupError(f"all {len(self.slots)} slots of the scoreboard are taken")

    def _slot(self, memory: memoryview, *, observed: bool) -> Slot:
        row = memory[: 8 * _WIDTH].cast("d")
        if not observed:
            return Slot(row, self._server)
        rest = memory[8 * _WIDTH :]
        board = RunningBoard(rest[counts.SIZE :])
        return Slot(row, self._server, Counts(rest), board)


def board_size(slots: int, *, observed: bool) -> int:
    """How many bytes a board takes."""
    return 8 * _WIDTH + slots * _slot_size(observed=observed)


def _slot_size(*, observed: bool) -> int:
    return 8 * _WIDTH + (counts.SIZE + running.SIZE if observed else 0)
