"""Which requests one worker runs, in its part of the shared memory.

The loop writes it about once a second, so it costs a request nothing. A reader that meets
the writer takes what was there before, or nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

#: Requests whose begin is shown, and of those with a name.
CELLS: Final = 64
NAMED: Final = 8
#: Bytes of a name.
NAME_SIZE: Final = 512

#: A number that is odd while it is written, how many cells and names there are, the cells,
#: the begin and the length of each name.
_COUNT: Final = 3
_NUMBERS: Final = _COUNT + CELLS + 2 * NAMED
#: Bytes of one worker's.
SIZE: Final = 8 * _NUMBERS + NAMED * NAME_SIZE


class Named(NamedTuple):
    """A request that takes long: since when (monotonic seconds), and which it is."""

    since: float
    method: str
    #: Without the query.
    path: str
    request_id: str = ""


class RunningBoard:
    """The requests that one worker runs, in `memory` of `SIZE` bytes, zero at first."""

    __slots__ = ("_names", "_numbers")

    def __init__(self, memory: memoryview) -> None:
        self._numbers: memoryview[float] = memory[: 8 * _NUMBERS].cast("d")
        self._names = memory[8 * _NUMBERS : SIZE]

    @classmethod
    def local(cls) -> RunningBoard:
        """One of this process alone, where nothing is forked."""
        return cls(memoryview(bytearray(SIZE)))

    def write(self, since: Sequence[float], named: Sequence[Named]) -> None:
        """Shows the requests that began at `since`; those that take long with names."""
        numbers = self._numbers
        numbers[0] += 1
        cells = sorted(since)[:CELLS]
        numbers[1] = len(cells)
        for place, begin in enumerate(cells, _COUNT):
            numbers[place] = begin
        names = sorted(named)[:NAMED]
        numbers[2] = len(names)
        for index, one in enumerate(names):
            raw = "\0".join(one[1:]).encode(errors="replace")[:NAME_SIZE]
            numbers[_COUNT + CELLS + 2 * index] = one.since
            numbers[_COUNT + CELLS + 2 * index + 1] = len(raw)
            start = index * NAME_SIZE
            self._names[start : start + len(raw)] = raw
        numbers[0] += 1

    def read(self) -> tuple[list[float], list[Named]]:
        """When the requests began, and those that take long; empty amid a change."""
        numbers = self._numbers
        version = numbers[0]
        if version % 2:
            return [], []
        cells = [numbers[_COUNT + n] for n in range(min(CELLS, int(numbers[1])))]
        names = []
        for index in range(min(NAMED, int(numbers[2]))):
            place = _COUNT + CELLS + 2 * index
            since, length = numbers[place], numbers[place + 1]
            start = index * NAME_SIZE
            raw = bytes(self._names[start : start + min(NAME_SIZE, int(length))])
            parts = [*raw.decode(errors="replace").split("\0"), "", "", ""]
            names.append(Named(since, *parts[:3]))
        if numbers[0] != version:
            return [], []
        return cells, names

    def clear(self) -> None:
        """Shows nothing."""
        for place in range(_NUMBERS):
            self._numbers[place] = 0.0
