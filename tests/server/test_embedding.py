"""Programs with the server in them: those that the documentation shows, and patched ones."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import live
import pages
import pytest

pytestmark = pytest.mark.forks

Start = Callable[..., live.LiveServer]


def test_the_program_of_the_embedding_page_serves(
    live_program: Start, tmp_path: Path
) -> None:
    program = pages.block("docs/server/embedding.md", "__main__")
    (tmp_path / "embedding.py").write_text(program)
    server = live_program("embedding")
    workers = server.worker_pids()
    assert len(workers) == 2
    text = server.get().text
    assert int(text.removeprefix("hello from process ")) in workers
    server.send(signal.SIGHUP)
    server.wait_for("a new generation", lambda: not workers & server.worker_pids())
    assert server.stop() == 0


def test_the_program_of_the_readme_serves(live_program: Start, tmp_path: Path) -> None:
    program = pages.block("packages/wsgi-server/README.md", "__main__")
    (tmp_path / "serve.py").write_text(program)
    (tmp_path / "hello.py").write_text("from apps.hello import app\n")
    server = live_program(
        "serve", "--bind-host", "127.0.0.1", "--bind-port", "0", "--workers", "1"
    )
    assert server.get("/x").text == "hello from /x"


@pytest.mark.parametrize("engine", ["eventlet"])
@pytest.mark.parametrize("workers", ["0", "1"])
def test_an_application_that_monkey_patches_is_green(
    live_server: Start, workers: str
) -> None:
    server = live_server("apps.patched:app", "--workers", workers)
    answers: list[str] = []
    clients = [
        threading.Thread(target=lambda: answers.append(server.get().text))
        for _ in range(2)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert answers == ["both", "both"]
    assert server.stop() == 0


@pytest.mark.parametrize("engine", ["threads"])
def test_an_application_that_patches_select_alone_has_its_threads(
    live_server: Start, tmp_path: Path
) -> None:
    (tmp_path / "half.py").write_text(
        "import eventlet\n"
        "eventlet.monkey_patch(all=False, select=True)\n"
        "from apps.exercise import app\n"
    )
    server = live_server("half:app")
    # More than fits into the socket: a thread waits for the client with poll().
    assert len(server.get("/big?20000000").body) == 20_000_000


@pytest.mark.parametrize("workers", [0, 1])
def test_a_program_that_was_monkey_patched_before_is_served(
    live_program: Start, tmp_path: Path, workers: int
) -> None:
    (tmp_path / "green.py").write_text(
        "import eventlet\n"
        "eventlet.monkey_patch()\n"
        "from apps import service\n"
        "raise SystemExit(service.main())\n"
    )
    (tmp_path / "green.conf").write_text(f"[DEFAULT]\nworkers = {workers}\n")
    server = live_program("green", "--config-file", "green.conf")
    old = server.worker_pids()
    assert server.get().text.startswith("hello ")
    (tmp_path / "green.conf").write_text(
        f"[DEFAULT]\nworkers = {workers}\ngreeting = welcome\n"
    )
    server.send(signal.SIGHUP)
    server.wait_for("the reload", lambda: server.get().text.startswith("welcome "))
    assert bool(old) is bool(workers)
    assert server.stop() == 0


SHUTS_ITS_SOCKET = """
import logging, socket, sys
from oslo_config import cfg
import wsgi_server


def app(environ, start_response):
    if environ["PATH_INFO"] == "/shut":
        server.sock.shutdown(socket.SHUT_RDWR)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"served"]


logging.basicConfig(level=logging.INFO)
cfg.CONF.register_opt(cfg.IntOpt("workers", default=1))
cfg.CONF.register_opt(cfg.HostAddressOpt("bind_host", default="127.0.0.1"))
cfg.CONF([], project="service", default_config_files=[])
server = wsgi_server.Server()
server.start(app, default_port=0)
sys.exit(server.wait())
"""


@pytest.mark.parametrize("engine", live.FORMS)
def test_a_socket_that_is_shut_down_is_named_and_not_asked_again(
    live_program: Start, tmp_path: Path, engine: str
) -> None:
    patch = "import eventlet\neventlet.monkey_patch()\n" * (engine == "patched")
    (tmp_path / "program.py").write_text(patch + SHUTS_ITS_SOCKET)
    environment = {"OS_WSGI_SERVER__ENGINE": live.engine_of(engine)}
    server = live_program("program", env=environment)
    with contextlib.closing(server.client()) as client:
        for path in ("/", "/shut"):
            client.request("GET", path)
            assert client.getresponse().read() == b"served"
        server.wait_for_log(f"nobody can connect to {server.url} any more")
        client.request("GET", "/")
        assert client.getresponse().read() == b"served"
    assert server.stop() == 0
    assert server.log().count("nobody can connect") == 1
