"""Which of the two ways it is."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from wsgi_server._process.workers import SLOTS, Workers
from wsgi_server._scoreboard.slots import Scoreboard, board_size
from wsgi_server._system.signals import SignalPipe

from . import MARK

if TYPE_CHECKING:
    from .reborn import Reborn


def make_workers(
    poller: Any,
    signals: SignalPipe,
    *,
    spawns: bool,
    observed: bool,
    in_child: Callable[[], object] | None,
    before_exit: Callable[[float], object] | None,
) -> Workers:
    """No workers yet, that are to be forked or, where it `spawns`, started anew."""
    if not spawns:
        from .forked import Forking

        board = Scoreboard(SLOTS, observed=observed)
        return Workers(poller, Forking(signals, in_child, before_exit), board)
    from wsgi_server._system.handover import SharedMemory

    from .spawned import Spawning

    memory = SharedMemory(board_size(SLOTS, observed=observed))
    board = Scoreboard(SLOTS, observed=observed, memory=memory.memory)
    return Workers(poller, Spawning(signals, board, memory, observed=observed), board)


def reborn_if_any() -> Reborn | None:
    """What a supervisor wants of this process, where one has started it."""
    if MARK not in os.environ:
        return None
    from .reborn import Reborn

    return Reborn()
