"""eventlet's hub for epoll, with timers that are not up to a millisecond late.

`epoll_wait` counts in milliseconds and rounds up: a nap of ten takes eleven. `select` counts
in microseconds, and can wait for an epoll set.
"""

from __future__ import annotations

import warnings
from typing import Any, Final

from wsgi_server._system import unpatched

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from eventlet.hubs import epolls


#: Seconds within which a timer is worth a second call.
NEAR: Final = 0.05
#: The first descriptor that `select` does not know.
FD_SETSIZE: Final = 1024


def is_available() -> bool:
    """Whether the platform has epoll; eventlet asks this of every hub."""
    return bool(epolls.is_available())


class Hub(epolls.Hub):  # type: ignore[misc]
    """Waits for the sockets and timers of a worker."""

    def do_poll(self, seconds: float) -> Any:
        """Returns what is ready, as soon as something is or `seconds` have passed."""
        fd = self.poll.fileno()
        if 0 < seconds < NEAR and fd < FD_SETSIZE:
            unpatched.select((fd,), (), (), seconds)
            seconds = 0
        return self.poll.poll(seconds)
