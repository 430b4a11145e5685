"""`Engine`: what serves inside a worker, for a program that has its own process.

An engine answers requests on sockets that the program has opened, beside whatever else the
program does::

    with socket.create_server(("127.0.0.1", 8080)) as sock, Engine(app, [sock]):
        do_something_else()

It touches no signal, forks nothing, never ends the process and registers nothing on
anybody's `conf`. Several of them live in one process. Requests run in native threads, or in
greenlets where the process is monkey-patched. The command and `Server` serve with the same
engines; what those have and this has not are processes: workers, reload, upgrade.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import math
import weakref
from collections import deque
from collections.abc import Callable, Collection, Iterable
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Union

from . import opts
from ._config.settings import Settings
from ._config.values import Values
from ._engines import create_engine
from ._engines.gates import Gate, new_gate
from ._logs.access import line_maker
from ._net.listeners import Listener, borrow
from ._scoreboard.slots import Slot
from ._system import forks, unpatched
from ._system.edges import WakeUp
from .errors import ConfigError, ServerError

if TYPE_CHECKING:
    import socket
    import ssl

    from _typeshed.wsgi import WSGIApplication

    from ._engines import Engine as AnyEngine

__all__ = ["Engine", "Options"]

LOG = logging.getLogger(__name__)

#: The options of the server that mean something to an engine.
_NAMES: Final = (
    *("engine", "threads", "queue_size", "queue_timeout"),
    *("graceful_timeout", "drain_idle_timeout", "access_log_format"),
    *("request_id_header", "request_id_openstack", "slow_request_time", "spans"),
    *(option.name for name in ("TLS", "requests") for option in opts.OPTIONS[name]),
)
_KNOWN_LOGS: Final = (logging.Logger, logging.LoggerAdapter, type(None))
#: Seconds that stand for ever.
_FOR_EVER: Final = 10 * 365 * 86400.0

AccessLog = Union[logging.Logger, "logging.LoggerAdapter[Any]", Callable[[str], object]]


class Options:
    """What an engine goes by: checked when it is made, and fixed from then on.

    Keywords are the server's options of the same name, as many as differ from their
    defaults: `engine`, `threads`, `queue_size`, `queue_timeout`, `graceful_timeout`,
    `drain_idle_timeout`, `access_log_format`, `request_id_header`, `request_id_openstack`,
    `slow_request_time`, `spans`, and the sections "TLS" and "requests" of the reference. Values are as in a file or of the option's own type; times are seconds, sizes
    bytes. Each can be read as an attribute, where None means no limit.

    `engine` is chosen by the process while it is not given: `eventlet` where it is
    monkey-patched, `threads` where not. Raises `ConfigError` for a value that does not fit,
    and `TypeError` for a name that is none.
    """

    def __init__(self, **values: Any) -> None:
        unknown = sorted(values.keys() - set(_NAMES))
        if unknown:
            known = ", ".join(_NAMES)
            raise TypeError(f"no option of an engine: {', '.join(unknown)} ({known})")
        checked = {name: _checked(name, value) for name, value in values.items()}
        if checked.get("engine") is None:
            green = unpatched.something_is_green()
            checked["engine"] = "eventlet" if green else "threads"
        self._settings = Settings.from_values(checked, {}, default_port=0)

    @classmethod
    def from_conf(cls, conf: Any, **values: Any) -> Options:
        """Returns what `conf` says, a `ConfigOpts` or one of its groups.

        `values` count in place of its own. Options that the program has not registered
        stand in the section `[wsgi_server]` of its files. Raises as `Options` does.
        """
        found = Values(conf)
        said = {name: found[opts.BY_NAME[name]] for name in _NAMES}
        if not found.is_set(opts.BY_NAME["engine"]):
            said["engine"] = None
        return cls(**{**said, **values})

    def __getattr__(self, name: str) -> Any:
        if name not in _NAMES:
            raise AttributeError(f"no option of an engine: {name}")
        return getattr(self._settings, name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Options) and self._settings == other._settings

    __hash__ = None  # type: ignore[assignment]  # some values are mappings

    def __repr__(self) -> str:
        usual = Options()
        shown = (
            f"{name}={getattr(self, name)!r}"
            for name in _NAMES
            if getattr(self, name) != getattr(usual, name)
        )
        return f"Options({', '.join(shown)})"


def _checked(name: str, value: Any) -> Any:
    if value is None:
        return None
    try:
        return opts.BY_NAME[name].opt.type(value)
    except (ValueError, TypeError) as exc:
        raise ConfigError(f"option {name}: {exc}") from exc


class Engine:
    """Serves `app` on `sockets` beside the rest of a program.

    `sockets` listen already. They are copied when the engine starts and never closed; what
    is one socket to the system does not block any more.

    `options` are those of `Options()` where they are left out. `tls` is a context for the
    server's side of TLS; without one it is made of `cert_file`, `key_file`, `ca_file` and
    `tls_ciphers` of the options. `access_log` takes a line for each request, in the form of
    `access_log_format`: a logger, whose handlers hold no request up, or a function of the
    line, which must not wait; nobody where it is None. `multiprocess` is what applications
    find as `wsgi.multiprocess`: whether other processes serve the same.

    An engine serves once. As a context manager it starts, and stops when the block ends.
    """

    def __init__(
        self,
        app: WSGIApplication,
        sockets: Iterable[socket.socket],
        *,
        options: Options | None = None,
        tls: ssl.SSLContext | None = None,
        access_log: AccessLog | None = None,
        multiprocess: bool = False,
    ) -> None:
        self._app = app
        self._sockets = list(sockets)
        if not self._sockets:
            raise ConfigError("there is no socket to serve on")
        if not isinstance(access_log, _KNOWN_LOGS) and not callable(access_log):
            raise TypeError(f"access_log is no logger and no function: {access_log}")
        self._access_log = access_log
        self._multiprocess = multiprocess
        self._settings, self._tls = self._prepare(options or Options(), tls)
        self._listeners: list[Listener] = []
        self._engine: AnyEngine | None = None
        self._urls: list[str] = []
        #: What is to be done in the loop.
        self._orders: deque[Callable[[AnyEngine], object]] = deque()
        self._stopping = False
        self._over = False
        self._gates: deque[Gate] = deque()
        #: What wakes the loop for them.
        self._waker: WakeUp | None = None

    def start(self) -> None:
        """Returns when the engine can answer.

        With greenlets it answers as soon as they get their turn. Raises `ConfigError` for
        sockets, options or files that cannot be used, `ServerError` when it was started
        before, and what the system raises that has no descriptor or thread left. One that
        was told to stop before does not serve.
        """
        if self._engine is not None or self._is_over():
            raise ServerError("this engine was started before: make another one")
        if self._stopping:
            LOG.info("told to stop before the start: nothing is served")
            self._over = True
            return
        try:
            for sock in self._sockets:
                self._listeners.append(borrow(sock, self._tls))
            self._urls = [listener.url for listener in self._listeners]
            engine = create_engine(self._settings, Slot.local())
            self._hear_of_orders(engine)
            engine.begin(self._listeners, self._app)
        except BaseException:
            self._end()
            raise
        self._engine = engine
        run = functools.partial(self._run, engine, forks.on_fork(self._abandon))
        try:
            engine.spawn(run)
        except BaseException:
            # There is no thread left for it: it ends in this one.
            self.stop(0)
            run()
            raise

    def stop(self, grace: float | None = None) -> None:
        """Begins to end: accepts nobody any more, and finishes what was started.

        Returns at once; `wait` tells when it is done. What still runs after `grace` seconds
        is named in the log and cut; `graceful_timeout` where it is None. May be called from
        any thread, from a signal handler, and again, to hurry. Before `start` it keeps the
        engine from serving.
        """
        limit = self._settings.graceful_timeout if grace is None else grace
        deadline = monotonic() + min(max(0.0, limit), _FOR_EVER)
        self._stopping = True
        self._order(lambda engine: engine.drain(deadline, retiring=False))

    def wait(self, timeout: float | None = None) -> bool:
        """Returns true when everything is answered; false after `timeout` seconds.

        Lets signal handlers run, and other greenlets where the calling thread has any.
        Raises `ServerError` for an engine that was not started, and `RuntimeError` in
        eventlet's hub, which cannot wait.
        """
        if self._is_over():
            return True
        if self._engine is None:
            raise ServerError("this engine was not started")
        deadline = math.inf if timeout is None else monotonic() + timeout
        gate = new_gate()
        self._gates.append(gate)
        try:
            return self._is_over() or gate.wait(deadline)
        finally:
            # Perhaps it was taken off by the thread that opens it.
            with contextlib.suppress(ValueError):
                self._gates.remove(gate)
            gate.close()

    def __enter__(self) -> Engine:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.wait()

    def reconfigure(
        self, options: Options, *, tls: ssl.SSLContext | None = None
    ) -> None:
        """Goes by `options` from now on; what runs is finished as it began.

        Clients stay connected, with the limits for heads that they came under. `tls` is as
        for the engine: certificates are read anew. Which engine it is, and whether there is
        TLS at all, stays as it was. Returns at once. Raises `ConfigError`, with nothing
        changed.
        """
        settings, context = self._prepare(options, tls)
        if settings.engine != self._settings.engine:
            raise ConfigError(f"engine = {settings.engine}: takes a new engine")
        if (context is None) != (self._tls is None):
            raise ConfigError("TLS is turned on or off: takes a new engine")
        self._settings, self._tls = settings, context
        if self._engine is not None:
            self._order(self._replace)

    @property
    def urls(self) -> list[str]:
        """Where clients find it; empty before `start`."""
        return list(self._urls)

    def _is_over(self) -> bool:
        return self._over

    def _prepare(
        self, options: Options, tls: ssl.SSLContext | None
    ) -> tuple[Settings, ssl.SSLContext | None]:
        settings = dataclasses.replace(
            options._settings,
            # All that an engine makes of it is whether there are others.
            workers=2 if self._multiprocess else 0,
            access_log=None,
            access_logger=self._access_log,
        )
        line_maker(settings.access_log_format, worker_id=0, generation=0)
        if tls is not None and tls.protocol.name == "PROTOCOL_TLS_CLIENT":
            raise ConfigError("tls is a context for clients: use PROTOCOL_TLS_SERVER")
        if tls is None and settings.cert_file is not None:
            # ssl is slow to import, and most deployments end TLS elsewhere.
            from ._net.tls import server_context

            tls = server_context(settings)
        return settings, tls

    def _order(self, order: Callable[[AnyEngine], object]) -> None:
        self._orders.append(order)
        self._wake()

    def _wake(self) -> None:
        if self._waker is not None and not self._over:
            self._waker.wake()

    def _hear_of_orders(self, engine: AnyEngine) -> None:
        waker = self._waker = WakeUp()
        # As long as somebody may call a method: the number must not be another file's.
        self._close_waker = weakref.finalize(self, waker.close)
        self._close_waker.atexit = False
        engine.watch(
            waker.fileno(), functools.partial(_obey, self._orders, engine, waker)
        )
        if self._orders:
            # Given when there was nothing to wake yet.
            self._wake()

    def _replace(self, engine: AnyEngine) -> None:
        if not self._stopping:
            for listener in self._listeners:
                listener.tls = self._tls
            engine.replace(self._settings, self._listeners, self._app)

    def _run(self, engine: AnyEngine, stay: Callable[[], None]) -> None:
        try:
            engine.run()
        # The boundary to the thread: the program goes on, and must not wait for ever.
        except Exception:
            LOG.exception("an embedded engine failed")
        finally:
            stay()
            # Neither keeps the other once it is over.
            self._engine = None
            self._end()

    def _end(self) -> None:
        for listener in self._listeners:
            listener.close()
        self._over = True
        while self._gates:
            self._gates.popleft().open()

    def _abandon(self, keep: Collection[int]) -> None:
        """In a process that the application forked: has nothing of the engine there."""
        if self._engine is not None:
            self._engine.abandon()
        for listener in self._listeners:
            listener.leave_behind(keep)
        self._close_waker()
        self._over = True


def _obey(
    orders: deque[Callable[[AnyEngine], object]], engine: AnyEngine, waker: WakeUp
) -> None:
    # No method: a timer of the loop may keep it for longer than anybody wants the object.
    waker.lower()
    while orders:
        orders.popleft()(engine)
