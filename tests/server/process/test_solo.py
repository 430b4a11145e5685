"""`workers = 0`: one process, the same signals."""

from __future__ import annotations

import contextlib
import re
import signal
from pathlib import Path

import pytest
from server.process.support import (
    HeldRequest,
    Service,
    answer,
    both_engines,
    count,
    hang,
    reload,
    steady_requests,
)

pytestmark = [pytest.mark.forks, both_engines]


@pytest.fixture
def solo(service: Service) -> Service:
    service.configure(workers=0)
    return service


def test_the_one_process_serves_without_forking(solo: Service) -> None:
    server = solo.start()
    assert answer(server)["pid"] == server.pid
    assert server.worker_pids() == set()


def test_sigterm_finishes_the_request_in_flight(solo: Service, tmp_path: Path) -> None:
    server = solo.start()
    held = HeldRequest(server, tmp_path)
    server.send(signal.SIGTERM)
    server.wait_for_log("stopping when all is answered")
    assert held.release().status == 200
    assert server.wait() == 0


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_an_application_that_is_loading_does_not_hold_up_the_end(
    solo: Service, tmp_path: Path, signum: signal.Signals
) -> None:
    pid_file = tmp_path / "serve.pid"
    solo.configure(pid_file=str(pid_file))
    begun = hang(solo)
    server = solo.start(listens=False)
    server.wait_for("the application", begun.exists)
    server.send(signum)
    assert server.wait() == 0
    assert not pid_file.exists()


def test_sigint_does_not_wait(solo: Service, tmp_path: Path) -> None:
    solo.configure(graceful_timeout=300)
    server = solo.start()
    begun = tmp_path / "begun"
    with server.connect() as client:
        client.sendall(
            f"GET /begin?file={begun}&s=300 HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        )
        server.wait_for("the request to run", begun.exists)
        server.send(signal.SIGINT)
        assert server.wait() == 0


def test_sigint_does_not_wait_for_requests_in_the_queue(
    solo: Service, tmp_path: Path
) -> None:
    solo.configure(graceful_timeout=300, threads=1, queue_size=2)
    server = solo.start()
    begun = tmp_path / "begun"
    request = "GET /begin?file={}&s=300 HTTP/1.1\r\nHost: x\r\n\r\n"
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(server.connect())
        first.sendall(request.format(begun).encode())
        server.wait_for("the request to run", begun.exists)
        for _ in range(2):
            waiting = stack.enter_context(server.connect())
            waiting.sendall(request.format(tmp_path / "other").encode())
        server.wait_for_log("accepting pauses: 1 request is waiting")
        server.send(signal.SIGINT)
        assert server.wait() == 0


def test_what_runs_during_a_reload_is_logged_and_leaves_its_connection(
    solo: Service, tmp_path: Path
) -> None:
    solo.configure(access_log=tmp_path / "old")
    server = solo.start()
    held = HeldRequest(server, tmp_path)
    solo.configure(access_log=tmp_path / "new")
    reload(server)
    assert held.release().headers["Connection"] == "close"
    server.wait_for("its line", lambda: "/begin" in (tmp_path / "new").read_text())
    assert "/begin" not in (tmp_path / "old").read_text()


def test_a_failed_reload_changes_nothing_and_a_repair_works(solo: Service) -> None:
    server = solo.start()
    options = dict(solo.options)
    with steady_requests(server) as load:
        solo.config.write_text("nonsense")
        reload(server)
        assert re.search("reload failed: .*generation 1 goes on", server.log())
        solo.options = options
        solo.configure(backlog=77)
        reload(server)
        assert "generation 2 serves" in server.log()
        done = load.done
        server.wait_for("more answers", lambda: load.done > done + 5)
    assert load.failures == []
    assert "backlog changes from 4096 to 77" in server.log()


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        ({"access_log_format": "{nonsense}"}, "access_log_format: unknown field"),
        ({"access_log": "/nowhere/x"}, "access_log: cannot write /nowhere/x"),
        # Only the kernel's socket finds out: the engine has changed over by then.
        ({"backlog": 1 << 40, "drain_idle_timeout": 9}, ""),
    ],
)
def test_a_reload_that_fails_at_the_change_over_leaves_the_old_one_serving(
    solo: Service, spoilt: dict[str, object], reason: str
) -> None:
    server = solo.start()
    options = dict(solo.options)
    with steady_requests(server) as load:
        solo.configure(**{"access_log": "-", **spoilt})
        reload(server)
        assert re.search(
            f"reload failed: .*{reason}.*; generation 1 goes on", server.log()
        )
        done = load.done
        server.wait_for("more answers", lambda: load.done > done + 5)
        assert server.output() == ""
        solo.options = options
        solo.configure(backlog=77)
        reload(server)
        assert re.search(r"generation \d+ serves, generation 1 retires", server.log())
        done = load.done
        server.wait_for("more answers", lambda: load.done > done + 5)
    assert load.failures == []
    assert server.stop() == 0


def test_a_changed_port_is_served_after_sighup(solo: Service) -> None:
    server = solo.start()
    solo.configure(bind=["127.0.0.1:0", "localhost:0"])
    reload(server)
    assert count(server, "listening on") > 1
    server.url = re.findall(r"listening on (http://127\S+)", server.log())[-1]
    assert answer(server)["pid"] == server.pid


def test_an_application_that_raises_ends_the_start_with_status_load(
    solo: Service,
) -> None:
    solo.application.write_text("raise ValueError('no such luck')\n")
    server = solo.start(listens=False)
    assert server.wait() == 4
    assert "no such luck" in server.log()


def test_reloads_that_meet_while_the_application_loads_go_one_by_one(
    solo: Service, tmp_path: Path, engine: str
) -> None:
    """Where it is patched, one that waits while it loads lets the next signal in."""
    begun, gate = tmp_path / "begun", tmp_path / "gate"
    gate.touch()
    with solo.application.open("a") as file:
        file.write(
            "def make():\n"
            f"    open({str(begun)!r}, 'a').write('x')\n"
            f"    while not os.path.exists({str(gate)!r}):\n"
            "        time.sleep(0.01)\n"
            "    return app\n"
        )
    solo.uri = "application:make()"
    server = solo.start()
    gate.unlink()
    server.send(signal.SIGHUP)
    server.wait_for("the load", lambda: begun.read_text() == "xx")
    server.send(signal.SIGHUP)
    if engine == "patched":
        # Answered meanwhile, and by then the signal has been taken.
        assert answer(server)["version"] == "one"
    gate.touch()
    server.wait_for_log("generation 3 serves, generation 2 retires")
    assert begun.read_text() == "xxx"
    assert count(server, "generation 2 retires") == 1
    # One that is under way when the end comes is given up.
    if engine == "patched":
        gate.unlink()
        server.send(signal.SIGHUP)
        server.wait_for("the load", lambda: begun.read_text() == "xxxx")
        server.send(signal.SIGTERM)
        server.wait_for_log("stopping when all is answered")
        gate.touch()
    else:
        server.send(signal.SIGTERM)
    assert server.wait() == 0
    assert "Traceback" not in server.log()
