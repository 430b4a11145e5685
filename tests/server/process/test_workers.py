"""Workers that die, hang, age or grow are replaced; their number follows the operator."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import live
import pytest
from server.process.support import (
    Service,
    answer,
    both_engines,
    count,
    reload,
    steady_requests,
)

pytestmark = pytest.mark.forks


def test_a_deadline_in_a_hundred_years_is_waited_for(service: Service) -> None:
    service.configure(worker_timeout=3e9, worker_ready_timeout=3e9)
    server = service.start()
    reload(server)
    assert answer(server)["version"] == "one"
    assert server.stop() == 0


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_a_dead_worker_is_replaced_within_a_second(
    service: Service, signum: signal.Signals
) -> None:
    server = service.start()
    old = server.worker_pids()
    victim = min(old)
    killed = time.clock_gettime(time.CLOCK_BOOTTIME)
    os.kill(victim, signum)
    (newcomer,) = server.wait_for("a replacement", lambda: server.worker_pids() - old)
    assert live.born(newcomer) - killed < 1.0
    server.wait_for("its readiness", lambda: count(server, "ready after") == 3)
    assert server.worker_pids() == old - {victim} | {newcomer}


def test_worker_numbers_are_reused(service: Service) -> None:
    server = service.start()
    numbers = re.compile(r"worker (\d+) \(application:app (\d)\) ready")
    by_pid = {int(pid): number for pid, number in numbers.findall(server.log())}
    assert sorted(by_pid.values()) == ["1", "2"]
    victim = next(pid for pid, number in by_pid.items() if number == "2")
    os.kill(victim, signal.SIGKILL)
    server.wait_for("its readiness", lambda: count(server, "ready after") == 3)
    assert numbers.findall(server.log())[-1][1] == "2"
    seen: set[int] = set()

    def both() -> bool:
        seen.add(answer(server)["worker"])
        return len(seen) == 2

    server.wait_for("answers of both", both)
    assert seen == {1, 2}


def test_the_process_title_says_who_is_who(service: Service) -> None:
    pytest.importorskip("setproctitle")
    server = service.start()
    titles = {
        Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0")
        for pid in (server.pid, *server.worker_pids())
    }
    assert titles == {
        b"wsgi-server:supervisor",
        b"wsgi-server:worker 1 (application:app)",
        b"wsgi-server:worker 2 (application:app)",
    }


@pytest.mark.parametrize(
    "signum", [signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGUSR1]
)
def test_a_signal_meant_for_the_supervisor_does_a_worker_no_harm(
    service: Service, signum: signal.Signals
) -> None:
    # A terminal that closes signals the whole process group.
    service.configure(workers=1)
    server = service.start()
    (worker,) = server.worker_pids()
    os.kill(worker, signum)
    assert answer(server)["pid"] == worker
    # The signal has been dealt with, for a later one is.
    os.kill(worker, signal.SIGTERM)
    server.wait_for_log(f"worker {worker} .* leaves by itself")
    server.wait_for("its end", lambda: not live.is_alive(worker))
    assert count(server, "leaves by itself") == 1


def test_workers_that_keep_dying_are_not_forked_in_a_storm(service: Service) -> None:
    server = service.start()
    service.application.write_text("import os\nos._exit(7)\n")
    began = time.monotonic()
    for victim in server.worker_pids():
        os.kill(victim, signal.SIGKILL)
    server.wait_for(
        "some attempts", lambda: count(server, "ended with status 7 before") >= 6
    )
    # Two workers, 0.4 and then 1.6 s between their attempts.
    assert time.monotonic() - began > 1.0
    assert count(server, "it is replaced") < 10


@both_engines
def test_a_stopped_worker_is_seen_by_worker_timeout_and_replaced(
    service: Service,
) -> None:
    service.configure(worker_timeout=1)
    server = service.start()
    victim = min(server.worker_pids())
    os.kill(victim, signal.SIGSTOP)
    server.wait_for_log(f"worker {victim} .* has not moved for 1 s; it is killed")
    server.wait_for(
        "a replacement",
        lambda: victim not in (now := server.worker_pids()) and len(now) == 2,
    )
    assert re.search(rf"worker {victim} \(.*application:app", server.log())
    assert re.search(f"worker {victim} .* gave no stack", server.log())


def test_a_hanging_worker_is_dumped_and_replaced(service: Service) -> None:
    # With eventlet alone: where native threads run requests, one that blocks holds up
    # nobody and is no hang.
    service.configure(worker_timeout=1)
    server = service.start()
    with server.connect() as client:
        client.sendall(b"GET /stuck?s=300 HTTP/1.1\r\nHost: x\r\n\r\n")
        victim = int(server.wait_for_log(r"worker (\d+) .* has not moved").group(1))
        server.wait_for_log(rf"(?s)worker {victim} .* stood at.*application\.py., line")
        server.wait_for(
            "a replacement",
            lambda: victim not in (now := server.worker_pids()) and len(now) == 2,
        )
    assert answer(server)["version"] == "one"


def test_an_idle_worker_is_not_taken_for_hanging(service: Service) -> None:
    service.configure(worker_timeout=2)
    server = service.start()
    old = server.worker_pids()
    # The proof is a later event: a stopped worker is found, the idle one is not.
    victim = min(old)
    os.kill(victim, signal.SIGSTOP)
    server.wait_for_log(f"worker {victim} .* has not moved")
    server.wait_for("a replacement", lambda: count(server, "ready after") == 3)
    assert old - {victim} <= server.worker_pids()


@both_engines
def test_max_requests_replaces_one_worker_at_a_time_and_loses_nothing(
    service: Service,
) -> None:
    service.configure(max_requests=20, max_requests_jitter=5)
    server = service.start()
    old = server.worker_pids()
    most = 0
    with steady_requests(server) as load:

        def replaced() -> bool:
            nonlocal most
            now = server.worker_pids()
            most = max(most, len(now))
            return not old & now

        server.wait_for("new workers", replaced)
    assert load.failures == []
    assert re.search(r"is to be replaced: 2\d requests", server.log())
    # Two that serve, and one more for a replacement that starts or a worker that drains.
    assert most <= 3


def test_max_worker_lifetime_replaces_workers(service: Service) -> None:
    service.configure(max_worker_lifetime=0.5)
    server = service.start()
    old = server.worker_pids()
    with steady_requests(server) as load:
        server.wait_for("new workers", lambda: not old & server.worker_pids())
    assert load.failures == []
    assert "is to be replaced: 0.5 s of age" in server.log()


def test_max_worker_rss_replaces_a_worker_that_grew(service: Service) -> None:
    service.configure(workers=1, max_worker_rss=200 << 20, worker_timeout=5)
    server = service.start()
    (old,) = server.worker_pids()
    assert server.get(f"/eat?bytes={200 << 20}").status == 200
    server.wait_for("a new worker", lambda: old not in server.worker_pids())
    assert re.search(r"is to be replaced: \d+ bytes of memory", server.log())


@both_engines
@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("max_worker_rss", 1 << 20, r"\d+ bytes of memory"),
        ("max_worker_lifetime", 0.001, r"0\.001 s of age"),
    ],
)
def test_a_limit_that_every_worker_is_born_beyond_is_said_once_and_makes_no_storm(
    service: Service, option: str, value: float, reason: str
) -> None:
    service.configure(**{option: value})
    server = service.start()
    server.wait_for(
        "the fifth replacement", lambda: count(server, "is to be replaced") >= 7
    )
    assert count(server, "replacing does not help") == 1
    assert re.search(
        f"does not help: worker .* after it was ready .{reason}", server.log()
    )
    # The first two, and one for each replacement: facts of the log, by their own times.
    began = {int(pid) for pid in re.findall(r"worker (\d+) .* is to be", server.log())}
    assert len(began) == count(server, "is to be replaced")
    # Whoever is due serves on.
    assert answer(server)["version"] == "one"
    reload(server)
    server.wait_for_log("generation 2 serves")


def test_ttin_and_ttou_add_and_take_away_workers(service: Service) -> None:
    server = service.start()
    old = server.worker_pids()
    server.send(signal.SIGTTIN)
    server.wait_for("three workers", lambda: len(server.worker_pids()) == 3)
    server.wait_for("its readiness", lambda: count(server, "ready after") == 3)
    assert old < server.worker_pids()
    server.send(signal.SIGTTOU)
    server.wait_for("two workers", lambda: len(server.worker_pids()) == 2)
    # The highest number goes: 1 and 2 stay.
    assert server.worker_pids() == old
    for _ in range(3):
        server.send(signal.SIGTTOU)
        server.wait_for("one worker", lambda: len(server.worker_pids()) <= 2)
    server.wait_for("one worker", lambda: len(server.worker_pids()) == 1)
    assert answer(server)["version"] == "one"


@both_engines
def test_usr1_opens_the_log_files_anew(service: Service, tmp_path: Path) -> None:
    log, access = tmp_path / "server.log", tmp_path / "access.log"
    service.configure(log_file=str(log), access_log=str(access))
    server = service.start(listens=False)
    live.wait_until(
        "listening", lambda: log.exists() and "listening" in log.read_text()
    )
    found = re.search(r"listening on (\S+)", log.read_text())
    assert found is not None
    server.url = found.group(1)
    answer(server)
    live.wait_until("an access line", lambda: access.read_text())
    log.rename(tmp_path / "server.log.1")
    access.rename(tmp_path / "access.log.1")
    server.send(signal.SIGUSR1)
    live.wait_until("a new log", lambda: log.exists() and "reopened" in log.read_text())
    # The worker that answers may not have come to it yet: its line is in the old file.
    live.wait_until(
        "an access line in a new file",
        lambda: answer(server) and access.exists() and "GET /" in access.read_text(),
    )


@both_engines
@pytest.mark.parametrize("preload", ["false", "true"])
def test_collections_leave_out_what_was_loaded(service: Service, preload: str) -> None:
    service.configure(preload_app=preload)
    server = service.start()
    assert answer(server)["frozen"] > 10_000
    assert server.stop() == 0


@both_engines
def test_collections_look_at_everything_where_an_operator_wants_it(
    service: Service,
) -> None:
    service.configure(gc_freeze="false")
    assert answer(service.start())["frozen"] == 0
