"""Whether there is to be an admin side, asked without importing it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wsgi_server._net.control_socket import default_control_socket

if TYPE_CHECKING:
    from wsgi_server._config.settings import Settings

#: Seconds between two points of the page's past.
TICK: Final = 1.0


def is_wanted(settings: Settings) -> bool:
    """Whether anybody asked for an admin side, or systemd gives it a place."""
    asked = settings.admin_bind is not None or settings.control_socket is not None
    return asked or default_control_socket() is not None
