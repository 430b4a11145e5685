"""Whether the server lives, is ready, has started: for probes (Kubernetes, HAProxy, systemd).

Being busy never fails a probe: probes that fail under load take healthy servers out, one
after the other. That is a metric.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from wsgi_server._scoreboard.standing import DRAINING, NOT_STARTED, ON_HOLD, Verdict

from .state import Phase, State, WorkerRow, WorkerState


def live(state: State) -> Verdict:
    """Whether replacing this process could help: only then it is not alive."""
    if state.boot_failure is not None:
        return Verdict(False, "dead", state.boot_failure)
    if state.phase is Phase.BOOTING and state.uptime > state.worker_ready_timeout:
        seconds = f"{state.worker_ready_timeout:g} s"
        return Verdict(False, "dead", f"no generation was ready within {seconds}")
    limit = state.worker_timeout
    # A worker that hung so long was replaced meanwhile, which did not help.
    serves = state.started and state.phase is not Phase.DRAINING
    if serves and limit is not None and state.silence >= 2 * limit:
        reason = f"no worker has moved for {state.silence:.0f} s"
        return Verdict(False, "dead", reason)
    return Verdict(True, "live", state.phase.value)


def ready(state: State) -> Verdict:
    """Whether clients should be sent here."""
    if state.phase is Phase.DRAINING:
        return DRAINING
    if state.held:
        return ON_HOLD
    if not state.started:
        return NOT_STARTED
    serving = [w for w in state.workers if _serves(w, state)]
    if not serving:
        return Verdict(False, "unready", "no worker of this generation moves")
    count = "1 worker" if len(serving) == 1 else f"{len(serving)} workers"
    return Verdict(True, "ready", f"{count} of generation {state.generation}")


def startup(state: State) -> Verdict:
    """Whether the first generation has been ready once."""
    if state.started:
        return Verdict(True, "started", f"generation {state.generation}")
    if state.boot_failure is not None:
        return Verdict(False, "starting", state.boot_failure)
    return NOT_STARTED


def _serves(worker: WorkerRow, state: State) -> bool:
    young = state.worker_timeout is None or worker.beat_age < state.worker_timeout
    return (
        worker.state is WorkerState.READY
        and worker.generation == state.generation
        and young
    )


#: Probes by path.
PROBES: Final[Mapping[str, Callable[[State], Verdict]]] = {
    "/livez": live,
    "/readyz": ready,
    "/healthz": ready,
    "/startupz": startup,
}
