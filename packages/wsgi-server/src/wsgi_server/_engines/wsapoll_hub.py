"""eventlet's hub for Windows: that of `select` takes 512 sockets."""

from __future__ import annotations

import math
import sys
import warnings
from typing import Any, Final

from wsgi_server._system import unpatched
from wsgi_server._system.platform import ERR, HUP, IN, OUT

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from eventlet.hubs import selects

_ENDED: Final = ERR | HUP


class Hub(selects.Hub):  # type: ignore[misc]
    """Waits for the sockets and timers of a worker."""

    def wait(self, seconds: float | None = None) -> None:
        """Calls back whoever waits for what is ready, after up to `seconds`."""
        readers, writers = self.listeners[self.READ], self.listeners[self.WRITE]
        if not readers and not writers:
            unpatched.sleep(seconds or 0)
            return
        poll = unpatched.poll()
        for fd in {*readers, *writers}:
            poll.register(
                fd, (IN if fd in readers else 0) | (OUT if fd in writers else 0)
            )
        wait = None if seconds is None else math.ceil(seconds * 1000)
        for fd, mask in poll.poll(wait):
            if mask & (IN | _ENDED):
                self._call(readers, fd)
            if mask & (OUT | _ENDED):
                self._call(writers, fd)

    def _call(self, listeners: Any, fd: int) -> None:
        listener = listeners.get(fd)
        if listener is None:
            return
        try:
            listener.cb(fd)
        except self.SYSTEM_EXCEPTIONS:
            raise
        # As every hub of eventlet: whoever waits in vain is told so.
        except BaseException:  # noqa: BLE001
            self.squelch_exception(fd, sys.exc_info())
