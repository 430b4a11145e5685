"""Probes: each path in each phase, and what never fails one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from server.admin.support import Admin, FakeServer, worker
from wsgi_server._admin.health import PROBES
from wsgi_server._admin.state import Phase, WorkerState

STARTING = worker(1, state=WorkerState.STARTING)
BOOTING = {"phase": Phase.BOOTING, "started": False, "uptime": 1.0}

PHASES: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "booting": ({**BOOTING, "workers": (STARTING,)}, "live", "starting", "starting"),
    "booting for too long": (
        {**BOOTING, "workers": (STARTING,), "uptime": 61.0},
        *("dead", "starting", "starting"),
    ),
    "given up": (
        {**BOOTING, "boot_failure": "cannot load", "workers": ()},
        *("dead", "starting", "starting"),
    ),
    "serving": ({}, "live", "ready", "started"),
    "every place busy, and more wait": (
        {"workers": (worker(1, active=32, threads_busy=32, queued=900),)},
        *("live", "ready", "started"),
    ),
    "reloading": (
        {"phase": Phase.RELOADING, "workers": (worker(1), worker(1, generation=2))},
        *("live", "ready", "started"),
    ),
    "a failed reload": (
        {"last_reload_accepted": False, "last_reload_reason": "no"},
        *("live", "ready", "started"),
    ),
    "one worker hangs": (
        {"workers": (worker(1, beat_age=500.0), worker(2))},
        *("live", "ready", "started"),
    ),
    "all workers hang a little": (
        {"workers": (worker(1, beat_age=70.0),)},
        *("live", "unready", "started"),
    ),
    "all workers hang for good": (
        {"workers": (worker(1, beat_age=121.0),), "silence": 121.0},
        *("dead", "unready", "started"),
    ),
    "the only worker died, and another one starts": (
        {"workers": (STARTING,), "silence": 3.0},
        *("live", "unready", "started"),
    ),
    "no other one comes up": (
        {"workers": (STARTING,), "silence": 121.0},
        *("dead", "unready", "started"),
    ),
    "all hang where nobody watches": (
        {
            "workers": (worker(1, beat_age=500.0),),
            "silence": 500.0,
            "worker_timeout": None,
        },
        *("live", "ready", "started"),
    ),
    "only old workers": (
        {"generation": 2, "workers": (worker(1, generation=1),)},
        *("live", "unready", "started"),
    ),
    "held": ({"held": True}, "live", "held", "started"),
    "draining": ({"phase": Phase.DRAINING}, "live", "draining", "started"),
    "draining, and what is left does not move": (
        {"phase": Phase.DRAINING, "silence": 500.0},
        *("live", "draining", "started"),
    ),
    "draining while held": (
        {"phase": Phase.DRAINING, "held": True},
        *("live", "draining", "started"),
    ),
}


@pytest.mark.parametrize("phase", PHASES)
def test_each_probe_in_each_phase(phase: str) -> None:
    changes, *expected = PHASES[phase]
    server = FakeServer()
    server.change(**changes)
    state = server.state()
    paths = ("/livez", "/readyz", "/startupz")
    verdicts = [PROBES[path](state) for path in paths]
    assert [verdict.word for verdict in verdicts] == expected
    for verdict in verdicts:
        assert verdict.well == (verdict.word in ("live", "ready", "started"))
        assert verdict.reason
    assert PROBES["/healthz"](state) == verdicts[1]


def test_a_probe_is_a_word_and_a_reason(admin: Admin) -> None:
    answer = admin.ask("/readyz")
    assert answer.status == 200
    assert answer.content == b"ready: 2 workers of generation 1\n"
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_probe_is_json_where_that_is_accepted(admin: Admin) -> None:
    admin.server.change(held=True)
    answer = admin.ask("/readyz", headers={"Accept": "application/json"})
    assert answer.status == 503
    assert json.loads(answer.content)["status"] == "held"


def test_head_has_the_status_without_the_text(admin: Admin) -> None:
    admin.server.change(phase=Phase.DRAINING)
    answer = admin.ask("/healthz", method="HEAD")
    assert answer.status == 503
    assert answer.content == b""
