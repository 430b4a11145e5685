"""Orders and questions in the cases that are not ordinary: workers that hang, and heirs."""

from __future__ import annotations

import os
import signal
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import live
import pytest
from server.process.support import Service, both_engines
from server.process.watching import Watched
from wsgi_server._command.client import Client, NoServer, Refused

pytestmark = pytest.mark.forks

Start = Callable[..., Watched]
GET = "GET {} HTTP/1.1\r\nHost: a\r\n\r\n"


@both_engines
def test_a_worker_that_cannot_answer_is_asked_by_signal(watched: Start) -> None:
    """It sleeps in C with the interpreter's lock: no bytecode runs in it."""
    one = watched("apps.exercise:app", "--worker-timeout", "600")
    (worker,) = one.server.worker_pids()
    with one.server.connect() as client:
        client.sendall(GET.format("/clutch?600").encode())

        def asked() -> str | None:
            (text,) = one.control.get("/stacks")["stacks"].values()
            heading = "its loop gave no answer; this is what needs none:"
            return str(text) if text.startswith(heading) else None

        # It answers until the request has come as far as its sleep.
        text = one.server.wait_for("the sleep", asked)
        assert "in clutch" in text
        # One that is stopped cannot do even that, and a later question is a new one.
        os.kill(worker, signal.SIGSTOP)
        (text,) = one.control.get("/stacks")["stacks"].values()
        assert text.endswith("nothing: it is stopped, or in the kernel")
        os.kill(worker, signal.SIGCONT)
    os.kill(worker, signal.SIGKILL)
    one.server.wait_for_log("it is replaced")
    with pytest.raises(Refused, match="no worker 9"):
        one.control.get("/stacks?worker=9")


def test_levels_that_follow_one_another_end_at_the_first_one(watched: Start) -> None:
    one = watched()
    one.control.post("/log-level", level="DEBUG", logger="a.b", **{"for": 600})
    found = one.control.post("/log-level", level="ERROR", logger="a.b", **{"for": 0.1})
    assert found["detail"] == "a.b logs ERROR for 0.1 s, DEBUG before"
    one.server.wait_for_log("logger a.b: level NOTSET")


def test_a_worker_that_was_loading_learns_of_a_level(
    service: Service, ready_gate: Path, control: Path
) -> None:
    service.configure(workers=1, control_socket=control)
    text = service.application.read_text()
    service.application.write_text(
        f"{text}\nimport logging\n"
        f"while not os.path.exists({str(ready_gate)!r}):\n    time.sleep(0.01)\n"
        "plain = app\n"
        "def app(environ, start):\n"
        "    logging.getLogger('mine').debug('heard')\n"
        "    return plain(environ, start)\n"
    )
    server = service.start(listens=False)
    server.wait_for_log("admin: control socket")
    server.wait_for("the worker", server.worker_pids)
    Client(str(control)).post("/log-level", level="DEBUG", logger="mine")
    ready_gate.touch()
    url = server.wait_for_log(r"listening on (\S+)")[1]
    server.url = url
    assert server.get("/").status == 200
    server.wait_for_log("DEBUG mine: heard")


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_unix_socket_of_admin_bind_takes_no_orders(
    live_server: Callable[..., live.LiveServer], control: Path, workers: str
) -> None:
    server = live_server(
        *("apps.hello:app", "--workers", workers, "--admin-bind", f"unix:{control}")
    )
    client = Client(str(control))
    assert client.get("/status")["phase"] == "SERVING"
    for path in ("/stop", "/reload", "/drain"):
        with pytest.raises(Refused, match="over the control socket alone"):
            client.post(path)
    for path in ("/config", "/stacks"):
        with pytest.raises(Refused, match="over the control socket"):
            client.get(path)
    assert stat.S_IMODE(control.stat().st_mode) == 0o660
    assert server.stop() == 0
    assert not control.exists()


@pytest.mark.parametrize("workers", ["0", "1"])
def test_an_upgrade_hands_the_admin_side_over_when_it_has_succeeded(
    watched: Start, workers: str
) -> None:
    one = watched("apps.hello:app", "--workers", workers)
    address = one.admin
    assert one.control.post("/upgrade")["api"] == 1
    one.server.wait_for_log("upgrade: process \\d+ has taken over")
    assert one.server.wait() == 0
    # The same port, the same path, another process.
    assert one.admin == address
    assert one.probe() == (200, "ready")
    new = one.status()["server"]["pid"]
    assert new != one.server.pid
    one.control.post("/stop")
    live.wait_until("its end", lambda: not live.is_alive(new))
    assert not one.socket.exists()


def test_an_upgrade_that_fails_leaves_the_admin_side_where_it_was(
    service: Service, control: Path
) -> None:
    service.configure(workers=1, control_socket=control, admin_bind="127.0.0.1:0")
    server = service.start()
    one = Watched(server, Client(str(control)), control)
    service.application.write_text("raise ValueError('no such release')\n")
    one.control.post("/upgrade")
    server.wait_for_log(r"upgrade: process \d+ failed; we go on")
    assert one.status()["server"]["pid"] == server.pid
    assert one.probe() == (200, "ready")
    assert server.stop() == 0
    with pytest.raises(NoServer):
        one.status()


def test_an_upgrade_is_refused_while_something_else_is_under_way(
    service: Service, ready_gate: Path, control: Path
) -> None:
    service.configure(workers=1, control_socket=control)
    server = service.start()
    client = Client(str(control))
    text = service.application.read_text()
    service.application.write_text(
        f"{text}\nwhile not os.path.exists({str(ready_gate)!r}):\n    time.sleep(0.01)\n"
    )
    waits = threading.Thread(target=client.post, args=("/reload",))
    waits.start()
    server.wait_for_log("starting generation 2")
    with pytest.raises(Refused, match="no upgrade: a reload is under way"):
        client.post("/upgrade")
    ready_gate.touch()
    waits.join()


@both_engines
def test_what_is_shown_of_connections_is_not_what_was(watched: Start) -> None:
    """A gauge goes back where nothing happens any more that would move it."""
    one = watched()
    name = "wsgi_server_connections"
    with one.server.connect() as client:
        client.sendall(GET.format("/turns").encode())
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
        one.server.wait_for("an idle one", lambda: one.total(name, state="idle") == 1)
    one.server.wait_for("none", lambda: one.total(name) == 0)


def test_the_live_gauges_of_an_application_end_with_their_worker(
    watched: Start, tmp_path: Path
) -> None:
    folder = tmp_path / "prometheus"
    folder.mkdir()
    (tmp_path / "counted.py").write_text(
        "from prometheus_client import Counter, Gauge\n"
        "from apps.hello import app\n"
        "Gauge('rooms', 'Rooms.', multiprocess_mode='livesum').set(3)\n"
        "Counter('guests', 'Guests.').inc()\n"
    )
    one = watched("counted:app", env={"PROMETHEUS_MULTIPROC_DIR": str(folder)})
    (worker,) = one.server.worker_pids()
    gauge, counter = (
        folder / f"gauge_livesum_{worker}.db",
        folder / f"counter_{worker}.db",
    )
    assert gauge.exists()
    one.control.post("/reload")
    one.server.wait_for("the end of its gauges", lambda: not gauge.exists())
    # What it has counted stays: it is the application's to export.
    assert counter.exists()


@pytest.mark.parametrize("engine", ["patched"])
def test_a_scrape_leaves_nothing_behind_that_a_patched_application_trips_over(
    watched: Start,
) -> None:
    """Workers that are forked after a scrape have the library from their parent."""
    one = watched()
    assert one.total("wsgi_server_workers", state="ready") == 1
    one.control.post("/reload")
    assert one.server.get("/turns").status == 200
    assert "greened" not in one.server.log()
    assert "WARNING" not in one.server.log()


@pytest.fixture
def ready_gate(tmp_path: Path) -> Path:
    """Where a file lets a worker go on."""
    return tmp_path / "ready"
