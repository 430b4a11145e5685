"""What a process that the application forks gets of the server: nothing.

`fork` copies the handlers of signals, the wake-up descriptor, pipes, sockets and epoll sets.
Whatever in this process has something of the kind registers here how a child gets rid of it.
Signals are blocked from before the fork until that is done: one that comes for the child
between the two is then delivered to an ordinary process.

Only forks by Python run this: `os.fork`, `multiprocessing`, `subprocess` with a `preexec_fn`.
`subprocess` otherwise, `posix_spawn` and what forks in C go on to exec, which resets handlers
and closes all descriptors of ours.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Callable, Collection, Iterator

from . import unpatched

LOG = logging.getLogger(__name__)

#: Gets rid of something; not of the descriptors that it is given.
Riddance = Callable[[Collection[int]], object]

_riddances: list[Riddance] = []
#: The signal masks of threads that are forking.
_masks: dict[int, set[int | signal.Signals]] = {}
#: Threads that fork a process of the server's own.
_exempt: set[int] = set()


def on_fork(riddance: Riddance) -> Callable[[], None]:
    """Has `riddance` called in every child; returns what ends that."""
    _riddances.append(riddance)

    def forget() -> None:
        if riddance in _riddances:
            _riddances.remove(riddance)

    return forget


@contextlib.contextmanager
def during(riddance: Riddance) -> Iterator[None]:
    """As `on_fork`, for the block."""
    forget = on_fork(riddance)
    try:
        yield
    finally:
        forget()


def fork() -> int:
    """As `os.fork`, for a child of the server's own: it calls `leave_behind` itself."""
    me = unpatched.get_ident()
    _exempt.add(me)
    try:
        return unpatched.fork()
    finally:
        _exempt.discard(me)


def leave_behind(keep: Collection[int] = ()) -> None:
    """In a child: gets rid of all that the parent had, but for the descriptors `keep`."""
    riddances, _riddances[:] = _riddances[::-1], []
    for riddance in riddances:
        try:
            riddance(keep)
        # One fault must not leave the child with all the rest.
        except Exception:
            LOG.exception("process %d keeps something of the server's", os.getpid())


def close(fds: Collection[int], keep: Collection[int] = ()) -> None:
    """Closes descriptors, but for those in `keep` and -1, which is none."""
    for fd in {*fds} - {*keep, -1}:
        os.close(fd)


def _before() -> None:
    me = unpatched.get_ident()
    if _riddances and me not in _exempt:
        _masks[me] = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


def _in_parent() -> None:
    mask = _masks.pop(unpatched.get_ident(), None)
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _in_child() -> None:
    mask = _masks.pop(unpatched.get_ident(), None)
    if mask is not None:
        _masks.clear()
        leave_behind()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


# Windows does not fork.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before, after_in_parent=_in_parent, after_in_child=_in_child
    )
