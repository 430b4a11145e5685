"""Start, ready, stop: the ordinary life of a server, and starts that fail."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
from pathlib import Path

import live
import pytest
from server.process.support import HeldRequest, Service, answer, both_engines

pytestmark = [pytest.mark.forks, both_engines]


def test_listening_is_said_once_every_worker_answers(service: Service) -> None:
    server = service.start()
    log = server.log()
    assert log.count("listening on") == 1
    ready = [m.start() for m in re.finditer("ready after", log)]
    assert len(ready) == 2
    assert max(ready) < log.index("listening on")
    assert answer(server)["pid"] in server.worker_pids()


def test_sigterm_finishes_the_request_in_flight_and_ends_with_zero(
    service: Service, tmp_path: Path
) -> None:
    server = service.start()
    held = HeldRequest(server, tmp_path)
    server.send(signal.SIGTERM)
    server.wait_for_log("stopping when all is answered")
    assert held.release().status == 200
    assert server.wait() == 0


def test_an_idle_keep_alive_connection_does_not_delay_sigterm(service: Service) -> None:
    service.configure(graceful_timeout=300, drain_idle_timeout=0.2)
    server = service.start()
    with contextlib.closing(server.client()) as client:
        client.request("GET", "/")
        client.getresponse().read()
        server.send(signal.SIGTERM)
        assert server.wait() == 0


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGQUIT])
def test_sigint_and_sigquit_do_not_wait_for_requests(
    service: Service, tmp_path: Path, signum: signal.Signals
) -> None:
    service.configure(graceful_timeout=300)
    server = service.start()
    begun = tmp_path / "begun"
    with server.connect() as client:
        client.sendall(
            f"GET /begin?file={begun}&s=300 HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        )
        server.wait_for("the request to run", begun.exists)
        server.send(signum)
        assert server.wait() == 0


def test_a_second_sigterm_does_not_wait_any_longer(
    service: Service, tmp_path: Path
) -> None:
    service.configure(graceful_timeout=300)
    server = service.start()
    begun = tmp_path / "begun"
    with server.connect() as client:
        client.sendall(
            f"GET /begin?file={begun}&s=300 HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        )
        server.wait_for("the request to run", begun.exists)
        server.send(signal.SIGTERM)
        server.wait_for_log("stopping when all is answered")
        server.send(signal.SIGTERM)
        assert server.wait() == 0


def test_what_runs_at_graceful_timeout_is_named_and_cut(
    service: Service, tmp_path: Path
) -> None:
    service.configure(graceful_timeout=0.5)
    server = service.start()
    begun = tmp_path / "begun"
    with server.connect() as client:
        client.sendall(
            f"GET /begin?file={begun}&s=300 HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        )
        server.wait_for("the request to run", begun.exists)
        server.send(signal.SIGTERM)
        assert server.wait() == 0
    log = server.log()
    assert re.search(r"GET /begin\S* .* cut after \d+\.\d s", log)
    assert 'application.py", line' in log


def test_the_port_is_free_once_the_server_has_ended(service: Service) -> None:
    server = service.start()
    address = server.address
    assert server.stop() == 0
    service.configure(bind_port=address[1])
    assert answer(service.start())["version"] == "one"


def test_an_application_that_raises_ends_the_start_with_status_load(
    service: Service,
) -> None:
    service.application.write_text("raise ValueError('no such luck')\n")
    server = service.start(listens=False)
    assert server.wait() == 4
    assert "wsgi-server: error: cannot load" in server.log()
    assert "no such luck" in server.log()
    assert "listening" not in server.log()


def test_a_worker_that_dies_while_it_loads_ends_the_start_with_status_boot(
    service: Service,
) -> None:
    service.application.write_text("import os\nos.kill(os.getpid(), 9)\n")
    server = service.start(listens=False)
    assert server.wait() == 3
    assert re.search(r"worker \d+ \(.*\) was killed by SIGKILL before", server.log())


def test_a_worker_that_is_not_ready_in_time_ends_the_start_with_status_boot(
    service: Service,
) -> None:
    service.application.write_text("import time\ntime.sleep(300)\n")
    service.configure(worker_ready_timeout=0.5)
    server = service.start(listens=False)
    assert server.wait() == 3
    assert "was not ready within 0.5 s" in server.log()
    # faulthandler's words. On a busy machine it may not have come to the application.
    assert re.search(r'stood at\n(.+\n)* +File ".+", line', server.log())


def test_sigterm_is_obeyed_while_the_first_workers_load(service: Service) -> None:
    service.configure(worker_ready_timeout=300)
    service.application.write_text("import time\ntime.sleep(300)\n")
    server = service.start(listens=False)
    server.wait_for("both workers", lambda: len(server.worker_pids()) == 2)
    server.send(signal.SIGTERM)
    assert server.wait() == 0


def test_a_port_in_use_ends_the_start_with_status_bind(service: Service) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        service.configure(bind_port=other.getsockname()[1])
        server = service.start(listens=False)
        assert server.wait() == 6
    assert re.search(
        r"cannot bind 127\.0\.0\.1:\d+: address already in use", server.log()
    )
    assert "Traceback" not in server.log()


def test_a_broken_configuration_ends_the_start_with_status_config(
    service: Service,
) -> None:
    service.config.write_text("this is no configuration\n")
    server = service.start(listens=False)
    assert server.wait() == 5
    assert "Traceback" not in server.log()


def test_no_process_is_left_after_a_failed_start(service: Service) -> None:
    service.application.write_text("import os\nif os.fork(): raise SystemExit(3)\n")
    server = service.start(listens=False)
    assert server.wait() == 4
    assert not live.children_of(server.pid)


def test_an_application_that_blocks_past_graceful_timeout_is_dumped_and_killed(
    service: Service,
) -> None:
    service.configure(graceful_timeout=0.5, workers=1)
    server = service.start()
    with server.connect() as client:
        # Nothing in the worker can run meanwhile, where greenlets do the work.
        client.sendall(b"GET /stuck?s=300 HTTP/1.1\r\nHost: x\r\n\r\n")
        server.wait_for("the request to arrive", lambda: _has_read(client))
        server.send(signal.SIGTERM)
        assert server.wait() == 0
    assert 'application.py", line' in server.log()


def _has_read(client: socket.socket) -> bool:
    """Whether the other end has taken everything that was sent (SIOCOUTQ)."""
    import array
    import fcntl
    import termios

    left = array.array("i", [-1])
    fcntl.ioctl(client, termios.TIOCOUTQ, left)
    return left[0] == 0
