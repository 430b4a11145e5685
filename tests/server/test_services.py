"""The command for services: their names and arguments, several of them in one server."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import live
import pytest
from wsgi_server import cli
from wsgi_server._command.service_name import derive
from wsgi_server.errors import ExitStatus

pytestmark = pytest.mark.forks

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Start = Callable[..., live.LiveServer]
APP = "apps.arguments:app"


def found(url: str) -> dict[str, Any]:
    """What the application at `url` says that it has found."""
    with urllib.request.urlopen(url, timeout=live.PATIENCE) as answer:
        content: dict[str, Any] = json.load(answer)
    return content


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """A function that starts the command with just these arguments."""
    servers: list[live.LiveServer] = []

    def run(*args: str, **keywords: Any) -> live.LiveServer:
        servers.append(live.start(tmp_path, *args, **keywords))
        return servers[-1]

    with live.stopping(servers):
        yield run


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("cinder.wsgi.api:application", "cinder-api"),
        ("watcher.api.wsgi:application", "watcher-api"),
        ("hello:app", "hello"),
        ("wsgi:application", "wsgi"),
        ("a.b.c:make(1)", "a-b-c"),
        ("config:/etc/heat/api-paste.ini#heat-api", "heat-api"),
        ("config:/etc/images/images.ini#main", "images"),
        ("config:images.ini", "images"),
    ],
)
def test_the_name_of_a_program_is_derived_from_its_application(
    uri: str, name: str
) -> None:
    assert derive(uri) == name


@pytest.mark.parametrize("workers", ["0", "1"])
def test_an_application_finds_its_own_name_arguments_and_files(
    start: Start, tmp_path: Path, engine: str, workers: str
) -> None:
    home = tmp_path / "home" / ".paint"
    home.mkdir(parents=True)
    for name in ("paint.conf", "apps-arguments.conf", "wsgi-server.conf"):
        (home / name).write_text(f"[DEFAULT]\ncolour = of {name}\n")
    own = tmp_path / "own.conf"
    own.write_text("[DEFAULT]\ncolour = red\n")
    server = start(
        *(live.application_of(engine, APP), "--engine", live.engine_of(engine)),
        *("--bind-host", "127.0.0.1", "--bind-port", "0", "--workers", workers),
        *("--prog-name", "apps-arguments"),
        *("--", "--config-file", str(own), "--config-dir", str(tmp_path)),
        env={"HOME": str(tmp_path / "home"), "PROJECT": "paint"},
    )

    def check() -> None:
        seen = found(server.url)
        scripts = os.path.dirname(sys.executable)
        assert seen["name"] == os.path.join(scripts, "apps-arguments")
        assert seen["arguments"] == seen["later"][1:]
        assert seen["arguments"][:2] == ["--config-file", str(own)]
        assert (seen["prog"], seen["colour"]) == ("apps-arguments", "red")
        assert seen["eventlet"] == (engine != "threads")

    check()
    server.send(signal.SIGHUP)
    server.wait_for_log("generation 2 serves")
    check()


def test_files_are_found_under_the_name_of_the_service_and_not_under_ours(
    start: Start, tmp_path: Path
) -> None:
    home = tmp_path / ".paint"
    home.mkdir()
    for name in ("paint", "apps-arguments", "wsgi-server"):
        (home / f"{name}.conf").write_text("[DEFAULT]\nbind_port = -1\n")
    server = start(
        *(APP, "--engine", "threads", "--workers", "1", "--preload-app"),
        *("--bind-host", "127.0.0.1", "--bind-port", "0"),
        env={"HOME": str(tmp_path), "PROJECT": "paint"},
    )
    seen = found(server.url)
    assert seen["files"] == ["paint.conf", "apps-arguments.conf"]
    assert seen["later"][1:] == []


def test_oslo_log_calls_its_file_by_the_name_of_the_service(
    start: Start, tmp_path: Path
) -> None:
    pytest.importorskip("oslo_log")
    (tmp_path / "logging_service.py").write_text(
        "from apps.arguments import app\n"
        "from oslo_config import cfg\nfrom oslo_log import log\n"
        "conf = cfg.ConfigOpts()\nlog.register_options(conf)\n"
        f"conf([], default_config_files=[])\nconf.set_override('log_dir', {str(tmp_path)!r})\n"
        "log.setup(conf, 'paint')\nlog.getLogger('paint').error('here')\n"
    )
    start(
        *("logging_service:app", "--engine", "threads", "--workers", "1"),
        *("--bind-host", "127.0.0.1", "--bind-port", "0", "--prog-name", "paint-api"),
    )
    assert "here" in (tmp_path / "paint-api.log").read_text()


SEVERAL = """\
[DEFAULT]
workers = 2
bind = 127.0.0.1:1
control_socket = {folder}/control
[wsgi_server:first]
bind_host = 127.0.0.1
bind_port = 0
app_args = --config-dir '{folder}/of the first'
[wsgi_server:second_one]
bind = 127.0.0.1:0
workers = {workers}
engine = threads
prog_name = second-api
"""


def several(folder: Path, workers: int = 1) -> list[str]:
    """The arguments of two applications, whose file is in `folder`."""
    (folder / "of the first").mkdir(exist_ok=True)
    file = folder / "server.conf"
    file.write_text(SEVERAL.format(folder=folder, workers=workers))
    apps = [f"--app=first={APP}", f"--app=second_one={APP}"]
    return [*apps, "--config-file", str(file), "--access-log="]


def test_several_applications_are_one_server(
    start: Start, command: Run, tmp_path: Path
) -> None:
    server = start(*several(tmp_path), env={"PROJECT": "paint"})
    places = dict(re.findall(r"listening on (\S+) \((\w+)\)", server.log()))
    by_name = {name: url for url, name in places.items()}
    first, second = found(by_name["first"]), found(by_name["second_one"])
    assert first["arguments"] == ["--config-dir", str(tmp_path / "of the first")]
    assert os.path.basename(first["name"]) == "apps-arguments"
    assert os.path.basename(second["name"]) == "second-api"
    assert (first["eventlet"], second["eventlet"]) == (True, False)
    assert len(server.worker_pids()) == 3
    several(tmp_path, workers=2)
    server.send(signal.SIGHUP)
    server.wait_for_log("generation 2 serves")
    server.wait_for("four workers", lambda: len(server.worker_pids()) == 4)
    status = command("status", "--socket", str(tmp_path / "control"))
    assert "first: 2 of 2 workers ready" in status.stdout
    assert "second_one: 2 of 2 workers ready" in status.stdout
    # What is not allowed leaves all as it is.
    with (tmp_path / "server.conf").open("a") as file:
        file.write("pid_file = here\n")
    server.send(signal.SIGHUP)
    server.wait_for_log(r"reload failed: .*second_one\] pid_file: the server has one")
    assert found(by_name["second_one"])["later"] == second["later"]


def test_a_check_goes_through_all_applications(command: Run, tmp_path: Path) -> None:
    arguments = [*several(tmp_path), "--check-config"]
    run = command(*arguments)
    assert run.returncode == 0, run.stderr
    assert run.stdout == (
        "wsgi-server: the configuration and first are fine\n"
        "wsgi-server: the configuration and second_one are fine\n"
    )
    run = command(*["--app=first=nothing:app", *arguments[1:]])
    assert run.returncode == ExitStatus.LOAD
    assert run.stderr.startswith("wsgi-server: error: first: cannot load nothing:app:")
    assert run.stderr.count("\n") == 1
    assert "second_one are fine" in run.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--app", "one"], 2, "'one': write NAME=URI"),
        (["--app", "a b=x:y"], 2, "'a b=x:y': write NAME=URI"),
        (["--app", "a=x:y", "--app", "a=x:z"], 2, "--app a: the name is given to more"),
        (["--app", "a=x:y", APP], 2, f"'{APP}' beside --app"),
        (["--app", "a=x:y", "--app", "b=x:y", "--", "-v"], 2, "set app_args in the"),
        (["--", APP], 2, "name an application"),
        (["--app", "a=x:y", "--app", "b=x:y"], 5, "no section [wsgi_server:a]"),
    ],
)
def test_what_is_wrong_with_applications_is_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, message: str
) -> None:
    assert cli.main([*arguments[:4], "--check-config", *arguments[4:]]) == status
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("wsgi-server: error: ")
    assert message in line


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[wsgi_server:scnd]\n", "no section [wsgi_server:second] in the config"),
        ("[wsgi_server:second]\nwokers = 1\n", "wokers: there is no such option; did"),
        ("[wsgi_server:second]\nlog_file = x\n", "log_file: the server has one for"),
        ("[wsgi_server:second]\nworkers = -1\n", "--app second: option workers: "),
        ("[wsgi_server:second]\napp_args = 'a\n", "app_args = 'a: No closing quot"),
        ("[wsgi_server:second]\nbind_port = 1\n", "both want to bind 127.0.0.1:1"),
        ("[wsgi_server:second]\nworkers = 0\n", "several need workers"),
    ],
)
def test_what_is_wrong_with_a_section_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "server.conf"
    head = "[DEFAULT]\nbind_host = 127.0.0.1\n[wsgi_server:first]\nbind_port = 1\n"
    file.write_text(head + text)
    arguments = [f"--app=first={APP}", f"--app=second={APP}", "--check-config"]
    status = cli.main([*arguments, "--config-file", str(file)])
    (line,) = capsys.readouterr().err.splitlines()
    assert status == ExitStatus.CONFIG
    assert message in line


def test_an_application_that_will_not_have_eventlet_is_told_the_option(
    command: Run, tmp_path: Path
) -> None:
    (tmp_path / "modern.py").write_text(
        "import sys\n"
        "if 'eventlet' in sys.modules:\n"
        "    raise RuntimeError('This service has left eventlet')\n"
        "def app(environ, start_response): ...\n"
    )
    local = ("--bind-host", "127.0.0.1", "--bind-port", "0", "--workers", "1")
    run = command("modern:app", *local)
    assert run.returncode == ExitStatus.LOAD
    assert run.stderr.rstrip().endswith("set engine = threads (--engine threads)")
    # The control: that is all it needs.
    run = command("modern:app", *local, "--engine", "threads", "--check-config")
    assert run.returncode == 0, run.stderr
