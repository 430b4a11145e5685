"""SIGHUP is a transaction: the next generation serves, or nothing has happened."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
from dataclasses import replace
from pathlib import Path

import live
import pytest
import tools
from oslo_config import cfg
from server.process.support import (
    HeldRequest,
    Service,
    answer,
    both_engines,
    count,
    reload,
    steady_requests,
    wait_for_answer,
)
from wsgi_server._config.settings import Settings
from wsgi_server._process import generation as generations
from wsgi_server._process import service as services
from wsgi_server.opts import register_opts

pytestmark = pytest.mark.forks


@both_engines
def test_sighup_serves_new_code_and_new_options_and_loses_nothing(
    service: Service,
) -> None:
    server = service.start()
    old = server.worker_pids()
    with steady_requests(server) as load:
        service.publish("two")
        service.configure(workers=3, backlog=64)
        server.send(signal.SIGHUP)
        server.wait_for("a new generation", lambda: not old & server.worker_pids())
        done = load.done
        server.wait_for("more answers", lambda: load.done > done + 5)
    assert load.failures == []
    assert answer(server)["version"] == "two"
    assert len(server.worker_pids()) == 3
    assert "reload: backlog changes from 4096 to 64" in server.log()


def test_old_workers_go_only_when_every_new_one_is_ready(service: Service) -> None:
    server = service.start()
    reload(server)
    log = server.log()
    accepted = log.index("generation 2 serves")
    ready = [m.start() for m in re.finditer("generation 2\n", log)]
    assert len([at for at in ready if at < accepted]) >= 2
    assert " left" not in log[:accepted]


@both_engines
def test_an_idle_connection_is_answered_and_closed_by_that_answer(
    service: Service,
) -> None:
    service.configure(drain_idle_timeout=60, graceful_timeout=60)
    server = service.start()
    with contextlib.closing(server.client()) as client:

        def closes() -> bool:
            client.request("GET", "/")
            response = client.getresponse()
            response.read()
            assert response.status == 200
            return response.headers["Connection"] == "close"

        assert not closes()
        reload(server)
        # The old worker hears of it a moment after the log; until then it keeps alive.
        server.wait_for("an answer that closes", closes)
    server.wait_for("the old workers' end", lambda: count(server, " left\n") == 2)


@both_engines
def test_a_request_that_runs_is_finished_by_its_old_worker(
    service: Service, tmp_path: Path
) -> None:
    service.configure(graceful_timeout=60)
    server = service.start()
    held = HeldRequest(server, tmp_path)
    service.publish("two")
    reload(server)
    wait_for_answer(server, version="two")
    assert json.loads(held.release().body)["version"] == "one"


def _unparseable(service: Service) -> None:
    service.config.write_text("not a configuration")


def _invalid(service: Service) -> None:
    service.configure(backlog=-3)


def _no_certificate(service: Service) -> None:
    service.configure(cert_file=str(service.directory / "absent.pem"))


def _garbage_certificate(service: Service) -> None:
    garbage = service.directory / "garbage.pem"
    garbage.write_text("garbage")
    service.configure(cert_file=str(garbage))


def _raises(service: Service) -> None:
    service.application.write_text("1 / 0\n")


def _exits(service: Service) -> None:
    service.application.write_text("import sys\nsys.exit('enough')\n")


def _dies(service: Service) -> None:
    service.application.write_text("import os\nos.kill(os.getpid(), 11)\n")


def _hangs(service: Service) -> None:
    service.configure(worker_ready_timeout=0.5)
    service.application.write_text("import time\ntime.sleep(300)\n")


def _unforks(service: Service) -> None:
    service.configure(workers=0)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_unparseable, "configuration"),
        (_invalid, "backlog"),
        (_no_certificate, r"cert_file: cannot read \S+absent\.pem"),
        (_garbage_certificate, r"cert_file: \S+garbage\.pem holds no PEM certificate"),
        (_raises, "ZeroDivisionError"),
        (_exits, "enough"),
        (_dies, r"worker \d+ .* was killed by SIGSEGV before it was ready"),
        (_hangs, r"was not ready within 0\.5 s"),
        (_unforks, "needs a restart"),
    ],
)
def test_whatever_breaks_the_old_generation_goes_on_and_a_repair_works(
    service: Service, spoil: object, reason: str
) -> None:
    server = service.start()
    old = server.worker_pids()
    configuration, code = service.config.read_text(), service.application.read_text()
    options = dict(service.options)
    assert callable(spoil)
    with steady_requests(server) as load:
        spoil(service)
        reload(server)
        assert re.search(
            f"reload failed: .*{reason}.*; generation 1 goes on", server.log()
        )
        done = load.done
        server.wait_for("more answers", lambda: load.done > done + 5)
        server.wait_for("only the old workers", lambda: server.worker_pids() == old)

        service.options = options
        service.config.write_text(configuration)
        service.application.write_text(code)
        service.publish("repaired")
        reload(server)
        server.wait_for("new workers", lambda: not old & server.worker_pids())
    assert load.failures == []
    wait_for_answer(server, version="repaired")
    assert count(server, "reload failed") == 1


def test_a_port_that_is_taken_fails_the_reload(service: Service) -> None:
    server = service.start()
    with socket.create_server(("127.0.0.1", 0)) as other:
        service.configure(bind_port=other.getsockname()[1])
        reload(server)
    assert re.search(
        r"reload failed: cannot bind .*: address already in use", server.log()
    )
    assert answer(server)["version"] == "one"
    reload(server)
    assert count(server, "listening on") == 2


def test_a_changed_port_is_bound_before_the_old_one_closes(
    service: Service, tmp_path: Path
) -> None:
    service.configure(graceful_timeout=60)
    server = service.start()
    old_url, old_address = server.url, server.address
    held = HeldRequest(server, tmp_path)
    # Another name, so another socket, on another port of the kernel's choice.
    service.configure(bind_host="localhost")
    reload(server)
    server.url = re.findall(r"listening on (http://127\S+)", server.log())[-1]
    assert answer(server)["version"] == "one"
    assert old_url != server.url

    # What the old one had accepted is finished, although nobody listens there any more.
    server.wait_for("the old port to be closed", lambda: live.refuses(old_address))
    assert held.release().status == 200


def test_backlog_and_keepidle_are_applied_to_the_open_socket(service: Service) -> None:
    service.configure(backlog=100, tcp_keepidle=111)
    server = service.start()
    assert tools.listen_backlog(server.port) == 100
    service.configure(backlog=50)
    reload(server)
    assert tools.listen_backlog(server.port) == 50
    assert answer(server)["version"] == "one"


def test_options_that_a_socket_cannot_have_do_not_hold_a_reload_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    conf = cfg.ConfigOpts()
    register_opts(conf)
    conf([], default_config_files=[], default_config_dirs=[])
    settings = Settings.from_conf(conf, bind=[f"unix:{tmp_path / 's'}", "127.0.0.1:0"])
    service = services.Service("api", settings, lambda: lambda *_: [])
    old = generations.build(1, [service])
    # What Linux refuses.
    settings = replace(settings, tcp_keepidle=1 << 20, binds=settings.binds[1:])
    new = generations.build(2, [replace(service, settings=settings)], present=old)
    generations.accept(old, new)
    assert "127.0.0.1:0 keeps its old options: [Errno 22] Invalid" in caplog.text
    # The rest of the change has happened.
    assert not (tmp_path / "s").exists()
    generations.retire(new, keep=[])


def test_a_second_sighup_during_a_reload_is_remembered(
    service: Service, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    server = service.start()
    code = service.application.read_text()
    service.application.write_text(
        code + f"while not os.path.exists({str(gate)!r}): time.sleep(0.01)\n"
    )
    server.send(signal.SIGHUP)
    server.wait_for_log("starting generation 2")
    server.wait_for("the candidates", lambda: len(server.worker_pids()) == 4)
    service.publish("three")
    server.send(signal.SIGHUP)
    gate.touch()
    server.wait_for_log("generation 3 serves")
    assert answer(server)["version"] == "three"


def test_sigterm_is_obeyed_in_the_middle_of_a_reload(service: Service) -> None:
    service.configure(worker_ready_timeout=300)
    server = service.start()
    service.application.write_text("import time\ntime.sleep(300)\n")
    server.send(signal.SIGHUP)
    server.wait_for("the candidates", lambda: len(server.worker_pids()) == 4)
    server.send(signal.SIGTERM)
    assert server.wait() == 0


def test_an_option_that_needs_a_restart_says_so_and_keeps_its_value(
    service: Service, tmp_path: Path
) -> None:
    first, second = tmp_path / "first.pid", tmp_path / "second.pid"
    service.configure(pid_file=str(first))
    server = service.start()
    service.configure(pid_file=str(second))
    reload(server)
    assert re.search("pid_file changes from .*first.* after a restart", server.log())
    assert first.read_text() == f"{server.pid}\n"
    assert not second.exists()
    assert server.stop() == 0
    assert not first.exists()


def test_preload_app_keeps_the_code_of_the_start(service: Service) -> None:
    service.configure(preload_app="true")
    server = service.start()
    service.publish("two")
    reload(server)
    # The module is in the supervisor's memory: the option's help says so.
    assert answer(server)["version"] == "one"
