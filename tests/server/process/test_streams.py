"""Servers whose standard streams are closed at the start, as some init systems do it."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

import live
import pytest
from server.process.support import Service, answer

pytestmark = pytest.mark.forks

#: Which of stdin, stdout and stderr the shell closes.
CLOSED = ["0<&-", "1>&-", "2>&-", "0<&- 1>&-", "0<&- 2>&-", "1>&- 2>&-"]
ALL = "0<&- 1>&- 2>&-"


def start(service: Service, closed: str, *command: str) -> live.LiveServer:
    """Starts a command with streams closed; its log is a file."""
    server = live.launch(
        service.directory,
        ["sh", "-c", f'exec "$@" {closed}', "sh", *command],
        env={"PYTHONDONTWRITEBYTECODE": "1"},
        listens=False,
    )
    server.stderr = service.directory / "server.log"
    service.servers.append(server)
    live.wait_until("its log", server.stderr.exists)
    server.wait_for_log(r"listening on \S")
    server.url = re.findall(r"listening on (\S+)", server.log())[-1]
    return server


def command(service: Service, **options: object) -> list[str]:
    service.application.write_text(
        service.application.read_text().replace(
            "def app(environ, start_response):\n",
            "def app(environ, start_response):\n"
            "    environ['wsgi.errors'].write('said\\n')\n"
            "    environ['wsgi.errors'].flush()\n",
        )
    )
    service.configure(log_file=str(service.directory / "server.log"), **options)
    return live.command_line("application:app", "--config-file", str(service.config))


def standard_targets(pid: int) -> list[str]:
    return [str(Path(f"/proc/{pid}/fd/{fd}").readlink()) for fd in range(3)]


@pytest.mark.parametrize("closed", CLOSED)
def test_whichever_stream_is_closed_the_server_serves(
    service: Service, closed: str
) -> None:
    server = start(service, closed, *command(service, workers=0))
    assert answer(server)["version"] == "one"
    targets = standard_targets(server.pid)
    for number in map(int, re.findall(r"\d(?=[<>])", closed)):
        assert targets[number] == "/dev/null"
    assert server.stop() == 0


@pytest.mark.parametrize("workers", [0, 1])
def test_a_server_without_any_stream_serves_reloads_and_upgrades(
    service: Service, workers: int
) -> None:
    server = start(service, ALL, *command(service, workers=workers))
    assert answer(server)["version"] == "one"
    server.send(signal.SIGHUP)
    server.wait_for_log("generation 2 serves")
    assert answer(server)["version"] == "one"
    server.send(signal.SIGUSR2)
    successor = int(server.wait_for_log(r"process (\d+) has taken over").group(1))
    try:
        assert server.wait() == 0
        assert answer(server)["version"] == "one"
        assert standard_targets(successor) == ["/dev/null"] * 3
    finally:
        os.kill(successor, signal.SIGTERM)
        live.wait_until("its end", lambda: not live.is_alive(successor))


PROGRAM = """
import logging, os, sys
logging.basicConfig(level=logging.INFO, filename="server.log")
from oslo_config import cfg
import wsgi_server
conf = cfg.ConfigOpts()
wsgi_server.register_cli_opts(conf)
conf([], default_config_files=[], default_config_dirs=[])
conf.register_opts(__import__("wsgi_server.opts").opts.BIND_OPTS)
conf.set_override("bind_host", "127.0.0.1")
def app(environ, start_response):
    environ["wsgi.errors"].write("said\\n")
    start_response("200 OK", [("Content-Type", "application/json")])
    return [b'{"version": "one"}']
"""


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("closed", "before"), [(ALL, ""), ("", "sys.stderr = sys.stdout = None")]
)
def test_an_embedded_server_serves_without_streams(
    service: Service, workers: int, closed: str, before: str
) -> None:
    program = service.directory / "program.py"
    program.write_text(
        PROGRAM
        + f"""
{before}
server = wsgi_server.Server(conf=conf)
server.get_num_workers = lambda: {workers}
server.start(app, 0)
sys.exit(server.wait())
"""
    )
    server = start(service, closed, sys.executable, str(program))
    assert answer(server)["version"] == "one"
    assert server.stop() == 0


@pytest.mark.parametrize("workers", [0, 1])
def test_a_server_of_a_paste_file_serves_without_streams(
    service: Service, workers: int
) -> None:
    program = service.directory / "program.py"
    program.write_text(
        PROGRAM
        + f"""
from wsgi_server._command.paste_runner import main
main(app, {{}}, host="127.0.0.1", port="0", workers="{workers}", access_log="")
"""
    )
    server = start(service, ALL, sys.executable, str(program))
    assert answer(server)["version"] == "one"
    assert server.stop() == 0


def test_an_error_that_nobody_can_read_still_has_its_status(service: Service) -> None:
    server = live.launch(
        service.directory,
        ["sh", "-c", f'exec "$@" {ALL}', "sh", *live.command_line("nowhere:app")],
        listens=False,
    )
    assert server.wait() == 4
