"""The pid file: whole or absent, and never another process's."""

from __future__ import annotations

import contextlib
import logging
import os

from wsgi_server.errors import ConfigError

LOG = logging.getLogger(__name__)


class PidFile:
    """A file with the supervisor's process id, for as long as it runs."""

    def __init__(self, path: str) -> None:
        self._path = os.path.abspath(path)

    def write(self, pid: int) -> None:
        """Puts `pid` there, replacing what was. Raises `ConfigError`."""
        # Written beside and renamed, so that no reader ever finds half a number.
        draft = f"{self._path}.{pid}"
        try:
            with open(draft, "w", encoding="ascii") as file:
                file.write(f"{pid}\n")
            os.replace(draft, self._path)
        except OSError as exc:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(draft)
            raise ConfigError(
                f"pid_file: cannot write {self._path}: {exc.strerror}"
            ) from exc

    def remove(self, pid: int) -> None:
        """Removes the file if it still names `pid`; after an upgrade it does not."""
        try:
            with open(self._path, encoding="ascii") as file:
                if file.read().strip() == str(pid):
                    os.unlink(self._path)
        except FileNotFoundError:
            return
        except OSError as exc:
            LOG.warning("pid_file: cannot remove %s: %s", self._path, exc.strerror)
