"""Where the admin side is found: the listeners of `admin_bind`, and the control socket."""

from __future__ import annotations

import dataclasses
import logging
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from wsgi_server._net.control_socket import ControlSocket, default_control_socket
from wsgi_server._net.listeners import Inheritance, open_listeners
from wsgi_server.errors import BindError, ConfigError

if TYPE_CHECKING:
    from wsgi_server._config.settings import Settings
    from wsgi_server._net.listeners import Listener

LOG = logging.getLogger(__name__)

#: What stands for the service's name where sockets are handed over.
NAME: Final = "admin_bind"


def open_admin_listeners(
    settings: Settings, inheritance: Inheritance
) -> list[Listener]:
    """Listens where `admin_bind` says, or goes on with what a predecessor had.

    Raises `BindError` and `ConfigError`; then nothing stays open.
    """
    if settings.admin_bind is None:
        return []
    own = dataclasses.replace(settings, binds=(settings.admin_bind,))
    return open_listeners(own, name=NAME, inheritance=inheritance)


class Doors:
    """Made at the start; nobody comes in before `open`.

    Where this server succeeds another one (`succeeds`), that is when it has taken over:
    until then the other answers. Raises `ConfigError` and `BindError` where a control
    socket that was asked for cannot be had.
    """

    def __init__(
        self, settings: Settings, listeners: Sequence[Listener], *, succeeds: bool
    ) -> None:
        self._listeners = listeners
        self._control = _control_socket(settings, succeeds=succeeds)

    def open(self) -> tuple[list[socket.socket], socket.socket | None]:
        """All sockets to listen on, and that of them which takes orders."""
        for listener in self._listeners:
            LOG.info("admin: %s", listener.url)
        socks = [listener.sock for listener in self._listeners]
        if self._control is None:
            return socks, None
        self._control.publish()
        LOG.info("admin: control socket %s", self._control.path)
        return [*socks, self._control.sock], self._control.sock

    def fds(self) -> list[int]:
        """What a forked worker must not keep open, beside the listeners."""
        return [] if self._control is None else [self._control.sock.fileno()]

    def close(self) -> None:
        """Closes the control socket; its file goes where it is still this one's."""
        if self._control is not None:
            self._control.close()


def _control_socket(settings: Settings, *, succeeds: bool) -> ControlSocket | None:
    path = settings.control_socket or default_control_socket()
    if path is None:
        return None
    try:
        return ControlSocket(path, settings.control_socket_mode, takes_over=succeeds)
    except (BindError, ConfigError) as exc:
        if settings.control_socket is not None:
            raise
        # Nobody asked for it.
        LOG.info("no control socket: %s", exc)
        return None
