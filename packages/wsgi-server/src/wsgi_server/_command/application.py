"""One application of the command: its name, its URI, its options, and how it is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsgi_server.errors import LoadError

from . import loader, service_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from _typeshed.wsgi import WSGIApplication
    from oslo_config import cfg

    from wsgi_server._config.settings import Settings


@dataclass(frozen=True)
class Application:
    """What one generation serves under one name."""

    name: str
    uri: str
    settings: Settings
    #: For the application: it has read the files and none of our options, for another
    #: definition of one that both know, such as `bind_host`, would be an error there.
    conf: cfg.ConfigOpts

    def load(self) -> WSGIApplication:
        """Loads it, in a process that is its service from now on. Raises `LoadError`."""
        self._be_the_service()
        try:
            return loader.load(self.uri, self.conf)
        except LoadError as exc:
            # The line says it all; the traceback is for those who debug.
            cause = exc if self.settings.debug else None
            raise LoadError(f"{exc}{self._way_out(exc)}") from cause

    def around(self, serve: Callable[[], None]) -> None:
        """Serves, in a worker that may have been given the application loaded."""
        self._be_the_service()
        serve()

    def _be_the_service(self) -> None:
        name = self.settings.prog_name or service_name.derive(self.uri)
        service_name.assume(name, self.settings.app_args)

    def _way_out(self, exc: LoadError) -> str:
        """What to do where the application will not have eventlet; empty otherwise."""
        refuses = self.settings.engine == "eventlet" and any(
            "eventlet" in str(one) and not isinstance(one, ModuleNotFoundError)
            for one in _chain(exc)
        )
        if not refuses:
            return ""
        return (
            "; the eventlet engine imports eventlet: for an application that will not "
            "have it set engine = threads (--engine threads)"
        )


def _chain(exc: BaseException | None) -> Iterator[BaseException]:
    """What the application raised, and why."""
    exc = None if exc is None else exc.__cause__
    while exc is not None:
        yield exc
        exc = exc.__cause__ or exc.__context__
