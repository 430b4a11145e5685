"""`use = egg:wsgi-server#main` in a PasteDeploy file, loaded by PasteDeploy itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import live
import pytest
from wsgi_server._command import paste_runner
from wsgi_server._config.addresses import TcpAddress, UnixAddress
from wsgi_server.errors import ConfigError, ExitStatus

Start = Callable[..., live.LiveServer]
INI = """
[app:main]
paste.app_factory = apps.pasted:factory

[server:main]
use = egg:wsgi-server#main
access_log =
"""


@pytest.mark.forks
def test_a_paste_file_starts_the_server(live_program: Start, tmp_path: Path) -> None:
    pytest.importorskip("paste.deploy", reason="PasteDeploy is not installed")
    ini = tmp_path / "paste.ini"
    ini.write_text(f"{INI}host = 127.0.0.1\nport = 0\nworkers = 2\n")
    server = live_program("apps.pasted", str(ini))
    assert server.get().text == "True"
    assert len(server.worker_pids()) == 2
    assert server.stop() == 0


@pytest.mark.forks
@pytest.mark.parametrize(
    ("line", "status", "message"),
    [
        (
            "worker = 2",
            ExitStatus.CONFIG,
            "unknown setting worker; did you mean workers",
        ),
        ("workers = many", ExitStatus.CONFIG, "workers = many: "),
        ("host = 192.0.2.1", ExitStatus.BIND, "cannot bind 192.0.2.1:0"),
    ],
)
def test_what_is_wrong_is_one_line(
    live_program: Start, tmp_path: Path, line: str, status: ExitStatus, message: str
) -> None:
    pytest.importorskip("paste.deploy", reason="PasteDeploy is not installed")
    ini = tmp_path / "paste.ini"
    ini.write_text(f"{INI}port = 0\n{line}\n")
    server = live_program("apps.pasted", str(ini), listens=False)
    assert server.wait() == status
    assert re.search(rf"(?m)^wsgi-server: error: .*{re.escape(message)}", server.log())
    assert "Traceback" not in server.log()


def test_settings_are_the_servers_options() -> None:
    settings = paste_runner.read(
        {"port": "81", "host": "::1", "http_keepalive": "false", "max-requests": "5"}
    )
    assert settings.binds == (TcpAddress("::1", 81),)
    assert settings.http_keepalive is False
    assert settings.max_requests == 5


def test_several_binds_are_separated_by_blanks() -> None:
    settings = paste_runner.read({"bind": "127.0.0.1:1\n  unix:/run/x"})
    assert settings.binds == (TcpAddress("127.0.0.1", 1), UnixAddress("/run/x"))


def test_the_default_port_is_that_of_the_command() -> None:
    assert paste_runner.read({}).binds == (TcpAddress("0.0.0.0", 8080),)


def test_the_environment_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OS_DEFAULT__WORKERS", "7")
    assert paste_runner.read({"workers": "3"}).workers == 3
    assert paste_runner.read({"backlog": "5"}).backlog == 5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prot": "80"}, "server section: unknown setting prot; did you mean port"),
        ({"zzz": "80"}, "server section: unknown setting zzz"),
        ({"workers": "-1"}, "server section: workers = -1: "),
        ({"key_file": "/x"}, "key_file is set without cert_file"),
    ],
)
def test_settings_that_do_not_work(settings: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        paste_runner.read(settings)


def test_values_may_name_those_of_the_whole_file() -> None:
    shared = {
        "here": "/srv",
        "run_dir": "$here/run",
        "workers": "7",
        "project": "x",
        "__file__": "f",
    }
    found = paste_runner.read({"pid_file": "$run_dir/pid"}, shared)
    assert found.pid_file == "/srv/run/pid"
    # The control: what stands there is no setting of the server, and nothing is guessed.
    assert found == replace(paste_runner.read({}), pid_file="/srv/run/pid")
    with pytest.raises(ConfigError, match=r"option pid_file: \$run_dir .*nowhere"):
        paste_runner.read({"pid_file": "$run_dir/pid"})
