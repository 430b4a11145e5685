"""Probes of a live server, on its admin side and on the service's own addresses."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import ssl
from collections.abc import Callable
from pathlib import Path

import live
import pytest
import tools
from server.process.support import Service, both_engines, count, hang, reload
from server.process.watching import Watched

pytestmark = pytest.mark.forks

Start = Callable[..., Watched]
ON_SERVICE = ("--health-on-service", "--access-log", "-")
PROBES = ("/livez", "/readyz", "/healthz", "/startupz")
#: Seconds that no test waits for.
LONG = "600"


def word(answer: live.Response) -> tuple[int, str]:
    """Status and word of an answer to a probe."""
    return answer.status, answer.text.partition(":")[0]


def words(server: live.LiveServer) -> list[tuple[int, str]]:
    """What the service says to each of `PROBES`."""
    return [word(server.get(path)) for path in PROBES]


def both(one: Watched) -> list[tuple[int, str]]:
    """What both sides say, which must be the same."""
    found = words(one.server)
    assert [one.probe(path) for path in PROBES] == found
    return found


LIVE, STARTED, READY = (200, "live"), (200, "started"), (200, "ready")
HELD, DRAINING = (503, "held"), (503, "draining")


@both_engines
@pytest.mark.parametrize("workers", ["0", "2"])
def test_both_sides_say_the_same_in_each_phase(watched: Start, workers: str) -> None:
    one = watched(
        *("apps.exercise:app", "--workers", workers, "--drain-delay", LONG),
        *ON_SERVICE,
    )
    assert both(one) == [LIVE, READY, READY, STARTED]
    one.control.post("/drain")
    assert both(one) == [LIVE, HELD, HELD, STARTED]
    one.control.post("/undrain")
    assert both(one) == [LIVE, READY, READY, STARTED]
    one.control.post("/reload")
    assert both(one) == [LIVE, READY, READY, STARTED]
    with contextlib.closing(one.server.client()) as client:
        client.request("GET", "/turns")
        assert client.getresponse().read() == b"0"
        one.server.send(signal.SIGTERM)
        one.server.wait_for("the notice", lambda: one.probe() == DRAINING)
        assert both(one) == [LIVE, DRAINING, DRAINING, STARTED]
        # It serves on, for those who have not noticed yet.
        assert one.server.get("/turns").status == 200
        assert one.status()["phase"] == "DRAINING"
        # A second order is impatient: clients are told, and none can come any more.
        one.server.send(signal.SIGTERM)
        one.server.wait_for_log("stopping when all is answered")
        one.server.wait_for("the end", lambda: live.refuses(one.server.address))
    assert one.server.wait() == 0
    # No probe is in the access log; each request of the service is.
    assert one.server.output().count("/turns") == 2
    assert "z HTTP" not in one.server.output()


@both_engines
def test_a_drained_connection_may_ask_until_it_is_closed(watched: Start) -> None:
    one = watched(
        *("apps.exercise:app", "--drain-delay", LONG),
        *(*ON_SERVICE, "--graceful-timeout", LONG),
    )
    # It begins before the end, and is whole only after the listeners have closed.
    with one.server.connect() as client:
        client.sendall(
            b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n"
        )
        one.server.wait_for("it runs", lambda: one.total("wsgi_server_requests_active"))
        with one.server.connect() as other:
            other.sendall(b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n")
            assert other.recv(65536).startswith(b"HTTP/1.1 200")
            one.server.send(signal.SIGTERM)
            one.server.wait_for_log("not ready from now on")
            one.server.send(signal.SIGTERM)
            one.server.wait_for("closed", lambda: live.refuses(one.server.address))
            other.sendall(b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n")
            answer = b"".join(iter(lambda: other.recv(65536), b""))
            # It may have been closed as idle before it asked.
            assert not answer or b" 503 " in answer.partition(b"\r\n")[0]
            assert not answer or b"Connection: close" in answer
        client.sendall(b"x" * 99999)
        assert client.recv(12) == b"HTTP/1.1 200"
    assert one.server.wait() == 0


@both_engines
def test_probes_need_no_place(watched: Start, tmp_path: Path) -> None:
    one = watched(
        *("apps.exercise:app", "--threads", "1", "--config-file"),
        *(str(small_queue(tmp_path)), *ON_SERVICE),
    )
    until = tmp_path / "until"
    with contextlib.ExitStack() as stack:
        for number in range(3):
            started = tmp_path / "started"
            client = stack.enter_context(one.server.connect())
            target = f"/wait?until={until}&started={started}"
            client.sendall(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            if not number:
                one.server.wait_for("the first to run", started.exists)
        # Places and queue are full: who comes is refused, and asks all the same.
        one.server.wait_for(
            "a refusal",
            lambda: one.total("wsgi_server_requests_queued") == 2,
        )
        assert one.server.get("/turns").status == 503
        assert words(one.server) == [LIVE, READY, READY, STARTED]
        until.touch()
    name = "http_server_request_duration_seconds_count"
    one.server.wait_for("all three", lambda: one.total(name) == 3)


def small_queue(folder: Path) -> Path:
    file = folder / "queue.conf"
    file.write_text("[DEFAULT]\nqueue_size = 2\n")
    return file


@both_engines
def test_only_probes_are_taken_from_the_application(
    live_server: Callable[..., live.LiveServer],
) -> None:
    server = live_server("apps.exercise:app", *ON_SERVICE)
    for path in PROBES:
        head = server.request("HEAD", path)
        assert (head.status, head.body) == (200, b"")
        assert int(head.headers["Content-Length"]) > 0
        assert head.headers["Cache-Control"] == "no-store"
        found = json.loads(server.get(path, Accept="application/json").body)
        assert found["status"] in ("live", "ready", "started")
        # Whatever else has such a path is the application's.
        assert server.request("POST", path, b"x").text != server.get(path).text
        assert "PATH_INFO" in server.get(f"{path}/").text
    # The query is not looked at; what follows on the connection comes in its order.
    answers = server.exchange(
        b"GET /turns HTTP/1.1\r\nHost: a\r\n\r\n"
        b"GET /readyz?verbose HTTP/1.1\r\nHost: a\r\n\r\n"
        b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
        b"GET /turns HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    )
    bodies = [part.rpartition(b"\r\n\r\n")[2] for part in answers.split(b"HTTP/1.1 ")]
    ready = b"ready: a worker answers\n"
    assert bodies == [b"", b"0", ready, ready, b"1"]


def test_without_the_option_the_paths_are_the_applications(watched: Start) -> None:
    one = watched("apps.exercise:app")
    for path in PROBES:
        assert "PATH_INFO" in one.server.get(path).text
    assert one.probe() == READY


@both_engines
def test_probes_come_through_tls(service: Service) -> None:
    cert, key = tools.self_signed(service.directory)
    service.configure(workers=1, cert_file=cert, key_file=key, health_on_service=True)
    server = service.start()
    context = ssl.create_default_context(cafile=str(cert))
    client = http.client.HTTPSConnection("localhost", server.port, context=context)
    client.sock = context.wrap_socket(server.connect(), server_hostname="localhost")
    with contextlib.closing(client):
        for path in (*PROBES, "/readyz"):
            client.request("GET", path)
            answer = client.getresponse()
            assert answer.status == 200
            assert answer.read()
        client.request("GET", "/")
        assert client.getresponse().status == 200


def test_while_the_first_workers_load_only_the_livez_probe_is_well(
    watched: Start, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    (tmp_path / "slow.py").write_text(
        "import os, time\nfrom apps.exercise import app\n"
        f"while not os.path.exists({str(gate)!r}):\n    time.sleep(0.01)\n"
    )
    one = watched("slow:app", *ON_SERVICE, listens=False)
    one.server.wait_for_log("admin: control socket")
    answers = [one.probe(path) for path in PROBES]
    assert answers == [LIVE, (503, "starting"), (503, "starting"), (503, "starting")]
    assert one.status()["phase"] == "STARTING"
    gate.touch()
    one.server.wait_for("the start", lambda: one.probe("/startupz") == STARTED)
    assert one.probe() == READY


def test_a_server_stays_ready_through_a_reload_that_takes_long(
    service: Service, control: Path
) -> None:
    service.configure(workers=1, control_socket=control, health_on_service=True)
    server = service.start()
    begun = hang(service)
    server.send(signal.SIGHUP)
    server.wait_for("the coming worker to load", begun.exists)
    assert words(server) == [LIVE, READY, READY, STARTED]


def test_a_worker_that_is_replaced_costs_no_life(watched: Start) -> None:
    """The one worker there is dies: the server is alive, for it brings up another."""
    one = watched("apps.exercise:app")
    (worker,) = one.server.worker_pids()
    os.kill(worker, signal.SIGKILL)
    one.server.wait_for("its end", lambda: not live.is_alive(worker))
    assert one.probe("/livez") == LIVE
    one.server.wait_for("another one", lambda: one.probe() == READY)


def test_balancers_that_ask_for_it_get_404_from_a_server_that_drains(
    service: Service, control: Path
) -> None:
    service.configure(
        workers=1, drain_status=404, drain_delay=LONG, health_on_service=True
    )
    server = service.start()
    assert word(server.get("/readyz")) == READY
    server.send(signal.SIGTERM)
    server.wait_for_log("not ready from now on")
    assert word(server.get("/readyz")) == (404, "draining")
    assert word(server.get("/livez")) == LIVE
    server.send(signal.SIGINT)
    assert server.wait() == 0


@both_engines
@pytest.mark.parametrize("workers", [0, 1])
def test_what_else_is_ordered_while_a_server_waits_to_close(
    service: Service, workers: int
) -> None:
    service.configure(workers=workers, drain_delay=LONG, health_on_service=True)
    server = service.start()
    server.send(signal.SIGTERM)
    server.wait_for_log("stopping: not ready from now on; listening for 600 s yet")
    for name in ("HUP", "USR2", "TTIN"):
        server.send(getattr(signal, f"SIG{name}"))
        server.wait_for_log(f"SIG{name} means nothing any more: it stops")
    assert count(server, "reload:|upgrade:|workers wanted") == 0
    if workers:
        # It still serves: a worker that dies has a successor.
        (worker,) = server.worker_pids()
        os.kill(worker, signal.SIGKILL)
        server.wait_for_log("it is replaced")
        server.wait_for("the successor", lambda: count(server, "ready after") == 2)
        assert word(server.get("/readyz")) == DRAINING
    server.send(signal.SIGQUIT)
    assert server.wait() == 0
    assert count(server, "stopping at once") == 1


def test_the_delay_ends_by_itself(service: Service) -> None:
    service.configure(workers=1, drain_delay=0.3)
    server = service.start()
    server.send(signal.SIGTERM)
    server.wait_for_log("listening for 0.3 s yet(.|\n)*stopping when all is answered")
    assert server.wait() == 0


def test_a_reload_under_way_gives_way_to_the_end(service: Service) -> None:
    service.configure(workers=1, drain_delay=LONG)
    server = service.start()
    old = server.worker_pids()
    begun = hang(service)
    server.send(signal.SIGHUP)
    server.wait_for("the coming worker to load", begun.exists)
    server.send(signal.SIGTERM)
    server.wait_for("only the old worker", lambda: server.worker_pids() == old)
    assert server.get("/").status == 200
    server.send(signal.SIGTERM)
    assert server.wait() == 0


def test_a_server_that_was_never_ready_does_not_wait(service: Service) -> None:
    service.configure(workers=1, drain_delay=LONG)
    begun = hang(service)
    server = service.start(listens=False)
    server.wait_for("the application to load", begun.exists)
    server.send(signal.SIGTERM)
    assert server.wait() == 0


def test_an_upgrade_needs_no_delay(service: Service) -> None:
    """Somebody else listens on the same sockets."""
    service.configure(workers=1, drain_delay=LONG)
    server = service.start()
    server.send(signal.SIGUSR2)
    found = server.wait_for_log(r"upgrade: process (\d+) has taken over")
    successor = int(found[1])
    assert server.wait() == 0
    assert server.get("/").status == 200
    os.kill(successor, signal.SIGINT)
    live.wait_until("its end", lambda: not live.is_alive(successor))


def test_kubernetes_is_told_how_long_an_end_takes(service: Service) -> None:
    service.configure(workers=1, drain_delay=7, graceful_timeout=20)
    server = service.start(env={"KUBERNETES_SERVICE_HOST": "10.0.0.1"})
    text = (
        r"terminationGracePeriodSeconds must exceed {} s, which is drain_delay \({}\)"
    )
    server.wait_for_log(text.format(32, 7))
    service.configure(drain_delay=9)
    reload(server)
    server.wait_for_log(text.format(34, 9))
    reload(server)
    assert count(server, "terminationGracePeriodSeconds") == 2
    server.send(signal.SIGINT)
