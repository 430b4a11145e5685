"""What the supervisor, or the process that serves alone, shows and lets be steered."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from wsgi_server._admin.state import Phase as Shown
from wsgi_server._process.main_process import Phase

from .observed import Observed, Seen, seen
from .side import AdminSide, Steering

if TYPE_CHECKING:
    from wsgi_server._process.main_process import MainProcess
    from wsgi_server._process.reload import Reload
    from wsgi_server._process.upgrade import Upgrade
    from wsgi_server._process.workers import Worker, Workers
    from wsgi_server._scoreboard.slots import Slot


#: Where the server is, why its first generation was given up, and when its listeners close.
Stage = tuple[Phase, str | None, float]


def admin_of_workers(
    main: MainProcess,
    reload: Reload,
    upgrade: Upgrade,
    workers: Workers,
    *,
    stage: Callable[[], Stage],
    stand: Callable[[], object],
) -> AdminSide:
    """The admin side of a supervisor.

    `stand` is called when an operator has changed what probes are to hear. Raises `ConfigError` and `BindError`.
    """
    observed = Observed(
        lambda: main.present,
        reload,
        phase=lambda: _shown(stage()[0], reload, _last_leave(main, workers, stage())),
        workers=lambda: map(seen, workers),
        boot_failure=lambda: stage()[1],
    )
    steering = Steering(
        present=lambda: main.present,
        reload=reload,
        send=main.signals.send,
        workers=lambda: list(workers),
        ending=lambda: stage()[0].ending,
        stand=stand,
        own_stacks=str,
        succeeds=lambda: bool(main.predecessor),
        succeeded=lambda: main.succeeded,
        tell_worker=workers.tell,
        send_signal=workers.signal,
        upgrade=upgrade,
    )
    workers.on_end = lambda worker, code, cpu: observed.ended(
        seen(worker), _why(worker, code, main.present.number, stage()[0]), cpu
    )
    return _side(main, observed, steering)


def admin_of_one(
    main: MainProcess,
    reload: Reload,
    upgrade: Upgrade,
    slot: Slot,
    *,
    stage: Callable[[], tuple[Phase, float]],
    stand: Callable[[], object],
    stacks: Callable[[], str],
) -> AdminSide:
    """The same of one process that serves by itself.

    `stage` says where it is, and when it must have left; `stacks` where it stands.
    """

    def alone() -> list[Seen]:
        (deployment,) = main.present.deployments.values()
        service = deployment.service
        number = main.present.number
        return [
            Seen(os.getpid(), 0, service.name, number, service.settings.threads, slot)
        ]

    observed = Observed(
        lambda: main.present,
        reload,
        phase=lambda: _shown(stage()[0], reload, stage()[1]),
        workers=alone,
        boot_failure=lambda: None,
    )
    steering = Steering(
        present=lambda: main.present,
        reload=reload,
        send=main.signals.send,
        workers=list,
        ending=lambda: stage()[0].ending,
        stand=stand,
        own_stacks=stacks,
        succeeds=lambda: bool(main.predecessor),
        succeeded=lambda: main.succeeded,
        tell_worker=lambda worker, order: None,
        send_signal=lambda worker, signum: None,
        upgrade=upgrade,
    )
    return _side(main, observed, steering)


def _side(main: MainProcess, observed: Observed, steering: Steering) -> AdminSide:
    try:
        return AdminSide(main.present.settings, main.admin, observed, steering)
    except BaseException:
        observed.close()
        raise


def _last_leave(main: MainProcess, workers: Workers, stage: Stage) -> float:
    """When the last worker of a server that ends must have left (monotonic seconds)."""
    phase, _, close_at = stage
    if phase is Phase.WITHDRAWN:
        return close_at + main.present.settings.graceful_timeout
    # One that was being killed already has no other end.
    ends = [w.leave_by for w in workers if not math.isinf(w.leave_by)]
    return max(ends, default=0.0)


def _shown(phase: Phase, reload: Reload, until: float) -> tuple[Shown, float | None]:
    if phase.ending:
        return Shown.DRAINING, until
    if phase is Phase.BOOTING:
        return Shown.BOOTING, None
    return (Shown.RELOADING if reload.under_way else Shown.SERVING), None


def _why(worker: Worker, code: int | None, present: int, phase: Phase) -> str:
    """Why a worker has ended, as metrics have it."""
    if worker.kill_at is not None:
        return "timeout"
    if worker.failure is not None:
        return "load_failed"
    if worker.stopping:
        if worker.due:
            return worker.due_kind
        reloaded = phase.going or worker.generation != present
        return "reload" if reloaded else "scale"
    return "signal" if code is not None and code < 0 else "crash"
