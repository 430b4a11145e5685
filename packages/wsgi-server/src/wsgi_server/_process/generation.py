"""One configuration at work: services with their settings and their sockets.

A reload builds the next generation beside the present one, sharing every socket that both
want, and either takes its place whole or leaves no trace.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wsgi_server._config.settings import RESTART_ONLY
from wsgi_server._net.listeners import (
    Inheritance,
    Listener,
    open_listeners,
    reconfigure,
)
from wsgi_server._system import privileges

from .service import Deployment, Service, load

if TYPE_CHECKING:
    from wsgi_server._config.settings import Settings

LOG = logging.getLogger(__name__)


@dataclass
class Generation:
    """Services that were configured together."""

    number: int
    posts: dict[str, Deployment] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        """Those of the first service, which decide for the whole process tree."""
        return next(iter(self.posts.values())).service.settings

    @property
    def listeners(self) -> list[Listener]:
        """Every socket of every service."""
        return [item for post in self.posts.values() for item in post.listeners]

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
            identity = privileges.resolve(settings.user, settings.group)
            context = None
            if settings.cert_file is not None:
                # ssl is slow to import, and most deployments end TLS elsewhere.
                from wsgi_server._net.tls import server_context

                context = server_context(settings)
            listeners = open_listeners(
                settings,
                context,
                name=service.name,
                present=_known(present, service),
                inheritance=inheritance,
            )
            generation.posts[service.name] = Deployment(service, listeners, identity)
        for post in generation.posts.values():
            if post.service.settings.preload_app and generation.forks:
                post.app = load(post.service)
    except BaseException:
        retire(generation, keep=present.listeners if present is not None else [])
        raise
    return generation


def _known(present: Generation | None, service: Service) -> list[Listener]:
    """The sockets that `service` may go on with: its own, or one that moved to it."""
    if present is None:
        return []
    own = present.posts.get(service.name)
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
    for post in generation.posts.values():
        for listener in post.listeners:
            if id(listener.sock) in shared:
                try:
                    reconfigure(listener, post.service.settings)
                # The workers have changed over: there is no way back any more.
                except OSError as exc:
                    LOG.warning("%s keeps its old options: %s", listener.source, exc)


def log_changes(old: Generation, new: Sequence[Service]) -> None:
    """One line for each option that the new configuration changes."""
    names = {service.name for service in new}
    for gone in old.posts.keys() - names:
        LOG.info("reload: service %s is gone", gone)
    for service in new:
        if service.name not in old.posts:
            LOG.info("reload: service %s is new", service.name)
            continue
        before = old.posts[service.name].service.settings
        for name, was, will in before.changes(service.settings):
            LOG.info(
                "reload: %s changes from %s to %s%s",
                name,
                _shown(was),
                _shown(will),
                " after a restart" if name in RESTART_ONLY else "",
            )


def restart_bound(old: Generation, new: Sequence[Service]) -> list[Service]:
    """`new`, with what only a restart can change left as it is."""
    kept = {name: getattr(old.settings, name) for name in RESTART_ONLY}
    return [
        dataclasses.replace(
            service, settings=dataclasses.replace(service.settings, **kept)
        )
        for service in new
    ]


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return "nothing" if value is None else str(value)
