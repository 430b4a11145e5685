"""The page in a real browser: what it shows, and that it asks nobody else."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from server.admin.support import Admin, worker
from wsgi_server._admin.page import render_content, render_page
from wsgi_server._admin.state import Phase, Running, WorkerState

CHROMIUM = shutil.which("chromium")

pytestmark = [
    pytest.mark.forks,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium"),
]

PHASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "serving": ({}, ["SERVING", "2 workers of generation 1", "generation 1"]),
    "reloading": (
        {
            "phase": Phase.RELOADING,
            "reload_progress": (1, 2),
            "workers": (worker(1), worker(1, generation=2, pid=7)),
        },
        ["RELOADING", "1 of 2 ready", "process 7"],
    ),
    "draining": (
        {
            "phase": Phase.DRAINING,
            "drain_left": 21.0,
            "workers": (worker(1, state=WorkerState.DRAINING, active=12),),
        },
        ["DRAINING", "12 left, 21 s"],
    ),
    "a failed reload": (
        {"last_reload_accepted": False, "last_reload_reason": "workers = <many>"},
        ["FAILED RELOAD", "workers = <many>"],
    ),
    "a slow request": (
        {"workers": (worker(1, slow=(Running("GET", "/<b>slow</b>", 31.0),)),)},
        ["GET /<b>slow</b>", "31 s"],
    ),
    "a worker that does not move": (
        {"workers": (worker(1, beat_age=45.0), worker(2))},
        ["no beat for 45 s", "SERVING"],
    ),
    "a dead worker": (
        {"workers": (worker(1), worker(2, state=WorkerState.STARTING))},
        ["SERVING", "1 of 2 workers ready", "worker 2 starting"],
    ),
    "no worker": ({"workers": ()}, ["NOT READY", "no worker runs"]),
}


def browse(url: str, folder: Path) -> tuple[str, str, set[str]]:
    """The page's text after its script has run, the console, and who was asked."""
    net_log = folder / "net.json"
    run = subprocess.run(
        [
            *(str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu"),
            *("--disable-quic", "--no-first-run", "--disable-sync"),
            *("--disable-background-networking", "--disable-component-update"),
            *("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",),
            *("--enable-logging=stderr", "--virtual-time-budget=3500"),
            f"--user-data-dir={folder / 'profile'}",
            f"--log-net-log={net_log}",
            *("--dump-dom", url),
        ],
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
    )
    text = re.sub(
        r"<style>.*?</style>|<script>.*?</script>", "", run.stdout, flags=re.S
    )
    plain = re.sub(r"<[^>]+>", " ", text)
    for entity, sign in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        plain = plain.replace(entity, sign)
    console = "\n".join(li for li in run.stderr.splitlines() if "CONSOLE" in li)
    # Chromium looks for its maker by itself.
    asked = set(re.findall(r'"url":"(https?://[^"/]+)', net_log.read_text("utf-8")))
    asked = {url for url in asked if not re.search(r"\.google(apis)?\.com$", url)}
    return re.sub(r"\s+", " ", plain), console, asked


@pytest.mark.parametrize("phase", PHASES)
def test_the_page_shows_what_goes_on(admin: Admin, phase: str, tmp_path: Path) -> None:
    changes, expected = PHASES[phase]
    admin.server.change(**changes)
    admin.server.log.note("error", "worker 3 was killed by SIGKILL")
    url = "http://{}:{}".format(*admin.address)
    text, console, asked = browse(url, tmp_path)
    for words in [*expected, "worker 3 was killed by SIGKILL"]:
        assert words in text
    assert console == ""
    assert asked == {url}


def test_the_page_is_small_and_strict(admin: Admin) -> None:
    many = tuple(worker(n, ages=[0.5] * 32, threads_busy=32) for n in range(1, 65))
    admin.server.change(workers=many)
    answer = admin.ask("/")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    status = json.loads(admin.ask("/status").content)
    frame = len(render_page("").encode())
    assert frame < 12_000
    content = render_content({**status, "workers": status["workers"][:8]})
    assert frame + len(content.encode()) < 40_000


def test_the_script_asks_for_the_content_alone(admin: Admin) -> None:
    whole = admin.ask("/").content.decode()
    part = admin.ask("/?fragment=1").content.decode()
    assert part.startswith("<header>")
    assert "<script" not in part
    assert "<meta http-equiv=refresh" in whole
