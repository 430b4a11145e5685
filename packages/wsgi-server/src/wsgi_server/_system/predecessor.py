"""The old supervisor as its successor at an upgrade sees it; the other side is `_process.upgrade`."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import MutableMapping
from typing import Final

from . import unpatched

LOG = logging.getLogger(__name__)

#: Listening sockets by name, as JSON.
SOCKETS: Final = "WSGI_SERVER_SOCKETS"
#: The descriptor to write to.
READY: Final = "WSGI_SERVER_READY"


class Predecessor:
    """Its sockets, and a word to it when we are ready. `environ` has both to itself."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        # Taken out, so that what the workers start does not believe in them.
        ready = environ.pop(READY, None)
        self.sockets: dict[str, int] = json.loads(environ.pop(SOCKETS, "{}"))
        self._writer = None if ready is None else int(ready)
        for fd in (self._writer, *self.sockets.values()):
            if fd is not None:
                os.set_inheritable(fd, False)

    def __bool__(self) -> bool:
        return self._writer is not None

    def fds(self) -> list[int]:
        """What a worker must not keep open."""
        return [] if self._writer is None else [self._writer]

    def dismiss(self) -> None:
        """Says that the workers are ready; the old supervisor then drains."""
        if self._writer is not None:
            try:
                unpatched.write(self._writer, b"ready\n")
            except BrokenPipeError:
                LOG.warning("the old supervisor was gone before it could be told")
            self.close()

    def close(self) -> None:
        """Closes the pipe; without `dismiss` the old supervisor stays."""
        if self._writer is not None:
            os.close(self._writer)
            self._writer = None
