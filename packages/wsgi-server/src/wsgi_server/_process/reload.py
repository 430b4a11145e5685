"""A reload from the wish for it to its end, for the supervisor and the single process alike.

`begin` reads and checks the configuration, once; `open` opens what it wants and is not open
yet, and is tried again while an address is in use. What then makes the coming generation
serve differs: the supervisor spawns its workers and waits for them, the single process loads
its application. Either ends the reload by `accept` or by `give_up`.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import os
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from wsgi_server._config.settings import OF_SERVER, RESTART_ONLY
from wsgi_server._net.binding import AddressInUse
from wsgi_server._net.retry import Retry
from wsgi_server.errors import ConfigError, ServerError

from . import generation as generations
from .service import Service, check

if TYPE_CHECKING:
    from .generation import Generation
    from .main_process import MainProcess

LOG = logging.getLogger(__name__)


class Reload:
    """The reload of `main` that is under way, or none.

    `configure` is the program's own; it is called once for each reload. `on_failure` is
    called when one is given up, `summary` tells systemd what serves when one has ended.
    """

    def __init__(
        self,
        main: MainProcess,
        configure: Callable[[], Sequence[Service]],
        on_failure: Callable[[], object] | None,
        summary: Callable[[], str],
    ) -> None:
        self._main = main
        self._configure = configure
        self._on_failure = on_failure
        self._summary = summary
        self._number = main.present.number
        self._services: Sequence[Service] = ()
        self._retry: Retry | None = None
        #: Another one was asked for; it begins when nothing is in its way.
        self.wanted = False
        #: The generation that is to be the present one.
        self.coming: Generation | None = None
        #: When `open` tries an address again that was in use.
        self.due = math.inf
        #: Reloads that ended well, and that did not.
        self.accepted = 0
        self.given_up = 0
        #: Why the last one was given up, empty where it was accepted; how long it took.
        self.last_failure = ""
        self.seconds = 0.0
        self._begun = 0.0

    @property
    def under_way(self) -> bool:
        """Whether one has begun and not ended."""
        return self._retry is not None

    def begin(self) -> None:
        """Reads the configuration and opens what it wants, or gives the reload up."""
        self.wanted = False
        self._begun = time.monotonic()
        self._main.notifier.reloading()
        LOG.info("reload: reading the configuration")
        self._retry = Retry(self._main.bind_retry, "reload: ")
        try:
            self._main.directory.follow()
            self._services = self._read()
        except ServerError as exc:
            self.give_up(str(exc))
        # The boundary to the program's own `configure`.
        except Exception as exc:
            LOG.exception("reload: reading the configuration failed")
            self.give_up(f"{type(exc).__name__}: {exc}")
        else:
            self.open()

    def open(self) -> None:
        """Sets `coming`, or `due` for another attempt, or gives the reload up."""
        self.due = math.inf
        if self._retry is None:
            return
        try:
            try:
                self.coming = self._build(self._services)
            except AddressInUse as exc:
                self.due = time.monotonic() + self._retry.pause(exc)
            else:
                LOG.info("reload: starting generation %d", self.coming.number)
        except ServerError as exc:
            self.give_up(str(exc))

    def accept(self, coming: Generation) -> bool:
        """Makes `coming` the present one; false where that fails and it is given up.

        Sockets that only the old one had are closed.
        """
        try:
            self._move_to(coming)
        # Whatever it was: the supervisor would meet it again in every turn of its loop.
        except Exception as exc:
            LOG.exception("reload: an unforeseen fault")
            self.give_up(f"{type(exc).__name__}: {exc}")
            return False
        self.accepted += 1
        self.last_failure = ""
        self.seconds = time.monotonic() - self._begun
        self._main.directory.stay()
        self._end()
        self._main.notifier.ready(self._summary())
        return True

    def give_up(self, reason: str) -> None:
        """Says why, and leaves nothing of the coming generation; the present one goes on."""
        self.given_up += 1
        self.last_failure = reason
        if self._on_failure is not None:
            self._on_failure()
        present = self._main.present.number
        LOG.error("reload failed: %s; generation %d goes on", reason, present)
        self.drop()
        self._main.notifier.ready(self._summary())

    def drop(self) -> None:
        """Ends it without a word, because everything ends."""
        self._main.directory.back()
        if self.coming is not None:
            generations.retire(self.coming, keep=self._main.present.listeners)
        self._end()

    def change_at_once(self) -> None:
        """Moves to what is configured now, where no worker serves yet.

        Raises a `ServerError`, or whatever `configure` raises; then all is as it was.
        """
        self._move_to(self._build(self._read()))

    def _end(self) -> None:
        self._retry = self.coming = None
        self.due = math.inf

    def _read(self) -> list[Service]:
        present = self._main.present
        services = self._configure()
        check(services)
        settings = services[0].settings
        if (settings.workers > 0) != present.forks:
            raise ConfigError(
                f"workers = {settings.workers}: changing between 0 and more needs a "
                "restart"
            )
        if not present.forks and settings.engine != present.settings.engine:
            raise ConfigError(
                f"engine = {settings.engine}: with workers = 0 the process keeps its "
                "engine; restart it"
            )
        _log_changes(present, services)
        return _restart_bound(present, services)

    def _build(self, services: Sequence[Service]) -> Generation:
        generation = generations.build(
            self._number + 1,
            services,
            present=self._main.present,
            inheritance=self._main.inheritance,
        )
        self._number += 1
        return generation

    def _move_to(self, generation: Generation) -> None:
        old = self._main.present
        known = {id(listener.sock) for listener in old.listeners}
        generations.accept(old, generation)
        self._main.present = generation
        os.umask(generation.settings.umask)
        for listener in generation.listeners:
            if id(listener.sock) not in known:
                LOG.info("listening on %s", listener.url)
        LOG.info(
            "reload: generation %d serves, generation %d retires",
            generation.number,
            old.number,
        )
        self._main.say_grace()


def _log_changes(old: Generation, new: Sequence[Service]) -> None:
    """One line for each option that the new configuration changes."""
    names = {service.name for service in new}
    for gone in old.deployments.keys() - names:
        LOG.info("reload: service %s is gone", gone)
    for service in new:
        if service.name not in old.deployments:
            LOG.info("reload: service %s is new", service.name)
            continue
        before = old.deployments[service.name].service.settings
        for name, was, will in before.changes(service.settings):
            LOG.info(
                "reload: %s changes from %s to %s%s",
                name,
                _shown(was),
                _shown(will),
                " after a restart" if name in RESTART_ONLY else "",
            )


def _restart_bound(old: Generation, new: Sequence[Service]) -> list[Service]:
    """`new`, with what only a restart can change left as it is."""
    found = []
    for service in new:
        before = old.deployments.get(service.name)
        names = RESTART_ONLY if before is not None else RESTART_ONLY & OF_SERVER
        settings = old.settings if before is None else before.service.settings
        kept = {name: getattr(settings, name) for name in names}
        found.append(
            dataclasses.replace(
                service, settings=dataclasses.replace(service.settings, **kept)
            )
        )
    return found


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return "nothing" if value is None else str(value)
