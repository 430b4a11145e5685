"""A native thread for a descriptor whose writes wait.

On Windows no pipe and no terminal says whether it takes something.
"""

from __future__ import annotations

import time
from collections import deque

from wsgi_server._system import unpatched

#: Bytes that the thread may have; as much as a pipe takes elsewhere.
ROOM = 1 << 16
#: Seconds between two looks at a thread that is to come to an end.
_LOOK = 0.01


class WritingThread:
    """Takes up to `ROOM` bytes and writes them to `fd`; `write` raises what befell it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._work = unpatched.Lock()
        self._work.acquire()
        self._error: OSError | None = None
        self._closed = False
        unpatched.start_new_thread(self._run, ())

    def write(self, data: bytes | bytearray) -> int:
        """Takes a beginning of `data`; `BlockingIOError` where it takes nothing now."""
        error, self._error = self._error, None
        if error is not None:
            raise error
        piece = bytes(data[: ROOM - self._size])
        if not piece:
            raise BlockingIOError
        self._size += len(piece)
        self._pieces.append(piece)
        self._wake()
        return len(piece)

    def finish(self, deadline: float) -> bool:
        """Waits until it has written everything, or `deadline`; whether it has."""
        while self._size and time.monotonic() < deadline:
            unpatched.sleep(_LOOK)
        return not self._size

    def close(self) -> None:
        """It writes what it has and ends; one that is stuck is left to itself."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        if self._work.locked():
            try:
                self._work.release()
            except RuntimeError:
                # Another thread has woken it in this moment.
                return

    def _run(self) -> None:
        while True:
            self._work.acquire()
            while self._pieces:
                piece = self._pieces.popleft()
                try:
                    while piece:
                        piece = piece[unpatched.write(self._fd, piece) :]
                except OSError as exc:
                    self._error = exc
                    self._pieces.clear()
                    self._size = 0
                    break
                self._size = sum(map(len, self._pieces))
            if self._closed:
                return
