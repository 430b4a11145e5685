"""What the platform has, for those who do without where it has not.

Events have the same numbers for `poll`, for epoll and for what stands in for either. Whether
there are these two is a question for `unpatched`: eventlet takes them away.
"""

from __future__ import annotations

import os
import select
import socket
from typing import Final

IN: Final[int] = getattr(select, "POLLIN", 0x0300)
OUT: Final[int] = getattr(select, "POLLOUT", 0x0010)
ERR: Final[int] = getattr(select, "POLLERR", 0x0001)
HUP: Final[int] = getattr(select, "POLLHUP", 0x0002)
#: The client sends no more. Where there is none, HUP says so.
RDHUP: Final[int] = getattr(select, "POLLRDHUP", 0)
#: Once for everything that happens, not for as long as something is there.
EDGE: Final[int] = getattr(select, "EPOLLET", 1 << 31)
#: One process is woken for a connection, not all of them.
EXCLUSIVE: Final[int] = getattr(select, "EPOLLEXCLUSIVE", 0)

HAS_EVENTFD: Final = hasattr(os, "eventfd")
HAS_UNIX_SOCKETS: Final = hasattr(socket, "AF_UNIX")
#: Processes begin as copies of this one; elsewhere the program is started again.
HAS_FORK: Final = hasattr(os, "fork")
#: Users and groups that a process can become.
HAS_USERS: Final = hasattr(os, "setuid")
#: Pipes and terminals say whether they take something; elsewhere who writes has to wait.
HAS_PATIENT_PIPES: Final = hasattr(os, "O_NONBLOCK")
#: Seconds that the main thread may wait for a lock and hear of signals in time; None where
#: they end its wait.
PATIENT_LOCK: Final = 0.5 if os.name == "nt" else None
