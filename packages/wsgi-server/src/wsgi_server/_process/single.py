"""One process that serves by itself: `workers = 0`.

The same signals mean the same as with workers, as far as one process can. A reload loads the
new application first and changes over when it is there; requests that run finish as they
began.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import os
from collections.abc import Callable, Collection, Iterator
from time import monotonic
from typing import TYPE_CHECKING

from wsgi_server import hooks
from wsgi_server._engines import create_engine, serve
from wsgi_server._logs.nonblocking import has_room
from wsgi_server._scoreboard.slots import Slot, WorkerState
from wsgi_server._system import forks, unpatched
from wsgi_server._system.children import Children
from wsgi_server._system.platform import HAS_FORK
from wsgi_server._system.process import set_title
from wsgi_server._system.signals import Signal
from wsgi_server.errors import LoadError, ServerError

from .admin import admin_of_one
from .admin.wanted import TICK, is_wanted
from .main_process import LONGEST_WAIT, STOPPING, MainProcess, Phase
from .service import load
from .worker import MARGIN, remaining
from .worker_pipe import Forked, Inbox, Reporter

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from wsgi_server._engines import Engine

    from .admin.side import AdminSide
    from .generation import Generation
    from .reload import Reload
    from .service import Service
    from .upgrade import Upgrade

LOG = logging.getLogger(__name__)


class SingleProcess:
    """Serves the one service of `main` in this process."""

    def __init__(self, main: MainProcess, upgrade: Upgrade, reload: Reload) -> None:
        self._main = main
        self._upgrade = upgrade
        self._reload = reload
        self._slot = Slot.local(observed=is_wanted(main.present.settings))
        self._admin: AdminSide | None = None
        self._phase = Phase.BOOTING
        #: An application is being loaded, which may let others run where it is green.
        self._loading = False
        self._hurried = False
        self._leave_by = math.inf
        self._children = Children()

    def serve(self, before_exit: Callable[[float], object] | None) -> None:
        """Serves until it is told to stop, which may be before the application is loaded.

        `before_exit` is called when everything is answered, with the seconds that it may
        take. Raises a `ServerError` when the start fails.
        """
        with self._told_of_forks():
            engine = self._prepare()
            if engine is None:
                return
            self._engine = engine
            engine.watch(self._main.signals.fileno(), self._on_signals)
            if HAS_FORK:
                engine.watch(self._inbox.fd, self._hear)
            with self._shown(engine):
                serve(engine, self._main.present.listeners, self._app, self._on_ready)
            hooks.ended()
            if before_exit is not None and not self._hurried:
                before_exit(remaining(self._leave_by))

    def _prepare(self) -> Engine | None:
        """Loads the application; None where the end came first."""
        (deployment,) = self._main.present.deployments.values()
        try:
            deployment.identity.assume()
            # No loop runs yet that could be told to end.
            with self._main.signals.interrupting(STOPPING):
                self._app = self._load(deployment.service)
            hooks.started(0)
        except KeyboardInterrupt:
            LOG.info("stopping before the application was loaded")
            return None
        set_title(deployment.service.name)
        self._slot.generation = self._main.present.number
        return create_engine(deployment.service.settings, self._slot)

    def _load(self, service: Service) -> WSGIApplication:
        while True:
            try:
                return load(service)
            except LoadError as exc:
                unpatched.sleep(self._main.start.pause(exc))

    @contextlib.contextmanager
    def _shown(self, engine: Engine) -> Iterator[None]:
        """In the block, whoever may look at this process and steer it, can."""
        self._admin = admin_of_one(
            self._main,
            self._reload,
            self._upgrade,
            self._slot,
            stage=lambda: (self._phase, self._leave_by),
            stand=self._stand,
            stacks=engine.stacks,
        )
        if self._admin is not None:
            engine.watch(self._admin.fileno(), self._admin.turn)
            self._turn_admin()
        try:
            yield
        finally:
            if self._admin is not None:
                self._admin.close()

    @contextlib.contextmanager
    def _told_of_forks(self) -> Iterator[None]:
        """In the block, what the application forks tells of itself; it ends with us."""
        if not HAS_FORK:
            yield
            return
        reader, writer = os.pipe()
        self._inbox, reporter = (
            Inbox(reader),
            Reporter(functools.partial(unpatched.write, writer)),
        )

        def on_fork(keep: Collection[int]) -> None:
            if has_room(writer):
                reporter.send(Forked(os.getpid()))
            forks.close([reader, writer, *self._children.fds()], keep)

        stay = forks.on_fork(on_fork)
        try:
            yield
        finally:
            stay()
            self._hear()
            self._children.end(MARGIN)
            self._inbox.close()
            os.close(writer)

    def _hear(self) -> None:
        for message in self._inbox.take():
            if isinstance(message, Forked):
                self._children.add(message.pid)

    def _turn_admin(self) -> None:
        """When the admin side is due, which may be later than anything happens there."""
        if self._admin is not None:
            self._admin.turn()
            self._slot.beat = monotonic()
            soon = monotonic() + TICK
            self._engine.call_at(min(soon, self._admin.deadline), self._turn_admin)

    def _on_ready(self) -> None:
        self._slot.pid = os.getpid()
        self._slot.started = monotonic()
        self._slot.state = WorkerState.READY
        self._phase = Phase.SERVING
        self._stand()
        self._main.announce("serving in one process")
        if self._admin is not None:
            self._admin.turn()
        self._live()

    def _live(self) -> None:
        interval = self._main.notifier.interval
        if interval is not None:
            self._main.notifier.alive()
        self._engine.call_at(monotonic() + (interval or LONGEST_WAIT), self._live)

    def _on_signals(self) -> None:
        for signum in self._main.signals.take():
            if signum in STOPPING:
                self._stop(graceful=signum == Signal.SIGTERM and not self._phase.going)
            elif signum == Signal.SIGUSR1:
                self._main.reopen_logs()
                self._engine.reopen_logs()
            elif signum == Signal.SIGCHLD:
                self._upgrade.reap()
            elif self._phase.ending:
                LOG.info("%s means nothing any more: it stops", signum.name)
            elif signum == Signal.SIGHUP:
                self._reload.wanted = True
                self._go_on_reloading()
            elif signum == Signal.SIGUSR2:
                self._begin_upgrade()
            elif signum in (Signal.SIGTTIN, Signal.SIGTTOU):
                LOG.warning("workers = 0: there are no workers to add or take away")

    def _stop(self, *, graceful: bool, succeeded: bool = False) -> None:
        if not self._phase.ending:
            self._main.notifier.stopping()
            self._reload.drop()
            self._upgrade.stop()
        settings, now = self._main.present.settings, monotonic()
        delay = settings.drain_delay
        if graceful and delay and self._phase is Phase.SERVING and not succeeded:
            self._phase = Phase.WITHDRAWN
            self._stand()
            self._leave_by = now + delay + settings.graceful_timeout
            self._engine.call_at(now + delay, self._close)
            LOG.info("stopping: not ready from now on; listening for %g s yet", delay)
            return
        self._hurried = self._hurried or not graceful
        first, self._phase = not self._phase.going, Phase.DRAINING
        if not succeeded:
            self._stand()
        limit = settings.graceful_timeout if graceful else 0.0
        self._leave_by = min(self._leave_by, now + limit)
        self._engine.drain(self._leave_by, retiring=succeeded)
        if first:
            # Last: the handler of a program may wait.
            LOG.info("stopping %s", "when all is answered" if graceful else "at once")

    def _close(self) -> None:
        """The delay is over for which it was not ready."""
        if self._phase is Phase.WITHDRAWN:
            self._stop(graceful=True)

    def _stand(self) -> None:
        held = self._admin is not None and self._admin.observed.held
        self._slot.standing = self._phase.standing(held=held)

    def _go_on_reloading(self) -> None:
        """Takes the reload that is wanted, or under way, as far as it goes now."""
        if self._phase.ending or self._loading:
            return
        if monotonic() >= self._reload.due:
            self._reload.open()
        elif self._reload.wanted and not self._reload.under_way:
            self._reload.begin()
        coming = self._reload.coming
        if coming is not None:
            self._change_over(coming)
        if not math.isinf(self._reload.due):
            self._engine.call_at(self._reload.due, self._go_on_reloading)
        elif self._reload.wanted:
            # One more was asked for while this one waited for an address.
            self._engine.call_at(monotonic(), self._go_on_reloading)

    def _change_over(self, coming: Generation) -> None:
        """Serves `coming`; whatever fails, the present one is served as before."""
        (deployment,) = coming.deployments.values()
        self._loading = True
        try:
            app = load(deployment.service)
            if self._phase.ending:
                return
            self._replace(coming, app)
        except ServerError as exc:
            self._reload.give_up(str(exc))
            return
        # The boundary to the engine's plug-ins; the loop must go on.
        except Exception as exc:
            LOG.exception("reload: an unforeseen fault")
            self._reload.give_up(f"{type(exc).__name__}: {exc}")
            return
        finally:
            self._loading = False
        if self._reload.accept(coming):
            self._app = app
        else:
            self._replace(self._main.present, self._app)

    def _replace(self, generation: Generation, app: WSGIApplication) -> None:
        (deployment,) = generation.deployments.values()
        self._slot.generation = generation.number
        self._engine.replace(deployment.service.settings, deployment.listeners, app)

    def _begin_upgrade(self) -> None:
        if self._upgrade.under_way or self._reload.under_way:
            LOG.warning("no upgrade now: a reload or upgrade is under way")
        elif self._upgrade.begin():
            self._engine.watch(self._upgrade.fileno(), self._on_successor)
            self._engine.call_at(self._upgrade.due, self._on_overdue)

    def _on_overdue(self) -> None:
        self._upgrade.enforce(monotonic())

    def _on_successor(self) -> None:
        self._engine.unwatch(self._upgrade.fileno())
        if self._upgrade.settle():
            self._stop(graceful=True, succeeded=True)
