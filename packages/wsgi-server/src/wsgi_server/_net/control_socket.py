"""The control socket: a Unix socket that is there whole, or not at all."""

from __future__ import annotations

import contextlib
import logging
import os
import socket

from wsgi_server._config.addresses import UnixAddress
from wsgi_server._system import unpatched
from wsgi_server.errors import ConfigError

from .binding import file_at, try_unix

LOG = logging.getLogger(__name__)

#: Bytes of a path that every system takes (sun_path, less what it is named meanwhile).
LONGEST = 90


class ControlSocket:
    """A listening socket at `path`, for whom `mode` lets in.

    It is made under another name, and `publish` renames it, so that nobody meets it half
    made. With `takes_over` it replaces that of the server that this one succeeds. Raises
    `BindError` where another server answers there, `ConfigError` where it cannot be made.
    """

    def __init__(self, path: str, mode: int, *, takes_over: bool) -> None:
        self.path = os.path.abspath(path)
        if len(os.fsencode(self.path)) > LONGEST:
            raise ConfigError(
                f"control_socket = {path}: the path is longer than {LONGEST} bytes"
            )
        if not takes_over:
            try_unix(UnixAddress(self.path))
        #: Where it is now.
        self._at = draft = f"{self.path}.{os.getpid()}"
        self.sock: socket.socket = unpatched.Socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(draft)
            self.sock.bind(draft)
            # Nobody can connect before listen(), so the mode is right from the start.
            os.chmod(draft, mode)
            self.sock.listen(64)
            self.sock.setblocking(False)
            self._file = file_at(draft)
        except OSError as exc:
            self.sock.close()
            with contextlib.suppress(OSError):
                os.unlink(draft)
            raise ConfigError(
                f"control_socket = {path}: {(exc.strerror or str(exc)).lower()}"
            ) from exc

    def publish(self) -> None:
        """From now on it is found at its path."""
        try:
            os.rename(self._at, self.path)
        except OSError as exc:
            # It could be made there a moment ago.
            LOG.error("control socket %s: %s", self.path, exc)  # noqa: TRY400  one line
        else:
            self._at = self.path

    def close(self) -> None:
        """Closes it; its file goes if it is still this one, and not a successor's."""
        # A directory that is gone, or that this user may not write in any more.
        with contextlib.suppress(OSError):
            if file_at(self._at) == self._file:
                os.unlink(self._at)
        self.sock.close()


def default_control_socket() -> str | None:
    """Where systemd gives the service a directory, else nowhere."""
    directory = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return os.path.join(directory, "control.sock") if directory else None
