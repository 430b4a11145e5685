"""`--check-config` finds what a start finds, says it alike, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import live
import pytest
import tools
from wsgi_server.errors import ExitStatus

pytestmark = pytest.mark.forks

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Start = Callable[..., live.LiveServer]

HELLO = "apps.hello:app"
PORT = ("--bind", "127.0.0.1:0")


def fault(run: subprocess.CompletedProcess[str]) -> tuple[int, str]:
    """The status, and the line that says what is wrong."""
    (line,) = [
        x for x in run.stderr.splitlines() if x.startswith("wsgi-server: error: ")
    ]
    return run.returncode, line


# Lines of a file, and with which status they end a start.
FAULTS = {
    "an unknown user": ("user = nosuch", 5),
    "an unknown group": ("group = nosuch", 5),
    "an unknown field": ("access_log_format = {{nothing}}", 5),
    "a field in a form that it cannot have": ("access_log_format = {{bytes:q}}", 5),
    "an access log in no folder": ("access_log = {home}/no/access.log", 5),
    "an access log that is a folder": ("access_log = {home}", 5),
    "a log in no folder": ("log_file = {home}/no/server.log", 5),
    "a log that is a folder": ("log_file = {home}", 5),
    "a pid file in no folder": ("pid_file = {home}/no/pid", 5),
    "a pid file that is a folder": ("pid_file = {home}", 5),
    "a certificate that is none": ("cert_file = {home}/text", 5),
    "ciphers that there are not": (
        "cert_file = {cert}\nkey_file = {key}\ntls_ciphers = nonsense",
        5,
    ),
    "an address that is there twice": (
        "bind = unix:{home}/s\nbind = unix:{home}/s",
        5,
    ),
    "a socket in no folder": ("bind = unix:{home}/no/s", 6),
    "a socket where a file is": ("bind = unix:{home}/text", 6),
    "a socket of too long a name": ("bind = unix:{home}/" + "x" * 120, 6),
    "a host that has no address": ("bind = nosuch.invalid:0", 6),
    "an address of another machine": ("bind = 192.0.2.1:0", 6),
    "a name that nobody defines": ("pid_file = $nosuch", 5),
}


@pytest.mark.parametrize(("text", "status"), FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_check_ends_as_the_start_does(
    command: Run, tmp_path: Path, text: str, status: int, workers: str
) -> None:
    cert, key = tools.self_signed(tmp_path)
    (tmp_path / "text").write_text("text\n")
    file = tmp_path / "server.conf"
    text = text.format(home=tmp_path, cert=cert, key=key)
    file.write_text(f"[DEFAULT]\n{text}\n")
    arguments = [HELLO, "--config-file", str(file), "--workers", workers]
    if "bind" not in text:
        arguments += PORT
    before = sorted(tmp_path.iterdir())
    checked = fault(command(*arguments, "--check-config"))
    assert checked[0] == status
    assert sorted(tmp_path.iterdir()) == before
    assert fault(command(*arguments)) == checked
    # The control: without the fault all is well.
    file.write_text("[DEFAULT]\n")
    run = command(HELLO, *PORT, "--config-file", str(file), "--check-config")
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize("engine", ["eventlet"])
def test_a_reload_asks_before_it_starts_a_worker(
    live_server: Start, tmp_path: Path
) -> None:
    """One engine only: no worker is there to have one."""
    conf = tmp_path / "server.conf"
    conf.write_text("[DEFAULT]\n")
    server = live_server(HELLO, "--config-file", str(conf))
    for text in ("access_log_format = {nothing}", "cert_file = /dev/null"):
        conf.write_text(f"[DEFAULT]\n{text}\n")
        server.send(signal.SIGHUP)
        server.wait_for_log(f"reload failed: {text.partition(' ')[0]}: ")
    assert "starting generation" not in server.log()
    conf.write_text("[DEFAULT]\n")
    server.send(signal.SIGHUP)
    server.wait_for_log("generation 2 serves")


@pytest.mark.parametrize("options", [("--preload-app",), ("--workers", "0"), ()])
def test_an_application_that_fails_ends_both(
    command: Run, tmp_path: Path, options: tuple[str, ...]
) -> None:
    (tmp_path / "broken.py").write_text("1 / 0\n")
    arguments = ("broken:app", *PORT, *options)
    checked = fault(command(*arguments, "--check-config"))
    assert checked[0] == ExitStatus.LOAD
    assert fault(command(*arguments)) == checked


@pytest.mark.parametrize("workers", ["0", "1"])
def test_threads_that_the_application_makes_greenlets_end_both(
    command: Run, workers: str
) -> None:
    engine = ("--engine", "threads", "--workers", workers)
    arguments = ("apps.patched:app", *PORT, *engine)
    checked = fault(command(*arguments, "--check-config"))
    assert checked[0] == ExitStatus.CONFIG
    assert fault(command(*arguments)) == checked
    assert command("apps.patched:app", *PORT, "--check-config").returncode == 0


def test_what_only_a_start_can_show_is_named(command: Run, tmp_path: Path) -> None:
    (tmp_path / "hooked.py").write_text(
        "from wsgi_server import hooks\n"
        "from apps.hello import app\n"
        "hooks.post_fork(print)\n"
    )
    with (
        socket.create_server(("127.0.0.1", 0)) as used,
        socket.socket(socket.AF_UNIX) as unix,
    ):
        unix.bind(str(tmp_path / "used"))
        unix.listen()
        addresses = [
            f"127.0.0.1:{used.getsockname()[1]}",
            f"unix:{tmp_path}/used",
            "fd://99",
            "systemd",
        ]
        binds = [word for address in addresses for word in ("--bind", address)]
        run = command("hooked:app", *binds, "--check-config")
    assert (run.returncode, run.stderr) == (0, "")
    first, *named = run.stdout.splitlines()
    assert first == "wsgi-server: the configuration and hooked:app are fine"
    for line, what in zip(named, [*addresses, "post_fork"], strict=True):
        assert line.startswith("wsgi-server: not tried: ")
        assert what in line
    assert (tmp_path / "used").is_socket()


def test_a_check_makes_no_file_and_takes_none_away(
    command: Run, tmp_path: Path
) -> None:
    stale = tmp_path / "stale"
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(stale))
    text = "".join(
        f"{name} = {tmp_path / name}\n"
        for name in ("pid_file", "log_file", "access_log")
    )
    (tmp_path / "server.conf").write_text(
        f"[DEFAULT]\n{text}bind = unix:{stale}\nbind = unix:{tmp_path}/new\n"
    )
    before = sorted(tmp_path.iterdir())
    run = command(HELLO, "--config-file", "server.conf", "--check-config")
    assert (run.returncode, run.stderr) == (0, "")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_the_application_is_loaded_as_the_user_of_the_workers(
    command: Run, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret\n")
    # Pytest's own folders are for their owner alone.
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        home.chmod(0o755)
        (home / "site_app.py").write_text(
            f"open({str(secret)!r}).close()\n"
            "def app(environ, start_response):\n"
            "    start_response('200 OK', [])\n"
            "    return []\n"
        )
        # Eventlet may lie where that user has no way in.
        arguments = ("site_app:app", *PORT, "--user", "nobody", "--engine", "threads")
        env = {"PYTHONPATH": name}
        checked = fault(command(*arguments, "--check-config", env=env))
        assert checked[0] == ExitStatus.LOAD
        assert "Permission denied" in checked[1]
        assert fault(command(*arguments, env=env)) == checked
