"""`BaseServer`: the server as an object that a service makes, starts and waits for.

A thin face over the supervisor. The methods are those that `glance.common.wsgi` and
`heat.common.wsgi` had, for services that subclass or call them; each does what its name
says when it is called by itself, and the server calls them in the same places:

- `start` calls `configure` and then `start_wsgi`; a reload calls `configure` again, with
  what the configuration was before.
- `configure` calls `get_num_workers`, `create_pool` where a subclass has overridden it, and
  `configure_socket`.
- `start_wsgi` calls `run_child` for each worker; workers that die are replaced without it.
- A worker calls `run_server` where a subclass has overridden it.
- `wait` calls `wait_on_children` where there are workers, and `run_server` where not.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
import signal
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from oslo_config import cfg

from . import opts, pools, stores
from ._config.lookup import get_num_workers, option, own_request_log
from ._config.settings import DEFAULT_THREADS, Settings
from ._config.snapshot import Reading
from ._config.values import Values
from ._logs.standard_streams import open_closed
from ._options import OF_SOCKET
from .errors import ConfigError, ExitStatus, LoadError, ServerError

if TYPE_CHECKING:
    import socket

    from _typeshed.wsgi import WSGIApplication

    from ._process.embedded import Embedded
    from ._process.service import Service

LOG = logging.getLogger(__name__)

#: Files that the server creates are for its user and group (seed: os.umask(0o27)).
UMASK: Final = 0o027

#: Options that `stash_conf_values` remembers: those that a socket is made of.
_STASHED: Final = tuple(o for o in opts.BY_NAME.values() if OF_SOCKET in o.traits)

HasChanged = Callable[[str], bool]


class BaseServer(ABC):
    """Serves one application with the options of `conf`.

    `threads` bounds the requests that run at the same time in one worker, unless the
    option of that name is set; native threads have a default of their own. With
    `initialize_glance_store` the stores are made at the start and at every reload; with
    `initialize_prefetcher` `cache_images` runs every `cache_prefetcher_interval` seconds
    in one of the processes. `conf` is a `ConfigOpts` or one of its groups (heat passes
    `CONF.heat_api`), `cfg.CONF` where it is left out; options that the service has not
    registered are looked up in the section `[wsgi_server]` of its files. `name` is for
    logs and process titles.

    Making one sets the umask of the process to 027. Must be started in the main thread.
    """

    #: Where the lines of requests go while the option `access_log` is not set: a logger of
    #: the service's, or an adapter whose `process` adds the request's context as `extra`.
    #: None: to stdout. Its handlers never hold a request up.
    access_logger: logging.Logger | logging.LoggerAdapter[Any] | None = None
    #: The form of those lines while `access_log_format` is not set; None: its default.
    access_logger_format: str | None = None
    #: Seconds that an address may be in use at a start or a reload.
    bind_retry = 30.0
    spawns = False

    def __init__(
        self,
        threads: int = 1000,
        initialize_glance_store: bool = False,
        initialize_prefetcher: bool = False,
        *,
        conf: Any = None,
        name: str | None = None,
    ) -> None:
        os.umask(UMASK)
        self.threads = threads
        self.initialize_glance_store = initialize_glance_store
        self.initialize_prefetcher = initialize_prefetcher
        self.conf = cfg.CONF if conf is None else conf
        self.name = name or "wsgi"
        #: False once the server was told to stop.
        self.running = True
        self.application: WSGIApplication | None = None
        self.default_port: int | None = None
        #: What prefetches: a callable, or an object with `run`. Glance's where None.
        self.prefetcher: Any = None
        self._pool: Any = None
        self._settings: Settings | None = None
        #: What is served while a reload is under way.
        self._served: Settings | None = None
        self._supervisor: Embedded | None = None
        self._reading: Reading | None = None
        self._prefetch: stores.PrefetchJob | None = None
        self._prefetch_interval = stores.PREFETCH_INTERVAL
        #: In a worker: what serves.
        self._serve: Callable[[], None] | None = None
        self._configuring = self._reopening = False
        self._status = ExitStatus.OK

    def start(self, application: WSGIApplication, default_port: int | None) -> None:
        """Configures, binds and forks; returns while the workers get ready.

        `default_port` is bound where `conf` has no `bind_port`. Raises `ConfigError`,
        `BindError`, `BootError` and what glance_store raises.
        """
        self.application = application
        self.default_port = default_port
        self.running = True
        self.configure()
        self.start_wsgi()

    def start_wsgi(self) -> None:
        """Forks the workers; with none configured `wait` serves in this process."""
        if self._supervisor is None:
            self.configure_socket()
        supervisor = self._running_supervisor()
        if supervisor.forks:
            while len(self.children) < self._current().workers:
                self.run_child()
        supervisor.release()

    def wait(self) -> ExitStatus:
        """Serves until the server is told to stop, and returns why it did.

        `ExitStatus.OK` after a stop that was asked for; see `wsgi_server.errors`.
        """
        if self._running_supervisor().forks:
            return self.wait_on_children()
        self.run_server()
        return self._status

    def configure(
        self,
        old_conf: Mapping[str, Any] | None = None,
        has_changed: HasChanged | None = None,
    ) -> None:
        """Checks and applies the configuration: stores, then sockets.

        At a reload `old_conf` holds the stashed values from before and `has_changed`
        tells whether an option differs from them. Raises `ConfigError`, `BindError` and
        what glance_store raises; a reload is then given up.
        """
        self._read_settings()
        if self.initialize_glance_store:
            stores.initialize_stores(self.conf)
        self.configure_socket(old_conf, has_changed)

    def configure_socket(
        self,
        old_conf: Mapping[str, Any] | None = None,
        has_changed: HasChanged | None = None,
    ) -> None:
        """Opens the sockets, or brings them to what is configured now.

        A changed address is opened before the old socket closes; `backlog` and
        `tcp_keepidle` are set on a socket that stays. Within a reload, and once there are
        workers, the change is part of the transaction: it happens when new workers are
        ready, or not at all. Raises `ConfigError` and `BindError`.
        """
        if self._supervisor is None:
            self._supervisor = self._open()
        elif self._configuring:
            return  # the supervisor opens what the new settings want
        elif old_conf is None or has_changed is None or self._differs(has_changed):
            if self.children or self._supervisor.waiting:
                self._supervisor.reload()
            else:
                self._reopen(self._supervisor)

    @property
    def sock(self) -> socket.socket | None:
        """The first listening socket; None before `configure_socket`."""
        return self._supervisor.sockets[0] if self._supervisor is not None else None

    @property
    def urls(self) -> list[str]:
        """Where clients find the server; empty before `configure_socket`."""
        return self._supervisor.urls if self._supervisor is not None else []

    @property
    def children(self) -> set[int]:
        """The process ids of the workers that serve the present configuration."""
        return self._supervisor.children if self._supervisor is not None else set()

    @property
    def stale_children(self) -> set[int]:
        """The process ids of workers that finish what they have."""
        supervisor = self._supervisor
        return supervisor.stale_children if supervisor is not None else set()

    def get_num_workers(self) -> int:
        """Returns how many workers to run; 0 does not fork. For subclasses to change."""
        return get_num_workers(self.conf)

    def option_values(self) -> Mapping[str, Any]:
        """Values that count in place of those of `conf`. For subclasses to change."""
        return {}

    @property
    def pool(self) -> Any:
        """The pool that `create_pool` makes, when it is first asked for."""
        if self._pool is None:
            self._pool = self.create_pool()
        return self._pool

    @pool.setter
    def pool(self, pool: Any) -> None:
        self._pool = pool

    def create_pool(self) -> Any:
        """Returns a pool for `self.pool`; its `size` bounds the requests that run at once.

        For subclasses to change. The requests themselves run in greenlets of the
        engine's own; the pool is for what the service spawns beside them, and a stopping
        worker waits for it.
        """
        return pools.get_asynchronous_eventlet_pool(size=self.threads)

    @abstractmethod
    def run_child(self) -> None:
        """Starts one worker."""

    @abstractmethod
    def wait_on_children(self) -> ExitStatus:
        """Replaces workers that die, reloads, and returns when all have stopped."""

    @abstractmethod
    def kill_children(self, *args: object) -> None:
        """Stops the workers, and the server with them; usable as a signal handler."""

    def run_server(self) -> None:
        """Serves `application` on the sockets until this process is told to stop.

        In a worker this is where its requests are served; overridden, it may do
        something before and after `super().run_server()`. Called by itself it serves in
        this process, without workers.
        """
        if self._serve is not None:
            self._serve()
            return
        if self._supervisor is None:
            self.configure_socket()
        self._start_prefetching()
        try:
            self._status = self._running_supervisor().serve_here()
        finally:
            if self._prefetch is not None:
                self._prefetch.stop(0)
            self._end()

    @staticmethod
    def set_signal_handler(signal_name: str, handler: Any) -> None:
        """Installs `handler` where the platform knows the signal, as `"SIGHUP"`.

        The server has handlers of its own from `configure_socket` on; one that is
        installed after that replaces it.
        """
        signum = getattr(signal, signal_name, None)
        if signum is not None:
            signal.signal(signum, handler)

    def hup(self, *args: object) -> None:
        """Notes that a reload is wanted; usable as a signal handler. Raises nothing."""
        if self._supervisor is not None:
            self._supervisor.reload()

    def reload(self) -> None:
        """Reads the configuration again and changes over to it as a transaction.

        New workers get ready before the old ones go; whatever fails leaves everything as
        it was, and the log says why. While `wait` runs this only notes the wish;
        otherwise it returns when the reload is done or given up.
        """
        supervisor = self._running_supervisor()
        if supervisor.waiting or not supervisor.forks:
            supervisor.reload()
        else:
            supervisor.reload_now()

    def stash_conf_values(self) -> dict[str, Any]:
        """Returns the present values of the options that a socket is made of."""
        values = Values(self.conf)
        return {option.name: values[option] for option in _STASHED}

    def cache_images(self) -> None:
        """Runs the prefetcher once, in this process.

        One of the workers calls it. Raises `StoreError` without Glance or a `prefetcher`.
        """
        if self.prefetcher is None:
            self.prefetcher = stores.find_prefetcher()
        getattr(self.prefetcher, "run", self.prefetcher)()

    def _read_settings(self) -> None:
        try:
            values = {**self.option_values(), "workers": self.get_num_workers()}
        except cfg.Error as exc:
            raise ConfigError(str(exc)) from exc
        settings = Settings.from_conf(
            self.conf, default_port=self.default_port, **values
        )
        if self.initialize_prefetcher:
            self._prefetch_interval = stores.prefetch_interval(self.conf)
        pooled = type(self).create_pool is not BaseServer.create_pool
        bound = getattr(self.pool, "size", self.threads) if pooled else self.threads
        # The operator's `threads` wins; the seeds' default was made for greenlets.
        chosen = option(self.conf, "threads") is not None
        green = settings.engine == "eventlet"
        if not chosen and (green or bound != DEFAULT_THREADS["eventlet"]):
            settings = dataclasses.replace(settings, threads=bound)
        own = own_request_log(self.conf, self.access_logger, self.access_logger_format)
        # The application came loaded; what a worker does first belongs into the worker.
        self._settings = dataclasses.replace(settings, preload_app=False, **own)

    def _current(self) -> Settings:
        if self._settings is None:
            self._read_settings()
        assert self._settings is not None  # noqa: S101  just read
        return self._settings

    def _running_supervisor(self) -> Embedded:
        if self._supervisor is None:
            raise ServerError(
                "the server was not started: call start or configure first"
            )
        return self._supervisor

    def _open(self) -> Embedded:
        from ._process.embedded import Embedded

        open_closed()
        supervisor = Embedded(
            self._services,
            on_failed_reload=self._return_to_old,
            in_child=self._start_prefetching,
            before_exit=self._leave_worker,
            bind_retry=self.bind_retry,
            spawns=self.spawns,
        )
        if self.initialize_prefetcher:
            # Before the fork: the workers share its lock.
            self._prefetch = stores.PrefetchJob(self.cache_images)
        supervisor.start()
        return supervisor

    def _reopen(self, supervisor: Embedded) -> None:
        before = self._settings
        self._read_settings()
        self._reopening = True
        try:
            supervisor.reopen()
        except BaseException:
            self._settings = before
            raise
        finally:
            self._reopening = False

    def _services(self) -> list[Service]:
        """Returns what the supervisor asks for at the start and at every reload."""
        from ._process.service import Service

        if self._supervisor is not None and not self._reopening:
            self._configure_again()
        return [Service(self.name, self._current(), self._load, self._run_in_worker)]

    def _configure_again(self) -> None:
        self._reading = None
        self._served = self._settings
        reading = Reading(self.conf, self.stash_conf_values())
        reading.renew()
        self._reading = reading
        self._configuring = True
        try:
            self.configure(
                reading.stash, functools.partial(self._has_changed, reading.stash)
            )
        # Services and stores raise these for what an operator can put right.
        except (RuntimeError, ValueError, cfg.Error) as exc:
            raise ConfigError(str(exc)) from exc
        finally:
            self._configuring = False

    def _return_to_old(self) -> None:
        """Goes back: `conf` and the stores are what the workers still use."""
        if self._reading is None:
            return
        reading, self._reading = self._reading, None
        reading.restore()
        self._settings = self._served
        if not self.initialize_glance_store:
            return
        try:
            stores.initialize_stores(self.conf)
        # They worked before; if not now, the running workers have theirs all the same.
        except Exception:
            LOG.exception("cannot return to the stores of the old configuration")

    def _has_changed(self, old: Mapping[str, Any], name: str) -> bool:
        return bool(self.stash_conf_values().get(name) != old.get(name))

    def _differs(self, has_changed: HasChanged) -> bool:
        return any(has_changed(known.name) for known in _STASHED)

    def _supervise(self) -> ExitStatus:
        try:
            return self._running_supervisor().wait()
        finally:
            self._end()

    def _end(self) -> None:
        self.running = False
        self._supervisor = self._reading = None

    def _load(self) -> WSGIApplication:
        """Returns the application, in a worker."""
        if self.application is None:
            raise LoadError(f"{self.name} has no application: start was not called")
        return self.application

    def _run_in_worker(self, serve: Callable[[], None]) -> None:
        """Does in a worker what `run_server` does around serving, and serves."""
        self._serve = serve
        self.run_server()

    def _start_prefetching(self) -> None:
        if self._prefetch is not None:
            self._prefetch.start(self._prefetch_interval)

    def _leave_worker(self, patience: float) -> None:
        deadline = monotonic() + patience
        if self._prefetch is not None:
            self._prefetch.stop(max(0.0, deadline - monotonic()))
        pools.wait_all_pools(max(0.0, deadline - monotonic()))
