"""Signals as something to poll for: the handler takes a note, a pipe wakes the loop."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Collection, Iterable, Iterator
from types import FrameType
from typing import Any

from wsgi_server.errors import ServerError

from . import forks, unpatched


class SignalPipe:
    """Handles `signals` by noting them; `fileno()` is readable while notes wait.

    Must be made in the main thread (Python runs handlers nowhere else); raises
    `ServerError` in another. `close` puts back every handler and the wake-up descriptor
    that were there before.
    """

    def __init__(self, signals: Iterable[signal.Signals]) -> None:
        self._notes: list[int] = []
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        try:
            self._old_wakeup = signal.set_wakeup_fd(
                self._writer, warn_on_full_buffer=False
            )
        except ValueError as exc:
            os.close(self._reader)
            os.close(self._writer)
            raise ServerError(
                "the server must be started in the main thread: only there can it "
                "receive signals"
            ) from exc
        self._old: dict[signal.Signals, Any] = {}
        #: Those that interrupt now.
        self._raising: list[signal.Signals] = []
        self.add(signals)
        self._stay = forks.on_fork(self._on_fork)

    @property
    def handled(self) -> list[signal.Signals]:
        """The signals that it handles."""
        return list(self._old)

    def add(self, signals: Iterable[signal.Signals]) -> None:
        """Handles these as well."""
        for signum in signals:
            self._old[signum] = signal.signal(signum, self._note)

    def fileno(self) -> int:
        """The descriptor to poll."""
        return self._reader

    def take(self) -> list[signal.Signals]:
        """The signals since the last call, in order; never waits."""
        # Empty the pipe first: a note taken after that leaves a byte for the next poll.
        try:
            while len(unpatched.read(self._reader, 4096)) == 4096:
                continue
        except BlockingIOError:
            # EAGAIN: nothing was written since the last time.
            pass
        # One by one: a handler may run between any two steps.
        taken = []
        while self._notes:
            taken.append(signal.Signals(self._notes.pop(0)))
        return taken

    def send(self, signum: signal.Signals) -> None:
        """Behaves as if `signum` had arrived; from any thread of this process."""
        self._notes.append(signum)
        # EAGAIN means that the pipe is full, so the loop wakes anyway.
        with contextlib.suppress(BlockingIOError):
            unpatched.write(self._writer, b"\0")

    @contextlib.contextmanager
    def interrupting(self, signals: Iterable[signal.Signals]) -> Iterator[None]:
        """In the block `signals` raise `KeyboardInterrupt`, those noted before as well.

        Not in another thread than the main one, nor where the program has put a handler of
        its own in our place.
        """
        ours = [signum for signum in signals if signal.getsignal(signum) == self._note]
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
        os.close(self._reader)
        os.close(self._writer)

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
        forks.close((self._reader, self._writer))

    def _note(self, signum: int, _frame: FrameType | None) -> None:
        # Python's own wake-up byte comes before the handler runs, and another thread may
        # have taken it already: the note brings its own.
        self._notes.append(signum)
        with contextlib.suppress(BlockingIOError):
            unpatched.write(self._writer, b"\0")


def _put_back(signum: signal.Signals, handler: Any) -> None:
    # None: the handler was not installed from Python and cannot be put back.
    signal.signal(signum, signal.SIG_DFL if handler is None else handler)


class blocked:
    """Holds signals back while the block runs; the kernel delivers them at its end.

    `release` ends it early, in a child that leaves the block by `os._exit` alone.
    """

    def __init__(self, signals: Iterable[signal.Signals]) -> None:
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
