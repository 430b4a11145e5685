"""A service: an application with its binds and settings; a deployment is one of them in one generation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsgi_server._config.addresses import InheritedAddress, SystemdAddress
from wsgi_server._net.listeners import Listener
from wsgi_server._system import privileges
from wsgi_server._system.platform import HAS_FORK
from wsgi_server.errors import ConfigError, LoadError, ServerError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from wsgi_server._config.settings import Settings


def _serve(serve: Callable[[], None]) -> None:
    serve()


@dataclass(frozen=True)
class Service:
    """One application with its own binds and workers.

    `load` is called in every worker, after the fork; with `preload_app` once, before it.
    It may raise anything; `LoadError` carries its own explanation. `around` is called in a
    worker with what serves there, and calls it.
    """

    name: str
    settings: Settings
    load: Callable[[], WSGIApplication]
    around: Callable[[Callable[[], None]], object] = _serve


@dataclass
class Deployment:
    """A service of one generation, with what its workers are given."""

    service: Service
    listeners: list[Listener]
    identity: privileges.Identity
    app: WSGIApplication | None = None
    #: Workers more or less than configured, by SIGTTIN and SIGTTOU.
    extra: int = 0

    @property
    def wanted(self) -> int:
        """How many workers it should have."""
        return max(1, self.service.settings.workers + self.extra)


def load(service: Service) -> WSGIApplication:
    """The service's application. Raises `ServerError`, whatever the application did."""
    try:
        return service.load()
    except ServerError:
        raise
    # The boundary to the application's module level, which may also call sys.exit().
    except (Exception, SystemExit) as exc:
        raise not_loaded(service, exc) from exc


def not_loaded(service: Service, exc: BaseException) -> LoadError:
    """What to raise for `exc`, which the service's own code raised before it served."""
    return LoadError(f"cannot load {service.name}: {type(exc).__name__}: {exc}")


def refuse_absent(settings: Settings) -> None:
    """Raises `ConfigError` for what this platform has not, and the others have."""
    if HAS_FORK:
        return
    wanted: dict[str, object] = {
        "admin_bind": settings.admin_bind,
        "control_socket": settings.control_socket,
        "max_worker_rss": settings.max_worker_rss,
        "user": settings.user,
        "group": settings.group,
    }
    handed = (InheritedAddress, SystemdAddress)
    for bind in settings.binds:
        if isinstance(bind, handed):
            wanted["bind"] = bind
    for name, value in wanted.items():
        if value is not None:
            raise ConfigError(f"{name} = {value}: this system has nothing like it")


def check(services: Sequence[Service]) -> None:
    """Raises `ConfigError` for services that cannot live together, or not here."""
    if not services:
        raise ConfigError("there is no service to run")
    for service in services:
        refuse_absent(service.settings)
    names = [service.name for service in services]
    if len(set(names)) < len(names):
        raise ConfigError(f"two services have the same name: {', '.join(names)}")
    if len(services) > 1 and any(not s.settings.workers for s in services):
        raise ConfigError(
            "workers = 0 serves one application in one process; several need workers"
        )
    seen: dict[str, str] = {}
    for service in services:
        for address in service.settings.binds:
            other = seen.setdefault(str(address), service.name)
            if other != service.name and not str(address).endswith(":0"):
                raise ConfigError(
                    f"{other} and {service.name} both want to bind {address}"
                )
