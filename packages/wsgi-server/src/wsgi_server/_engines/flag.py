"""A flag that an epoll set reports when it is raised, from whatever thread."""

from __future__ import annotations

import os
import select
from typing import Any


class Flag:
    """Raised while somebody should look at what is ready.

    The set reports it once for every time that it is raised, so lowering costs nothing.
    """

    def __init__(self, epoll: Any) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.raised = False
        epoll.register(self.fd, select.EPOLLIN | select.EPOLLET)

    def wave(self) -> None:
        """Raises it, again if it is up already."""
        self.raised = True
        os.eventfd_write(self.fd, 1)

    def lower(self) -> None:
        """The set has reported it."""
        self.raised = False

    def close(self) -> None:
        """Gives the descriptor back."""
        os.close(self.fd)
