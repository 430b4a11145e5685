"""The working directory, by the path that the operator gave.

A deployment may be a symbolic link that is moved from one release to the next. The kernel
knows the directory alone; the path is in `PWD`, where a shell has put it.
"""

from __future__ import annotations

import importlib
import os
import sys

from wsgi_server.errors import ConfigError

from . import unpatched


def given() -> str:
    """`$PWD` where that is the working directory, else what the kernel says."""
    path = os.environ.get("PWD", "")
    try:
        if os.path.isabs(path) and os.path.samefile(path, "."):
            return path
    except OSError:
        # Whatever it names is not to be reached: the environment of somebody else.
        pass
    return os.getcwd()


def absolute(path: str) -> str:
    """`path`, relative to the directory that the operator gave; `..` as the kernel has it."""
    return os.path.join(given(), path)


class WorkingDirectory:
    """Where the server was started, and goes on from at every reload."""

    def __init__(self) -> None:
        try:
            self.path = given()
            self._real = os.getcwd()
        except FileNotFoundError as exc:
            raise ConfigError("the working directory has been removed") from exc
        self._known = _identity()
        #: The directory that a reload came from, and what could be imported there.
        self._before: tuple[int | str, str, list[str]] | None = None

    def follow(self) -> None:
        """Goes to where the path leads now; `back` returns, `stay` does not.

        A program that has gone elsewhere by itself stays there. Raises `ConfigError` where
        the path leads nowhere.
        """
        if _identity() != self._known:
            return
        before = _hold()
        try:
            os.chdir(self.path)
        except OSError as exc:
            _release(before)
            raise ConfigError(
                f"cannot go to the working directory {self.path}: {exc.strerror}"
            ) from exc
        self._before = before, self._real, list(sys.path)
        self._known, self._real = _identity(), os.getcwd()
        if self._real != self._before[1]:
            moved = self._moved(self._before[1])
            sys.path[:] = [moved.get(entry, entry) for entry in sys.path]
        # Another release may have the very times of the one before.
        importlib.invalidate_caches()

    def fds(self) -> list[int]:
        """What is open of it while a reload is under way."""
        held = None if self._before is None else self._before[0]
        return [held] if isinstance(held, int) else []

    def stay(self) -> None:
        """The reload is accepted."""
        if self._before is not None:
            _release(self._before[0])
            self._before = None

    def back(self) -> None:
        """The reload is given up: what is replaced is loaded from where it was."""
        if self._before is not None:
            held, self._real, sys.path[:] = self._before
            os.chdir(held)
            self._known = _identity()
            self.stay()

    def _moved(self, old: str) -> dict[str, str]:
        """What Python made of relative entries of the search path, by what it would now."""
        entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        relative = [entry for entry in entries if not os.path.isabs(entry)]
        return {
            os.path.normpath(os.path.join(old, entry)): os.path.normpath(
                os.path.join(self._real, entry)
            )
            for entry in ("", *relative)
        }


def _identity() -> tuple[int, int]:
    # Also there where the directory has been removed.
    status = os.stat(".")
    return status.st_dev, status.st_ino


def _hold() -> int | str:
    """The working directory, also for when it has been removed; on Windows its path."""
    if not hasattr(os, "O_PATH"):
        return os.getcwd()
    return unpatched.open(".", os.O_PATH | os.O_DIRECTORY)


def _release(held: int | str) -> None:
    if isinstance(held, int):
        os.close(held)
