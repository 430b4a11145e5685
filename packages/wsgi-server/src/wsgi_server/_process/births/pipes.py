"""What ties a forked worker to its supervisor: two pipes, and signals.

The end of the one that brings orders is a signal as well, for the worker whose loop an
application holds up.
"""

from __future__ import annotations

import faulthandler
import os
import signal
from collections.abc import Collection
from types import FrameType
from typing import Final

from wsgi_server._logs import server as log
from wsgi_server._logs.nonblocking import has_room
from wsgi_server._system import forks, unpatched
from wsgi_server._system.process import has_ended, signal_the_end_of
from wsgi_server._system.signals import Signal

#: Asks a worker for its stack. Handled by faulthandler, below Python: it also answers
#: where no bytecode runs any more.
DUMP_SIGNAL: Final = Signal.SIGUSR2
#: Sent by the kernel when the supervisor is gone. Ends a worker that is still loading, by
#: its default action; later it sets a limit.
ORPHANED: Final = Signal.SIGIO


class PipeTies:
    """`report` is written to, and its end is our death; `life` brings orders."""

    def __init__(self, report: int, life: int) -> None:
        self._report = report
        self._life = life
        self._seconds = 0.0
        self.descriptors = [report, life]

    def fileno(self) -> int:
        return self._life

    def begin(self) -> None:
        os.set_blocking(self._life, False)
        faulthandler.register(DUMP_SIGNAL, file=self._report, all_threads=True)
        signal.signal(ORPHANED, signal.SIG_DFL)
        signal_the_end_of(self._life)

    def limit(self, seconds: float) -> None:
        self._seconds = seconds
        signal.signal(ORPHANED, self._on_orphaned)

    def has_ended(self) -> bool:
        return has_ended(self._life)

    def send(self, data: bytes, /) -> int:
        return unpatched.write(self._report, data)

    def receive(self) -> bytes:
        return unpatched.read(self._life, 65536)

    def has_room(self) -> bool:
        return has_room(self._report)

    def leave_behind(self, keep: Collection[int]) -> None:
        faulthandler.unregister(DUMP_SIGNAL)
        signal.signal(ORPHANED, signal.SIG_DFL)
        forks.close(self.descriptors, keep)

    def _on_orphaned(self, _signum: int, _frame: FrameType | None) -> None:
        """The signal handler for the supervisor's death; the worker's loop does the rest.

        It does more than take a note, because the loop that would read one may never turn
        again and nobody is left who watches it. The timer is a native thread without an
        interpreter: no application can hold it up.
        """
        if self.has_ended():
            faulthandler.dump_traceback_later(
                self._seconds, exit=True, file=log.descriptor()
            )
