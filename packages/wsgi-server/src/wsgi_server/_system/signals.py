"""Signals as something to poll for: the handler takes a note, a pipe wakes the loop."""

from __future__ import annotations

import contextlib
import enum
import os
import signal
import sys
from collections.abc import Collection, Iterable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from wsgi_server.errors import ServerError

from . import forks, unpatched
from .edges import WakeUp

if TYPE_CHECKING or sys.platform != "win32":
    Signal = signal.Signals
else:
    #: What the server is told, where few signals exist; the numbers are those of Linux.
    Signal = enum.IntEnum(
        "Signal",
        {
            "SIGHUP": 1,
            "SIGINT": 2,
            "SIGQUIT": 3,
            "SIGKILL": 9,
            "SIGUSR1": 10,
            "SIGUSR2": 12,
            "SIGTERM": 15,
            "SIGCHLD": 17,
            "SIGIO": 29,
            "SIGTTIN": 51,
            "SIGTTOU": 52,
        },
    )
#: Ctrl-C and Ctrl-Break: the first time as TERM.
_OF_CONSOLE: Final[frozenset[Any]] = (
    frozenset({signal.SIGINT, signal.SIGBREAK})
    if hasattr(signal, "SIGBREAK")
    else frozenset()
)


def that_exist(signals: Iterable[Signal]) -> list[Any]:
    """Those of `signals` that this platform sends; for the interrupt, also its break."""
    if not _OF_CONSOLE:
        return list(signals)
    return [*_OF_CONSOLE] if Signal.SIGINT in signals else []


class _Pipe:
    """What `WakeUp` is, where a pipe can be polled."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)

    def fileno(self) -> int:
        return self._reader

    def writer(self) -> int:
        return self._writer

    def wake(self) -> None:
        # EAGAIN means that the pipe is full, so the loop wakes anyway.
        with contextlib.suppress(BlockingIOError):
            unpatched.write(self._writer, b"\0")

    def lower(self) -> None:
        # EAGAIN: nothing was written since the last time.
        with contextlib.suppress(BlockingIOError):
            while len(unpatched.read(self._reader, 4096)) == 4096:
                continue

    def close(self) -> None:
        os.close(self._reader)
        os.close(self._writer)


class SignalPipe:
    """Handles `signals` by noting them; `fileno()` is readable while notes wait.

    Must be made in the main thread (Python runs handlers nowhere else); raises
    `ServerError` in another. `close` puts back every handler and the wake-up descriptor
    that were there before.
    """

    def __init__(self, signals: Iterable[Signal]) -> None:
        self._notes: list[int] = []
        self._pipe = WakeUp() if _OF_CONSOLE else _Pipe()
        try:
            self._old_wakeup = signal.set_wakeup_fd(
                self._pipe.writer(), warn_on_full_buffer=False
            )
        except ValueError as exc:
            self._pipe.close()
            raise ServerError(
                "the server must be started in the main thread: only there can it "
                "receive signals"
            ) from exc
        self._old: dict[signal.Signals, Any] = {}
        #: Those that interrupt now.
        self._raising: list[Signal] = []
        self.add(signals)
        self._stay = forks.on_fork(self._on_fork)

    @property
    def handled(self) -> list[Signal]:
        """The signals that it handles."""
        return list(self._old)

    def add(self, signals: Iterable[Signal]) -> None:
        """Handles these as well."""
        for signum in that_exist(signals):
            self._old[signum] = signal.signal(signum, self._note)

    def fileno(self) -> int:
        """The descriptor to poll."""
        return self._pipe.fileno()

    def take(self) -> list[Signal]:
        """The signals since the last call, in order; never waits."""
        # Empty the pipe first: a note taken after that leaves a byte for the next poll.
        self._pipe.lower()
        # One by one: a handler may run between any two steps.
        taken = []
        while self._notes:
            taken.append(Signal(self._notes.pop(0)))
        return taken

    def send(self, signum: Signal) -> None:
        """Behaves as if `signum` had arrived; from any thread of this process."""
        self._notes.append(signum)
        self._pipe.wake()

    @contextlib.contextmanager
    def interrupting(self, signals: Iterable[Signal]) -> Iterator[None]:
        """In the block `signals` raise `KeyboardInterrupt`, those noted before as well.

        Not in another thread than the main one, nor where the program has put a handler of
        its own in our place.
        """
        ours = [
            signum
            for signum in that_exist(signals)
            if signal.getsignal(signum) == self._note
        ]
        try:
            # ValueError: another thread.
            with contextlib.suppress(ValueError):
                self._raising = ours
                for signum in ours:
                    signal.signal(signum, signal.default_int_handler)
                if not set(ours).isdisjoint(self._notes):
                    raise KeyboardInterrupt
            yield
        finally:
            with contextlib.suppress(ValueError):
                for signum in ours:
                    signal.signal(signum, self._note)
                self._raising = []

    def close(self) -> None:
        """Restores what was there before and closes the pipe."""
        self._stay()
        for signum, handler in self._old.items():
            _put_back(signum, handler)
        signal.set_wakeup_fd(self._old_wakeup, warn_on_full_buffer=False)
        self._pipe.close()

    def _on_fork(self, _keep: Collection[int]) -> None:
        # What was there before, where the program has put nothing else there since; and
        # nothing wakes the parent's loop.
        signal.set_wakeup_fd(-1)
        for signum, handler in self._old.items():
            if signum in self._raising or signal.getsignal(signum) == self._note:
                # KeyboardInterrupt would be lost where it is raised before the fork is over.
                raises = handler is signal.default_int_handler
                _put_back(signum, signal.SIG_DFL if raises else handler)
        self._notes.clear()
        self._pipe.close()

    def _note(self, signum: int, _frame: FrameType | None) -> None:
        # Python's own wake-up byte comes before the handler runs, and another thread may
        # have taken it already: the note brings its own.
        self._notes.append(Signal.SIGTERM if signum in _OF_CONSOLE else signum)
        self._pipe.wake()


def _put_back(signum: Signal, handler: Any) -> None:
    # None: the handler was not installed from Python and cannot be put back.
    signal.signal(signum, signal.SIG_DFL if handler is None else handler)


class blocked:
    """Holds signals back while the block runs; the kernel delivers them at its end.

    `release` ends it early, in a child that leaves the block by `os._exit` alone.
    """

    def __init__(self, signals: Iterable[Signal]) -> None:
        self._signals = set(signals)
        self._mask: set[int | signal.Signals] = set()

    def __enter__(self) -> blocked:
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, self._signals)
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Restores the mask from before."""
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
