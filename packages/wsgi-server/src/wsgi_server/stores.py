"""glance_store, and the job that fills the image cache (extra `glance-store`).

The library is imported when a function needs it; without it the functions raise
`StoreError` and say what to install.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from oslo_config import cfg

from ._config.values import root
from .errors import ConfigError, StoreError

LOG = logging.getLogger(__name__)

#: Stores that Glance keeps for itself, with their drivers.
RESERVED_STORES: Final[Mapping[str, str]] = MappingProxyType(
    {"os_glance_staging_store": "file", "os_glance_tasks_store": "file"}
)
_RESERVED_PREFIX: Final = "os_glance_"

#: Seconds between two runs of the prefetcher where `cache_prefetcher_interval` is unknown.
PREFETCH_INTERVAL: Final = 300.0


class ReservedStoreError(StoreError, RuntimeError):
    """`enabled_backends` names a store with the prefix that Glance keeps for itself.

    A `RuntimeError` as well, because services handle that one.
    """


def initialize_glance_store(conf: Any = None) -> None:
    """Creates the stores of a service with a single backend and verifies the default.

    `conf` is `cfg.CONF` where it is left out, and glance_store's own lookups read that
    one. May be called again after the configuration was reloaded. Raises `StoreError`
    without the library, and the exceptions of the library as they are: services handle
    them by type.
    """
    conf = cfg.CONF if conf is None else conf
    library = _library()
    library.register_opts(conf)
    library.create_stores(conf)
    library.verify_default_store()


def initialize_multi_store(
    conf: Any = None, reserved_stores: Mapping[str, str] | None = None
) -> None:
    """Creates the stores that `enabled_backends` names, and verifies the default one.

    `reserved_stores` are added, `RESERVED_STORES` where it is left out. Otherwise as
    `initialize_glance_store`. Raises `ReservedStoreError` when `enabled_backends` itself
    uses the prefix `os_glance_`.
    """
    conf = cfg.CONF if conf is None else conf
    library = _library()
    reserved = dict(RESERVED_STORES if reserved_stores is None else reserved_stores)
    _refuse_reserved(_value(conf, "enabled_backends") or {})
    library.register_store_opts(conf, reserved_stores=reserved)
    library.create_multi_stores(conf, reserved_stores=reserved)
    _Extended.backends = conf.enabled_backends
    library.verify_store()


def initialize_stores(conf: Any = None) -> None:
    """Makes the stores of `enabled_backends`, or else the single one."""
    conf = cfg.CONF if conf is None else conf
    if _value(conf, "enabled_backends"):
        initialize_multi_store(conf)
    else:
        initialize_glance_store(conf)


def prefetch_interval(conf: Any) -> float:
    """Seconds between two runs of the prefetcher. Raises `ConfigError`."""
    interval: float | None = _value(conf, "cache_prefetcher_interval")
    return interval or PREFETCH_INTERVAL


def _value(conf: Any, name: str) -> Any:
    """Returns the value of an option of Glance's; None where the service has none such."""
    if not hasattr(type(conf), "__contains__"):
        conf = root(conf)
    if name not in conf:
        return None
    try:
        return conf[name]
    except cfg.Error as exc:
        # A `ConfigOpts` raises its own error in place of the one that it met.
        raise ConfigError(f"option {name}: {exc.__context__ or exc}") from exc


class _Extended:
    """The value of `enabled_backends` to which the library has added reserved stores.

    It changes the very dictionary that oslo.config caches; without this a second call
    would refuse what the first has added.
    """

    backends: Any = None


def _refuse_reserved(backends: Mapping[str, str]) -> None:
    if backends is _Extended.backends:
        return
    for name in backends:
        if name.startswith(_RESERVED_PREFIX):
            raise ReservedStoreError(
                f"enabled_backends: {name}: the prefix {_RESERVED_PREFIX} is reserved "
                "for internal stores; choose another name"
            )


def _library() -> Any:
    try:
        return importlib.import_module("glance_store")
    except ModuleNotFoundError as exc:
        if exc.name != "glance_store":
            raise
        raise StoreError(
            "glance_store is not installed: pip install wsgi-server[glance-store]"
        ) from exc


def find_prefetcher() -> Callable[[], object]:
    """Glance's prefetcher, ready to run. Raises `StoreError` where there is no Glance."""
    name = "glance.image_cache.prefetcher"
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as exc:
        if not f"{name}.".startswith(f"{exc.name}."):
            raise  # Glance is there, and misses something itself
        raise StoreError(
            "there is no prefetcher: install glance, or set the server's prefetcher"
        ) from exc
    run: Callable[[], object] = module.Prefetcher().run
    return run


class PrefetchJob:
    """Calls `run` every so often in one process of the server, never in two.

    Make it before the fork and `start` it in each worker: whichever holds the lock runs
    it, and when that one leaves or dies another takes over at its next turn. A run that
    raises is logged, and the next one comes in time.
    """

    def __init__(self, run: Callable[[], object]) -> None:
        self._run = run
        # A record lock belongs to the process, not to the descriptor: it can be taken
        # through an inherited one and ends with its owner (POSIX, fcntl).
        self._lock = tempfile.TemporaryFile(prefix="wsgi-server-prefetch-")  # noqa: SIM115
        self._stop: threading.Event | None = None
        self._thread: threading.Thread | None = None

    def start(self, interval: float) -> None:
        """Begins, in this process, to compete for the lock every `interval` seconds.

        The thread is native, or green where the service has monkey-patched.
        """
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._turn, args=(self._stop, interval), name="prefetch", daemon=True
        )
        self._thread.start()

    def stop(self, timeout: float | None = None) -> None:
        """Ends the job in this process; a run that is under way gets `timeout` seconds."""
        if self._stop is not None and self._thread is not None:
            self._stop.set()
            self._thread.join(timeout)
            self._stop = self._thread = None

    def _turn(self, stop: threading.Event, interval: float) -> None:
        while not stop.wait(interval):
            if not self._mine():
                continue
            try:
                self._run()
            # Foreign code once more: a bad run must not be the last one.
            except Exception:
                LOG.exception("worker %d: prefetching failed", os.getpid())
        self._lock.close()

    def _mine(self) -> bool:
        if sys.platform == "win32":
            return True  # nothing forks there, so there is one process
        import fcntl

        try:
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return False  # EAGAIN or EACCES, says POSIX: another process has it
        return True
