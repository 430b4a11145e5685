"""One configuration at work: services with their settings and their sockets.

A reload builds the next generation beside the present one, sharing every socket that both
want, and either takes its place whole or leaves no trace.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from wsgi_server._net.listeners import (
    Inheritance,
    Listener,
    open_listeners,
    reconfigure,
)
from wsgi_server._system import forks

from .checks import prepare
from .service import Deployment, Service, load
from .worker import MARGIN

if TYPE_CHECKING:
    from wsgi_server._config.settings import Settings

LOG = logging.getLogger(__name__)

#: Seconds to end workers that do not leave in time, and then what they have forked: a margin
#: for each, and a moment for a stack.
CLEARING: Final = 2 * MARGIN + 1.0


@dataclass
class Generation:
    """Services that were configured together."""

    number: int
    deployments: dict[str, Deployment] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        """Those of the first service, which decide for the whole process tree."""
        return next(iter(self.deployments.values())).service.settings

    @property
    def listeners(self) -> list[Listener]:
        """Every socket of every service."""
        return [
            item
            for deployment in self.deployments.values()
            for item in deployment.listeners
        ]

    def wanted(self, service: str) -> int:
        """How many workers that service should have; 0 for one that is not here."""
        deployment = self.deployments.get(service)
        return 0 if deployment is None else deployment.wanted

    def resize(self, step: int) -> None:
        """So many workers more, or fewer, for each service; never none."""
        for deployment in self.deployments.values():
            if deployment.wanted + step >= 1:
                deployment.extra += step
            LOG.info(
                "%s: %d workers wanted", deployment.service.name, deployment.wanted
            )

    def leave_behind(self, keep: Collection[int]) -> None:
        """In a forked child: closes the sockets that are not in `keep`."""
        for listener in self.listeners:
            listener.leave_behind(keep)

    def grace(self) -> str:
        """The seconds from TERM to the end of the last process, and their sum."""
        delay = self.settings.drain_delay
        longest = max(
            deployment.service.settings.graceful_timeout
            for deployment in self.deployments.values()
        )
        return (
            f"{delay + longest + CLEARING:g} s, which is drain_delay ({delay:g}) + "
            f"graceful_timeout ({longest:g}) + {CLEARING:g} to end what has not left; a "
            "preStop hook takes its time from it as well"
        )

    @property
    def forks(self) -> bool:
        """False where the one process serves by itself."""
        return self.settings.workers > 0


def build(
    number: int,
    services: Sequence[Service],
    *,
    present: Generation | None = None,
    inheritance: Inheritance | None = None,
) -> Generation:
    """Opens what `services` want and is not open yet; loads what is to be preloaded.

    Raises a `ServerError`; then nothing that was opened here is left.
    """
    generation = Generation(number)
    try:
        for service in services:
            settings = service.settings
            prepared = prepare(settings)
            listeners = open_listeners(
                settings,
                prepared.tls,
                name=service.name,
                present=_known(present, service),
                inheritance=inheritance,
            )
            generation.deployments[service.name] = Deployment(
                service, listeners, prepared.identity
            )
        with forks.during(generation.leave_behind):
            for deployment in generation.deployments.values():
                if deployment.service.settings.preload_app and generation.forks:
                    deployment.app = load(deployment.service)
    except BaseException:
        retire(generation, keep=present.listeners if present is not None else [])
        raise
    return generation


def _known(present: Generation | None, service: Service) -> list[Listener]:
    """The sockets that `service` may go on with: its own, or one that moved to it."""
    if present is None:
        return []
    own = present.deployments.get(service.name)
    return [
        *(
            listener
            for listener in present.listeners
            # Port 0 means another port for every service.
            if not str(listener.source).endswith(":0")
        ),
        *(own.listeners if own is not None else ()),
    ]


def retire(generation: Generation, *, keep: Iterable[Listener]) -> None:
    """Closes the sockets of `generation` that `keep` does not hold."""
    kept = {id(listener.sock) for listener in keep}
    for listener in generation.listeners:
        if id(listener.sock) not in kept:
            listener.close()


def accept(old: Generation, new: Generation) -> None:
    """Makes `new` the present one: its socket options count, sockets only `old` had go."""
    apply_options(new, to=old.listeners)
    retire(old, keep=new.listeners)


def apply_options(generation: Generation, *, to: Iterable[Listener]) -> None:
    """Sets the options of `generation` on what it shares with `to`; failures are logged."""
    shared = {id(listener.sock) for listener in to}
    for deployment in generation.deployments.values():
        for listener in deployment.listeners:
            if id(listener.sock) in shared:
                try:
                    reconfigure(listener, deployment.service.settings)
                # The workers have changed over: there is no way back any more.
                except OSError as exc:
                    LOG.warning("%s keeps its old options: %s", listener.source, exc)
