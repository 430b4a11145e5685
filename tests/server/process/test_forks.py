"""What an application forks is an ordinary process, and is gone when the server is."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import live
import pytest
from server.process.support import Service, answer, both_engines

pytestmark = pytest.mark.forks

#: Added to the application: requests that fork.
FORKING = """
import multiprocessing, signal, subprocess

def facts():
    fds = {}
    for fd in os.listdir("/proc/self/fd"):
        try:
            fds[fd] = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            pass
    caught = {n for n in range(1, 32) if n not in (9, 19) and signal.getsignal(n)
              not in (signal.SIG_DFL, signal.SIG_IGN)}
    with open("/proc/self/status") as status:
        lines = dict(line.split(":", 1) for line in status)
    return {"pid": os.getpid(), "fds": fds, "caught": sorted(caught),
            "blocked": int(lines["SigBlk"], 16), "c_caught": int(lines["SigCgt"], 16),
            "wakeup": signal.set_wakeup_fd(-1)}

def linger(path):
    draft = path + ".draft"
    with open(draft, "w") as file:
        json.dump(facts(), file)
    os.rename(draft, path)
    while True:
        signal.pause()

def fork(path, deaf=False, apart=False):
    pid = os.fork()
    if pid == 0:
        if deaf:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if apart:
            os.setsid()
        linger(path)
    return pid

inner = app

def app(environ, start_response):
    path = environ["PATH_INFO"]
    query = parse_qs(environ["QUERY_STRING"])
    told = query.get("told", [""])[0]
    found = None
    if path == "/fork":
        found = fork(told, "deaf" in query, "apart" in query)
    elif path == "/terminate":
        context = multiprocessing.get_context(query["method"][0])
        process = context.Process(target=signal.pause)
        process.start()
        process.terminate()
        process.join(30)
        found = process.exitcode
    elif path == "/at-once":
        found = []
        for signum in [signal.SIGTERM, signal.SIGINT, signal.SIGHUP] * 10:
            pid = os.fork()
            if pid == 0:
                while True:
                    signal.pause()
            os.kill(pid, signum)
            found.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) + signum)
    elif path in ("/return", "/exit", "/raise"):
        pid = os.fork()
        if pid == 0:
            if path == "/exit":
                sys.exit(3)
            if path == "/raise":
                raise ValueError("in the child")
        else:
            found = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    elif path == "/preexec":
        found = subprocess.run(
            [sys.executable, "-c", "print(1)"], preexec_fn=os.setsid, stdout=-1
        ).returncode
    if path not in ("/fork", "/terminate", "/at-once", "/return", "/exit", "/raise",
                    "/preexec"):
        return inner(environ, start_response)
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(found).encode()]
"""

WORKERS = pytest.mark.parametrize("workers", [0, 1])


@pytest.fixture
def forking(service: Service, workers: int) -> Service:
    code = service.application.read_text() + FORKING
    service.application.write_text(code)
    service.configure(workers=workers, graceful_timeout=30)
    return service


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Path]:
    """Where a child writes what it found; whatever happens, the child is ended."""
    path = tmp_path / "told"
    yield path
    if path.exists():
        pid = json.loads(path.read_text())["pid"]
        if live.is_alive(pid):
            os.kill(pid, signal.SIGKILL)


def ask(server: live.LiveServer, path: str) -> Any:
    response = server.get(path)
    assert response.status == 200, response.text
    return json.loads(response.body)


def fork(server: live.LiveServer, told: Path, *how: str) -> dict[str, Any]:
    """Has the application fork a child that lingers, and reads what that found."""
    pid = ask(server, f"/fork?told={told}" + "".join(f"&{word}=1" for word in how))
    server.wait_for("what the child found", told.exists)
    found: dict[str, Any] = json.loads(told.read_text())
    assert found["pid"] == pid
    return found


def foreign(found: dict[str, Any]) -> list[str]:
    """The descriptors of a child that are no files."""
    kinds = ("socket:", "pipe:", "anon_inode:")
    return [target for target in found["fds"].values() if target.startswith(kinds)]


@both_engines
@WORKERS
def test_a_forked_child_is_an_ordinary_process_and_ends_with_the_server(
    forking: Service, told: Path
) -> None:
    server = forking.start()
    found = fork(server, told)
    assert foreign(found) == []
    assert found["caught"] == []
    assert (found["blocked"], found["wakeup"]) == (0, -1)
    # From 32 on the C library has its own.
    assert found["c_caught"] & 0x7FFFFFFF == 0
    # The server is as it was: it answers, and a reload that changes nothing works.
    assert answer(server)["version"] == "one"
    assert live.is_alive(found["pid"])
    assert server.stop() == 0
    assert not live.is_alive(found["pid"])
    assert "Traceback" not in server.log()


@both_engines
@WORKERS
def test_signals_that_a_child_gets_are_its_own_from_the_first_moment(
    forking: Service,
) -> None:
    server = forking.start()
    old = server.worker_pids()
    assert set(ask(server, "/at-once")) == {0}
    assert ask(server, "/terminate?method=fork") == -signal.SIGTERM
    assert answer(server)["version"] == "one"
    assert server.worker_pids() == old
    assert "leaves by itself" not in server.log()
    assert server.stop() == 0


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.parametrize("workers", [1])
def test_processes_that_are_started_anew_are_ordinary_as_well(
    forking: Service, method: str
) -> None:
    server = forking.start()
    assert ask(server, f"/terminate?method={method}") == -signal.SIGTERM
    (worker,) = server.worker_pids()
    helpers = live.children_of(worker)
    assert helpers
    assert server.stop() == 0
    live.wait_until("their end", lambda: not any(map(live.is_alive, helpers)))


@both_engines
@WORKERS
def test_a_child_that_comes_back_from_the_application_ends_there(
    forking: Service,
) -> None:
    server = forking.start()
    old = server.worker_pids()
    assert ask(server, "/return") == 0
    assert ask(server, "/exit") == 3
    assert ask(server, "/raise") == 1
    assert ask(server, "/preexec") == 0
    assert answer(server)["version"] == "one"
    assert server.worker_pids() == old
    assert server.stop() == 0


@pytest.mark.parametrize("workers", [1])
def test_a_child_does_not_hide_its_workers_death_and_ends_with_it(
    forking: Service, told: Path
) -> None:
    server = forking.start()
    found = fork(server, told)
    (victim,) = server.worker_pids()
    os.kill(victim, signal.SIGKILL)
    server.wait_for_log(f"worker {victim} .* was killed by SIGKILL; it is replaced")
    server.wait_for("the child's end", lambda: not live.is_alive(found["pid"]))
    server.wait_for("another", lambda: server.worker_pids() - {victim})
    assert server.stop() == 0


@WORKERS
def test_a_child_that_ignores_sigterm_is_killed_at_the_end(
    forking: Service, told: Path
) -> None:
    server = forking.start()
    found = fork(server, told, "deaf")
    assert server.stop() == 0
    assert not live.is_alive(found["pid"])


@WORKERS
def test_a_child_in_a_session_of_its_own_is_left_alone(
    forking: Service, told: Path
) -> None:
    server = forking.start()
    found = fork(server, told, "apart")
    server.send(signal.SIGTERM)
    assert server.wait() == 0
    assert live.is_alive(found["pid"])


@pytest.mark.parametrize(
    ("workers", "preload"), [(1, "true"), (1, "false"), (0, "false")]
)
def test_what_is_forked_while_the_application_is_loaded_is_ordinary(
    forking: Service, told: Path, preload: str
) -> None:
    forking.application.write_text(
        forking.application.read_text() + f"\nloading = fork({str(told)!r})\n"
    )
    forking.configure(preload_app=preload)
    server = forking.start()
    server.wait_for("what the child found", told.exists)
    found = json.loads(told.read_text())
    assert foreign(found) == []
    assert (found["caught"], found["blocked"], found["wakeup"]) == ([], 0, -1)
    os.kill(found["pid"], signal.SIGTERM)
    live.wait_until("its end", lambda: not live.is_alive(found["pid"]))
    assert answer(server)["version"] == "one"
    assert server.stop() == 0


def test_what_a_program_forks_beside_its_server_has_the_programs_handlers(
    service: Service, told: Path
) -> None:
    program = service.directory / "program.py"
    text = service.application.read_text() + FORKING
    program.write_text(
        text
        + f"""
import logging
logging.basicConfig(level=logging.INFO)
from oslo_config import cfg
import wsgi_server
conf = cfg.ConfigOpts()
wsgi_server.register_cli_opts(conf)
conf([], default_config_files=[], default_config_dirs=[])
signal.signal(signal.SIGHUP, signal.SIG_IGN)
server = wsgi_server.Server(conf=conf)
server.get_num_workers = lambda: 1
server.start(app, 0)
fork({str(told)!r})
sys.exit(server.wait())
"""
    )
    server = live.launch(
        service.directory, [sys.executable, "-W", "ignore", str(program)]
    )
    service.servers.append(server)
    server.wait_for("what the child found", told.exists)
    found = json.loads(told.read_text())
    assert foreign(found) == []
    assert (found["caught"], found["blocked"], found["wakeup"]) == ([], 0, -1)
    os.kill(found["pid"], signal.SIGHUP)
    os.kill(found["pid"], signal.SIGTERM)
    live.wait_until("its end", lambda: not live.is_alive(found["pid"]))
    assert "reload" not in server.log()
    assert server.stop() == 0
