"""A reload from the wish for it to its end: when it is tried, and what became of it.

It reads the configuration and opens what that wants. Whether the workers of the candidate
come up, and who goes when they have, is the supervisor's business.
"""

from __future__ import annotations

import logging
import math

from wsgi_server._net.binding import AddressInUse
from wsgi_server.errors import ServerError

from .generation import Generation
from .main_process import BIND_PAUSE, Premises

LOG = logging.getLogger(__name__)


class Renewal:
    """The reload of `premises` that is under way, or none."""

    def __init__(self, premises: Premises) -> None:
        self._premises = premises
        #: Another one was asked for; it begins when nothing is in its way.
        self.wanted = False
        #: The generation that is to be the present one when all its workers are ready.
        self.candidate: Generation | None = None
        #: When an address that was in use is tried again.
        self.due = math.inf
        self._until = math.inf
        #: Reloads that ended well, and that did not.
        self.accepted = 0
        self.given_up = 0

    @property
    def under_way(self) -> bool:
        """Whether one has begun and not ended."""
        return self.candidate is not None or self.due is not math.inf

    def begin(self, now: float) -> str | None:
        """Starts one. Returns why nothing can come of it, None when something can."""
        self.wanted = False
        self._premises.notifier.reloading()
        LOG.info("reload: reading the configuration")
        self._until = now + self._premises.bind_retry
        return self.attempt(now)

    def attempt(self, now: float) -> str | None:
        """Tries to make the candidate, or sets `due` for another attempt; as `begin`."""
        first = self.due is math.inf
        self.due = math.inf
        try:
            self.candidate = self._premises.next_generation(first_attempt=first)
        except AddressInUse as exc:
            if now >= self._until:
                return str(exc)
            if first:
                patience = self._premises.bind_retry
                LOG.warning("reload: %s; trying for %g s", exc, patience)
            self.due = now + BIND_PAUSE
        except ServerError as exc:
            return str(exc)
        # The boundary to the program's own `configure`.
        except Exception as exc:
            LOG.exception("reload: reading the configuration failed")
            return f"{type(exc).__name__}: {exc}"
        else:
            LOG.info("reload: starting generation %d", self.candidate.number)
        return None

    def accept(self, candidate: Generation) -> None:
        """The candidate becomes the present generation."""
        self.candidate = None
        self._premises.move_to(candidate)
        self.accepted += 1

    def give_up(self, reason: str) -> None:
        """Says why, and leaves nothing of the candidate; the present one goes on."""
        self.given_up += 1
        present = self._premises.present.number
        LOG.error("reload failed: %s; generation %d goes on", reason, present)
        self.drop()

    def drop(self) -> None:
        """Ends it without a word, because everything ends."""
        self.due = math.inf
        candidate, self.candidate = self.candidate, None
        if candidate is not None:
            self._premises.discard(candidate)
