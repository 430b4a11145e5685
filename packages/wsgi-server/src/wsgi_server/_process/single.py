"""One process that serves by itself: `workers = 0`.

The same signals mean the same as with workers, as far as one process can. A reload loads the
new application first and changes over when it is there; requests that run finish as they
began.
"""

from __future__ import annotations

import functools
import logging
import math
import signal
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from wsgi_server import hooks
from wsgi_server._engines import create_engine
from wsgi_server._scoreboard.slots import Slot, State
from wsgi_server._system.process import set_title
from wsgi_server.errors import ExitStatus, ServerError

from .generation import Generation
from .main_process import LONGEST_WAIT, STOPPING, Premises
from .service import load
from .upgrade import Successor
from .worker import remaining

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

LOG = logging.getLogger(__name__)


class Solo:
    """Serves the one service of `premises` in this process.

    `before_exit` is called when everything is answered, with the seconds that it may take,
    `on_failed_reload` when a reload is given up.
    """

    def __init__(
        self,
        premises: Premises,
        before_exit: Callable[[float], object] | None,
        on_failed_reload: Callable[[], object] | None = None,
    ) -> None:
        self._premises = premises
        self._before_exit = before_exit
        self._on_failed_reload = on_failed_reload
        self._slot = Slot.local()
        self._going = False
        self._hurried = False
        self._leave_by = math.inf
        self._successor: Successor | None = None

    def serve(self) -> ExitStatus:
        """Serves until it is told to stop."""
        (post,) = self._premises.present.posts.values()
        settings = post.service.settings
        try:
            post.identity.assume()
            # No loop runs yet that could be told to end.
            with self._premises.signals.interrupting(STOPPING):
                self._app = load(post.service)
            hooks.started(0)
            self._engine = create_engine(settings, self._slot)
        except ServerError as exc:
            # The traceback is for --debug alone.
            cause = exc.__cause__ if settings.debug else None
            LOG.error("cannot start: %s", exc, exc_info=cause)  # noqa: TRY400
            return exc.exit_status
        except KeyboardInterrupt:
            LOG.info("stopping before the application was loaded")
            return ExitStatus.OK
        set_title(post.service.name)
        self._engine.watch(self._premises.signals.fileno(), self._on_signals)
        self._engine.serve(post.listeners, self._app, self._on_ready)
        hooks.ended()
        if self._before_exit is not None and not self._hurried:
            self._before_exit(remaining(self._leave_by))
        return ExitStatus.OK

    def _on_ready(self) -> None:
        self._slot.state = State.READY
        self._premises.announce()
        self._premises.notifier.ready("serving in one process")
        self._live()

    def _live(self) -> None:
        interval = self._premises.notifier.interval
        if interval is not None:
            self._premises.notifier.alive()
        self._engine.call_at(monotonic() + (interval or LONGEST_WAIT), self._live)

    def _on_signals(self) -> None:
        for signum in self._premises.signals.take():
            if signum in STOPPING:
                self._stop(graceful=signum == signal.SIGTERM and not self._going)
            elif signum == signal.SIGUSR1:
                self._premises.reopen_logs()
                self._engine.reopen_logs()
            elif signum == signal.SIGHUP and not self._going:
                self._reload()
            elif signum == signal.SIGUSR2 and not self._going:
                self._upgrade()
            elif signum == signal.SIGCHLD:
                self._premises.reap()
            elif signum in (signal.SIGTTIN, signal.SIGTTOU):
                LOG.warning("workers = 0: there are no workers to add or take away")

    def _stop(self, *, graceful: bool) -> None:
        self._hurried = self._hurried or not graceful
        if not self._going:
            self._going = True
            LOG.info("stopping %s", "when all is answered" if graceful else "at once")
            self._premises.notifier.stopping()
            if self._successor is not None:
                self._successor.stop()
        patience = self._premises.present.settings.graceful_timeout if graceful else 0.0
        self._leave_by = min(self._leave_by, monotonic() + patience)
        self._engine.drain(self._leave_by)

    def _reload(self) -> None:
        """Everything that can fail comes before anything changes."""
        self._premises.notifier.reloading()
        LOG.info("reload: reading the configuration")
        generation = None
        try:
            generation = self._premises.next_generation()
            (post,) = generation.posts.values()
            self._change_over(generation, load(post.service))
        except ServerError as exc:
            self._give_up(generation, exc)
        # The boundary to the program's own `configure`; the loop must go on.
        except Exception as exc:
            LOG.exception("reload: an unforeseen fault")
            self._give_up(generation, exc)
        self._premises.notifier.ready("serving in one process")

    def _change_over(self, generation: Generation, app: WSGIApplication) -> None:
        """Serves `generation`. Whatever this raises, the old one is served as before."""
        old = self._premises.present
        (post,) = generation.posts.values()
        self._engine.replace(post.service.settings, post.listeners, app)
        try:
            self._premises.move_to(generation)
        except BaseException:
            self._premises.present = old
            (post,) = old.posts.values()
            self._engine.replace(post.service.settings, post.listeners, self._app)
            raise
        self._app = app

    def _give_up(self, generation: Generation | None, reason: Exception) -> None:
        if generation is not None:
            self._premises.discard(generation)
        if self._on_failed_reload is not None:
            self._on_failed_reload()
        LOG.error(
            "reload failed: %s; generation %d goes on",
            reason,
            self._premises.present.number,
        )

    def _upgrade(self) -> None:
        if self._successor is not None:
            LOG.warning("no upgrade now: another is under way")
            return
        self._successor = self._premises.upgrade()
        if self._successor is not None:
            self._engine.watch(self._successor.fileno(), self._on_successor)
            overdue = functools.partial(self._on_overdue, self._successor)
            self._engine.call_at(self._successor.due, overdue)

    def _on_overdue(self, successor: Successor) -> None:
        if self._successor is successor and not successor.unwanted:
            LOG.error("upgrade: process %d is not ready in time", successor.pid)
            successor.stop()

    def _on_successor(self) -> None:
        successor, self._successor = self._successor, None
        if successor is None:
            return
        self._engine.unwatch(successor.fileno())
        if self._premises.settle_upgrade(successor):
            self._stop(graceful=True)
