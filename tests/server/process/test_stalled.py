"""Everything that a server goes through, while nobody reads what it says."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import live
import pytest
from server.process.support import (
    Service,
    answer,
    both_engines,
    states,
    wait_for_answer,
)
from server.stalled import StalledServer, stalled, writes

pytestmark = [pytest.mark.forks, both_engines]

#: Behind the application of the service: every start and every request says a page.
NOISE = """
import sys
sys.stderr.write("x" * 8192 + "\\n")
inner = app
def app(environ, start_response):
    print("y" * 8192, flush=True)
    environ["wsgi.errors"].write("z" * 8192 + "\\n")
    return inner(environ, start_response)
"""


@pytest.fixture
def server(service: Service, engine: str) -> Iterator[StalledServer]:
    """Two workers whose streams have stalled."""
    service.configure(access_log="-", graceful_timeout=1)
    with service.application.open("a") as file:
        file.write(NOISE)
    uri = live.application_of(engine, "application:app")
    environment = {"PYTHONDONTWRITEBYTECODE": "1"}
    arguments = ("--config-file", str(service.config))
    with stalled(service.directory, uri, *arguments, env=environment) as it:
        for _ in range(10):
            answer(it)
        assert all(pipe.is_full for pipe in it.pipes)
        yield it


@pytest.mark.parametrize("reads", ["nobody", "gone"])
def test_reload_replacement_and_stop_need_no_reader(
    service: Service, server: StalledServer, reads: str
) -> None:
    if reads == "gone":
        server.close()
    old = server.worker_pids()
    service.publish("two")
    server.send(signal.SIGHUP)
    wait_for_answer(server, version="two")
    server.wait_for("the old ones' end", lambda: not old & server.worker_pids())
    victim, other = server.worker_pids()
    os.kill(victim, signal.SIGKILL)
    server.wait_for("a replacement", lambda: len(server.worker_pids() - {victim}) == 2)
    server.send(signal.SIGUSR1)
    server.send(signal.SIGTTIN)
    server.wait_for("a third worker", lambda: len(server.worker_pids()) == 3)
    before = writes(other)
    assert answer(server)["version"] == "two"
    everybody = (server.pid, *server.worker_pids())
    server.wait_for(
        "all to sleep", lambda: all(set(states(pid)) == {"S"} for pid in everybody)
    )
    assert writes(other) - before < 20
    assert server.stop() == 0


def test_an_upgrade_needs_no_reader(service: Service, server: StalledServer) -> None:
    service.publish("two")
    server.send(signal.SIGUSR2)
    wait_for_answer(server, version="two")
    assert server.wait() == 0
    worker = answer(server)["pid"]
    successor = parent_of(worker)
    assert successor != server.pid
    os.kill(successor, signal.SIGTERM)
    server.wait_for("its end", lambda: not live.is_alive(successor))
    assert not live.is_alive(worker)


@pytest.mark.parametrize("path", ["/", "/stuck"])
def test_orphans_end_without_a_reader(
    service: Service, server: StalledServer, tmp_path: Path, path: str
) -> None:
    """Also one that has to be ended by the stack that it cannot write."""
    workers = server.worker_pids()
    begun = tmp_path / "begun"
    with server.connect() as client:
        request = f"GET {path}?file={begun}&s=300 HTTP/1.1\r\nHost: x\r\n\r\n"
        client.sendall(request.encode())
        server.wait_for("the request to run", begun.exists)
        os.kill(server.pid, signal.SIGKILL)
        server.wait()
        server.wait_for(
            "the workers' end", lambda: not any(map(live.is_alive, workers))
        )


def parent_of(pid: int) -> int:
    stat = Path(f"/proc/{pid}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[1])
