"""Where workers stand, asked over their pipes; of who does not answer, by faulthandler."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from wsgi_server._admin.state import Outcome, Tell
from wsgi_server._process.births.pipes import DUMP_SIGNAL
from wsgi_server._system.signals import Signal

if TYPE_CHECKING:
    from wsgi_server._process.workers import Worker

#: Seconds for a worker's loop to answer, and then for what needs no loop.
PATIENCE: Final = 1.0
#: Seconds without another line after which a stack is taken for whole.
_SILENCE: Final = 0.1


@dataclass
class _Inquiry:
    """Somebody waits for the stacks of workers."""

    tell: Tell
    #: Who has not answered, and until when.
    missing: dict[int, Worker]
    until: float
    found: dict[str, str] = field(default_factory=dict)
    #: How much those have written who were told by signal; None before.
    written: dict[int, int] | None = None
    give_up_at: float = math.inf


class Stacks:
    """The inquiries that are under way.

    `tell_worker` sends an order over a worker's pipe, `send_signal` a signal.
    """

    def __init__(
        self,
        tell_worker: Callable[[Worker, Mapping[str, Any]], object],
        send_signal: Callable[[Worker, Signal], object],
    ) -> None:
        self._tell_worker = tell_worker
        self._send_signal = send_signal
        self._inquiries: list[_Inquiry] = []

    @property
    def deadline(self) -> float:
        """When `turn` is due (monotonic seconds)."""
        return min((one.until for one in self._inquiries), default=math.inf)

    def ask(self, workers: Iterable[Worker], tell: Tell) -> None:
        """Asks `workers` where they stand, and tells when they have said so, or have not."""
        missing = {worker.pid: worker for worker in workers}
        self._inquiries.append(_Inquiry(tell, missing, monotonic() + PATIENCE))
        for worker in missing.values():
            self._tell_worker(worker, {"stacks": True})

    def heard(self, worker: Worker, text: str) -> None:
        """A worker has said where it stands."""
        for one in list(self._inquiries):
            if one.missing.pop(worker.pid, None) is not None:
                # The signal may have ended the very call that held it up.
                held_up = one.written is not None and worker.inbox.dumped
                one.found[str(worker)] = _by_signal(worker) if held_up else text
                self._end_if_whole(one)

    def turn(self, now: float) -> None:
        """Does what is due about those who have not answered."""
        for one in [i for i in self._inquiries if i.until <= now]:
            if one.written is None:
                one.written = dict.fromkeys(one.missing, 0)
                one.give_up_at = now + PATIENCE
                for worker in one.missing.values():
                    self._dump(worker)
            else:
                self._look(one, one.written, late=now >= one.give_up_at)
            one.until = now + _SILENCE
            self._end_if_whole(one)

    def _dump(self, worker: Worker) -> None:
        # One that is about to be killed was told already; one that is gone has given its
        # number back.
        if worker.kill_at is None and worker.inbox.fd >= 0:
            worker.inbox.take_dump()
            self._send_signal(worker, DUMP_SIGNAL)

    def _look(self, one: _Inquiry, written: dict[int, int], *, late: bool) -> None:
        for pid, worker in list(one.missing.items()):
            length = worker.inbox.dumped
            if late or (length and length == written[pid]):
                del one.missing[pid]
                one.found[str(worker)] = _by_signal(worker)
            written[pid] = length

    def _end_if_whole(self, one: _Inquiry) -> None:
        if not one.missing:
            self._inquiries.remove(one)
            one.tell(Outcome(True, "where they stand", {"stacks": one.found}))


def _by_signal(worker: Worker) -> str:
    board = worker.slot.running
    named = [] if board is None else board.read()[1]
    lines = ["its loop gave no answer; this is what needs none:"]
    lines += [
        f"{one.method} {one.path} for {monotonic() - one.since:.1f} s" for one in named
    ]
    dump = worker.inbox.take_dump()
    return "\n".join([*lines, dump or "nothing: it is stopped, or in the kernel"])
