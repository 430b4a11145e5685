"""A connection in a process that the application forked: it is the worker's alone."""

from __future__ import annotations

import errno
import os
import sys
from typing import Any, Final, NoReturn


class Nowhere:
    """The transport of a connection there: nothing comes, and nobody may send.

    Who comes back from the application, to answer a request that another process answers,
    ends the process: with 0, with the status of the `SystemExit` that brought it here, or
    with 1 where that was another exception.
    """

    direct: Final = True
    holds_more: Final = False
    unsent: Final = False

    def recv(self, *_: Any) -> NoReturn:
        """Nothing can be read any more."""
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    recv_into = recvmsg_into = recv

    @property
    def bare(self) -> Nowhere:
        """What is below TLS."""
        return self

    def __getattr__(self, _name: str) -> NoReturn:
        exc = sys.exc_info()[1]
        code = exc.code if isinstance(exc, SystemExit) else int(exc is not None)
        os._exit(code if isinstance(code, int) else int(code is not None))
