"""Log files that were moved away are opened anew, in every process (SIGUSR1)."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

from wsgi_server._system.platform import HAS_PATIENT_PIPES
from wsgi_server._system.privileges import Identity

from .nonblocking import open_nonblocking
from .server import FileLog

LOG = logging.getLogger(__name__)


def reopen(identity: Identity | None = None) -> None:
    """Opens the file of every `logging.FileHandler` again, wherever it hangs.

    With `identity` the file is also given to it, so that workers which gave their
    privileges up can do the same. A file that cannot be opened keeps the old one.
    """
    for handler in set(_file_handlers()):
        try:
            fresh = open_nonblocking(
                handler.baseFilename, handler.encoding, handler.errors
            )
        except OSError as exc:
            LOG.warning(
                "cannot reopen %s: %s; the old file is kept",
                handler.baseFilename,
                exc.strerror,
            )
            continue
        if HAS_PATIENT_PIPES and not isinstance(handler, FileLog):
            # It is used to it that a write waits.
            os.set_blocking(fresh.fileno(), True)
        old = handler.stream
        handler.setStream(fresh)
        if old is not None:
            old.close()
        if identity is not None:
            hand_over(handler, identity)


def hand_over_all(identity: Identity) -> None:
    """Gives every log file to `identity`."""
    for handler in set(_file_handlers()):
        hand_over(handler, identity)


def hand_over(handler: logging.FileHandler, identity: Identity) -> None:
    """Gives the handler's file to `identity`; a refusal is logged."""
    try:
        identity.own(handler.baseFilename)
    except OSError as exc:
        LOG.warning("cannot give %s away: %s", handler.baseFilename, exc.strerror)


def _file_handlers() -> Iterator[logging.FileHandler]:
    loggers = [logging.getLogger(), *logging.Logger.manager.loggerDict.values()]
    for logger in loggers:
        if isinstance(logger, logging.Logger):
            for handler in logger.handlers:
                if isinstance(handler, logging.FileHandler):
                    yield handler
