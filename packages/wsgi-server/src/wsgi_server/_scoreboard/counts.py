"""What one worker has counted, in its part of the shared memory.

One writer, any number of readers, a fixed size. Numbers only grow, and each is an aligned
64-bit one: a reader may see a request in one of them and not yet in another, never half of
one. `Totals` outlives the worker.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final

#: Upper bounds in seconds of what a request takes (OpenTelemetry's for HTTP servers).
DURATION_BOUNDS: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5),
    *(0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
)
#: And of what it waits between its head and the application.
QUEUE_BOUNDS: Final = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)

#: Methods that are told apart (RFC 9110 9, RFC 5789).
METHODS: Final = frozenset(
    {
        *("GET", "HEAD", "POST", "PUT", "DELETE"),
        *("CONNECT", "OPTIONS", "TRACE", "PATCH"),
    }
)
#: The method of all others, and the route of all beyond those that are told apart.
OTHER: Final = "_OTHER"

#: Why a request was answered by the server, before any application.
REJECTIONS: Final = (
    *("syntax", "headers_too_large", "target_too_long", "body_too_large"),
    *("header_timeout", "body_timeout", "overload"),
)
#: Why a connection ended.
CLOSINGS: Final = ("client", "idle", "max", "drain", "error", "tls")

#: Plain numbers that only grow, by name.
COUNTERS: Final = (
    "requests",
    "threads_busy_seconds",
    "request_body_bytes",
    "response_body_bytes",
    "slow_requests",
    "request_timeouts",
    "application_errors",
    "client_disconnects",
    "access_log_lines_dropped",
    "connections_accepted",
    *(f"rejected_{reason}" for reason in REJECTIONS),
    *(f"closed_{reason}" for reason in CLOSINGS),
)
#: Where each of them stands.
PLACE: Final = {name: place for place, name in enumerate(COUNTERS)}

#: Kinds of requests that are told apart; all others share the last row.
ROWS: Final = 64
#: Bytes that the labels of a row may take.
KEY_SIZE: Final = 256

#: Method, status, scheme, route (empty where none is known), error (empty for none).
Key = tuple[str, str, str, str, str]
#: The labels of what is not told apart.
OVERFLOW: Final[Key] = (OTHER, OTHER, OTHER, OTHER, OTHER)

#: Of numbers: the counters, then the histogram of the queue with its sum, then for each
#: row the length of its key, its sum and its buckets.
_QUEUE: Final = len(COUNTERS)
_QUEUE_SUM: Final = _QUEUE + len(QUEUE_BOUNDS) + 1
_FIRST_ROW: Final = _QUEUE_SUM + 1
_ROW: Final = 2 + len(DURATION_BOUNDS) + 1
_NUMBERS: Final = _FIRST_ROW + ROWS * _ROW
#: Bytes of one worker's counts.
SIZE: Final = 8 * _NUMBERS + ROWS * KEY_SIZE


class Counts:
    """The counts of one worker, in `memory` of `SIZE` bytes, all zero at the start."""

    __slots__ = ("_keys", "_known", "_numbers", "_rows")

    def __init__(self, memory: memoryview) -> None:
        self._numbers: memoryview[float] = memory[: 8 * _NUMBERS].cast("d")
        self._keys = memory[8 * _NUMBERS : SIZE]
        #: The writer's own: where the numbers of each row begin.
        self._rows: dict[Key, int] = {}
        #: The reader's own: keys by their bytes.
        self._known: dict[bytes, Key] = {}

    @classmethod
    def local(cls) -> Counts:
        """Counts of this process alone, where nothing is forked."""
        return cls(memoryview(bytearray(SIZE)))

    def add(self, name: str, amount: float = 1) -> None:
        """Adds to the counter `name`, one of `COUNTERS`."""
        self._numbers[PLACE[name]] += amount

    def waited(self, seconds: float) -> None:
        """A request came to its application after so many seconds."""
        numbers = self._numbers
        numbers[_QUEUE + bisect_left(QUEUE_BOUNDS, seconds)] += 1
        numbers[_QUEUE_SUM] += seconds

    def took(self, key: Key, seconds: float) -> None:
        """A request of the kind `key` was answered after so many seconds."""
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = self._row_for(key)
        numbers = self._numbers
        numbers[row + 2 + bisect_left(DURATION_BOUNDS, seconds)] += 1
        numbers[row + 1] += seconds

    def clear(self) -> None:
        """Makes them those of a worker that has counted nothing."""
        for place in range(_NUMBERS):
            self._numbers[place] = 0.0
        self._rows.clear()
        self._known.clear()

    def counters(self) -> Sequence[float]:
        """The values of `COUNTERS`, in their order."""
        return self._numbers[:_QUEUE].tolist()

    def queue(self) -> tuple[list[int], float]:
        """How many waited so long, for each of `QUEUE_BOUNDS` and beyond; the sum."""
        buckets = self._numbers[_QUEUE:_QUEUE_SUM].tolist()
        return [int(count) for count in buckets], self._numbers[_QUEUE_SUM]

    def durations(self) -> Iterator[tuple[Key, list[int], float]]:
        """The same over `DURATION_BOUNDS` for each kind of request there was."""
        for index in range(ROWS):
            start = _FIRST_ROW + index * _ROW
            length = int(self._numbers[start])
            if length:
                raw = bytes(self._keys[index * KEY_SIZE : index * KEY_SIZE + length])
                key = self._known.get(raw)
                if key is None:
                    method, status, scheme, route, error = raw.decode().split("\0")
                    key = self._known[raw] = method, status, scheme, route, error
                buckets = self._numbers[start + 2 : start + _ROW].tolist()
                yield key, list(map(int, buckets)), self._numbers[start + 1]

    def _row_for(self, key: Key) -> int:
        """Where the numbers of `key` begin: those of a new row, or of the last one."""
        index = len({*self._rows.values()})
        raw = "\0".join(key).encode()
        if index >= ROWS - 1 or len(raw) > KEY_SIZE:
            index, raw = ROWS - 1, "\0".join(OVERFLOW).encode()
        self._keys[index * KEY_SIZE : index * KEY_SIZE + len(raw)] = raw
        start = _FIRST_ROW + index * _ROW
        # Last: it says that the key is there.
        self._numbers[start] = len(raw)
        return start
