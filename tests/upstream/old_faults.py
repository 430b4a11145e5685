"""The old faults: each is shown to be in Heat's own module, and not to be in ours.

`nox -s services` runs this where Heat is installed. With the original each test has to
fail, so that what we call a fault is one. Idle connections have been closed by eventlet
itself for some time, so that test passes with both. Two faults are not here: `err[0]`,
which Glance alone has, and the `tcp_keepidle` that was compared with another option, which
both have mended.
"""

from __future__ import annotations

import contextlib
import http.client
import signal
import ssl
import subprocess
import textwrap
from collections.abc import Callable
from pathlib import Path

import live
import pytest
from upstream.conftest import Launch, Run

pytestmark = pytest.mark.timeout(300)

OWN = pytest.param(
    "own", marks=pytest.mark.xfail(strict=True, reason="the original has this fault")
)
with_its_fault = pytest.mark.parametrize("module", [OWN, "ours"])
#: Seconds in which a server without the fault has long done what is waited for.
SOON = 10.0

PRELUDE = """
import logging, os, sys

import eventlet

eventlet.monkey_patch(os=False)
logging.basicConfig(level=logging.INFO)
if sys.argv[1] == "ours":
    from wsgi_stack import heat

    sys.modules["heat.common.wsgi"] = heat
from heat.common import wsgi
from oslo_config import cfg
from oslo_log import log

log.register_options(cfg.CONF)
cfg.CONF(["--config-file", "heat.conf"], project="heat", prog="heat-api")


def app(environ, start_response):
    if environ["PATH_INFO"] == "/die":
        os._exit(3)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]


server = wsgi.Server("heat-api", cfg.CONF.heat_api)
"""
SERVE = """
server.start(app, default_port=0)
host, port = server.sock.getsockname()
print(f"listening on http://{host}:{port}", file=sys.stderr, flush=True)
server.wait()
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., None]:
    """Writes the configuration of `[heat_api]`."""

    def conf(**options: object) -> None:
        options = {"bind_host": "127.0.0.1", "bind_port": 0, "workers": 2, **options}
        lines = "".join(f"{name} = {value}\n" for name, value in options.items())
        (tmp_path / "heat.conf").write_text(
            f"[DEFAULT]\nuse_stderr = true\n[heat_api]\n{lines}"
        )

    conf()
    return conf


@pytest.fixture
def serve(tmp_path: Path, write: None, launch: Launch) -> Launch:
    """Starts a service on Heat's own module or on ours."""

    def start(module: str, *, plain: bool = True) -> live.LiveServer:
        (tmp_path / "service.py").write_text(PRELUDE + SERVE)
        server = launch("python", "-W", "ignore", "service.py", module)
        if plain:
            server.wait_for("two workers", lambda: len(answering(server)) == 2)
        return server

    return start


def answering(server: live.LiveServer) -> set[int]:
    """The workers that answer, of those that are asked by a few clients at once."""
    with contextlib.ExitStack() as clients:
        asked = [
            clients.enter_context(contextlib.closing(server.client())) for _ in range(8)
        ]
        for client in asked:
            client.request("GET", "/")
        return {int(client.getresponse().read()) for client in asked}


@pytest.fixture
def said(tmp_path: Path, write: None, run: Run) -> Callable[[str, str], str]:
    """What a program with the module in it prints."""

    def program(module: str, text: str) -> str:
        (tmp_path / "program.py").write_text(PRELUDE + textwrap.dedent(text))
        done: subprocess.CompletedProcess[str]
        done = run("python", "-W", "ignore", "program.py", module)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return program


@pytest.mark.parametrize("module", ["own", "ours"])
def test_both_serve(serve: Launch, module: str) -> None:
    server = serve(module)

    assert answering(server) <= server.worker_pids()


@with_its_fault
def test_tls_is_the_servers_side_and_silent_clients_hold_nobody_up(
    serve: Launch, write: Callable[..., None], tmp_path: Path, module: str
) -> None:
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", "key.pem", "-out", "cert.pem"),
        ],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    write(cert_file=cert, key_file=key)
    server = serve(module, plain=False)
    trust = ssl.create_default_context(cafile=str(cert))
    with contextlib.ExitStack() as silent:
        for _ in range(8):
            silent.enter_context(server.connect())
        with (
            server.connect(SOON) as raw,
            trust.wrap_socket(raw, server_hostname="localhost") as client,
        ):
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 200 OK")


@with_its_fault
def test_debug_prints_bytes_and_hands_close_on(
    said: Callable[[str, str], str], module: str
) -> None:
    output = said(
        module,
        """
        class Body:
            def __iter__(self):
                return iter([b"some bytes"])

            def close(self):
                print("closed")


        body = wsgi.Debug.print_generator(Body())
        assert next(iter(body)) == b"some bytes"
        body.close()
        """,
    )
    assert "some bytes" in output
    assert "closed" in output


@with_its_fault
def test_a_reload_that_cannot_work_keeps_the_workers(
    serve: Launch, write: Callable[..., None], module: str
) -> None:
    server = serve(module)
    before = server.worker_pids()

    write(bind_host="192.0.2.1")
    server.send(signal.SIGHUP)

    server.wait_for(
        "the refusal",
        lambda: "192.0.2.1" in server.log() or server.process.poll() is not None,
    )
    assert answering(server) <= before
    assert server.worker_pids() == before


@with_its_fault
def test_workers_that_die_with_a_status_are_replaced(
    serve: Launch, module: str
) -> None:
    server = serve(module)

    for _ in range(2):
        before = server.worker_pids()
        # The worker is gone before it answers.
        with pytest.raises((OSError, http.client.HTTPException)):
            server.get("/die")
        server.wait_for("another worker", lambda: server.worker_pids() - before, SOON)
        server.wait_for("its answer", lambda: len(answering(server)) == 2, SOON)


@with_its_fault
def test_hup_raises_nothing(said: Callable[[str, str], str], module: str) -> None:
    assert said(module, "server.hup()\nprint('went on')") == "went on\n"


@pytest.mark.parametrize("module", ["own", "ours"])
def test_an_idle_connection_does_not_keep_a_retired_worker(
    serve: Launch, module: str
) -> None:
    server = serve(module)
    before = server.worker_pids()
    with contextlib.closing(server.client()) as idle:
        idle.request("GET", "/")
        assert int(idle.getresponse().read()) in before

        server.send(signal.SIGHUP)

        server.wait_for("others", lambda: len(server.worker_pids() - before) == 2)
        server.wait_for("the old", lambda: not before & server.worker_pids(), SOON)


@with_its_fault
def test_loads_in_two_threads_keep_their_confs(
    said: Callable[[str, str], str], tmp_path: Path, module: str
) -> None:
    (tmp_path / "meeting.py").write_text("""
import eventlet


there = []


class App:
    def __init__(self, conf, **local_conf):
        # Each load is in the middle of its file while the other one is, too.
        there.append(conf)
        while len(there) < 2:
            eventlet.sleep(0)
        self.conf = conf


def main(loader, global_conf, **local_conf):
    first, second = (loader.get_app(n, global_conf=global_conf) for n in ("one", "two"))
    return first
""")
    (tmp_path / "paste.ini").write_text("""
[composite:main]
paste.composite_factory = meeting:main

[app:one]
paste.app_factory = heat.common.wsgi:app_factory
heat.app_factory = meeting:App

[app:two]
paste.app_factory = heat.common.wsgi:app_factory
heat.app_factory = meeting:App
""")
    output = said(
        module,
        """
        confs = [cfg.ConfigOpts(), cfg.ConfigOpts()]
        path = os.path.abspath("paste.ini")
        sys.path.insert(0, os.getcwd())
        loads = [
            eventlet.spawn(wsgi.paste_deploy_app, path, "main", conf) for conf in confs
        ]
        apps = [load.wait() for load in loads]
        print([app.conf is conf for app, conf in zip(apps, confs)])
        """,
    )
    assert output.splitlines()[-1] == "[True, True]"
