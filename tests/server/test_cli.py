"""The command as a user types it: what it prints, and with which status it ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import live
import pytest
from oslo_config import cfg
from wsgi_server import cli, opts
from wsgi_server._command.arguments import parse
from wsgi_server.errors import ExitStatus

pytestmark = pytest.mark.forks

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Start = Callable[..., live.LiveServer]
HELLO = "apps.hello:app"
LOCAL = ("--bind-host", "127.0.0.1", "--bind-port", "0", "--workers", "1")


@pytest.fixture
def engine() -> str:
    """One engine only: the command does not differ between them."""
    return "eventlet"


def error(run: subprocess.CompletedProcess[str], status: ExitStatus) -> str:
    """The line that says what is wrong, of a run that ended with `status`."""
    assert run.returncode == status, run.stderr
    assert "Traceback" not in run.stderr
    (line,) = run.stderr.splitlines()
    assert line.startswith("wsgi-server: error: ")
    return line.removeprefix("wsgi-server: error: ")


def test_the_command_serves_until_it_is_terminated(live_server: Start) -> None:
    server = live_server(HELLO, "--workers", "2")
    response = server.get("/x")
    assert (response.status, response.text) == (200, "hello from /x")
    assert len(server.worker_pids()) == 2
    assert server.stop() == ExitStatus.OK


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGQUIT, signal.SIGTERM])
@pytest.mark.parametrize("workers", ["0", "1"])
def test_ctrl_c_and_its_like_end_it_cleanly(
    live_server: Start, signum: signal.Signals, workers: str
) -> None:
    server = live_server(HELLO, "--workers", workers)
    workers_then = server.worker_pids()
    server.send(signum)
    assert server.wait() == ExitStatus.OK
    assert not any(map(live.is_alive, workers_then))
    assert "Traceback" not in server.log()


def test_a_factory_with_arguments_is_served(live_server: Start) -> None:
    server = live_server("apps.hello:make_app('hi', times=2)")
    assert server.get().text == "hihi"


def test_the_current_directory_is_searched_for_the_application(
    live_server: Start, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [b'mine']\n"
    )
    assert live_server("mine:app").get().text == "mine"


def test_the_application_sees_no_arguments(live_server: Start, tmp_path: Path) -> None:
    (tmp_path / "nosy.py").write_text(
        "import sys\n"
        "seen = repr(sys.argv[1:]).encode()\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [seen]\n"
    )
    assert live_server("nosy:app").get().text == "[]"


def test_hup_serves_new_code_and_new_configuration(
    live_server: Start, tmp_path: Path
) -> None:
    app = tmp_path / "changing.py"
    source = (
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [b'{}']\n"
    )
    app.write_text(source.format("old"))
    conf = tmp_path / "server.conf"
    conf.write_text("[DEFAULT]\nmax_header_line = 100\n")
    server = live_server(
        "changing:app",
        "--config-file",
        "server.conf",
        env={"PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert server.get().text == "old"
    assert server.get(X_Long="x" * 200).status == 431
    app.write_text(source.format("renewed"))
    conf.write_text("[DEFAULT]\nmax_header_line = 1000\n")
    server.send(signal.SIGHUP)
    # Both generations answer for a moment.
    server.wait_for_log(r"worker \d+ \(changing:app 1\) left")
    assert server.get().text == "renewed"
    assert server.get(X_Long="x" * 200).status == 200


def test_hup_with_a_broken_file_keeps_serving(
    live_server: Start, tmp_path: Path
) -> None:
    conf = tmp_path / "server.conf"
    conf.write_text("[DEFAULT]\n")
    server = live_server(HELLO, "--config-file", "server.conf")
    old = server.worker_pids()
    for broken in ("no section", "[DEFAULT]\nbacklog = none\n"):
        count = server.log().count("reload failed")
        conf.write_text(broken)
        server.send(signal.SIGHUP)
        server.wait_for(
            "the refusal", lambda: server.log().count("reload failed") > count
        )
    assert server.worker_pids() == old
    assert server.get().status == 200
    conf.write_text("[DEFAULT]\n")
    server.send(signal.SIGHUP)
    server.wait_for("a new generation", lambda: not old & server.worker_pids())


def test_a_relative_config_file_is_found_after_a_reload(
    live_server: Start, tmp_path: Path
) -> None:
    folder = tmp_path / "conf.d"
    folder.mkdir()
    (folder / "a.conf").write_text("[DEFAULT]\nmax_header_line = 100\n")
    server = live_server(HELLO, "--config-dir", "conf.d")
    assert server.get(X_Long="x" * 200).status == 431


def test_the_command_line_wins_over_the_file(
    live_server: Start, tmp_path: Path
) -> None:
    (tmp_path / "server.conf").write_text("[DEFAULT]\nworkers = 1\n")
    server = live_server(HELLO, "--config-file", "server.conf", "--workers", "2")
    assert len(server.worker_pids()) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("--bind-host", "127.0.0.1", "--bind-port", "0"),
        ("--bind", "127.0.0.1:0"),
    ],
)
def test_an_address_on_the_command_line_wins_over_those_of_a_file(
    live_server: Start, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    path = tmp_path / "s"
    (tmp_path / "server.conf").write_text(f"[DEFAULT]\nbind = unix:{path}\n")
    server = live_server(HELLO, "--config-file", "server.conf", *arguments)
    (url,) = server.urls
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
    assert not path.exists()


def test_options_of_the_service_stay_out_of_the_way(
    live_server: Start, tmp_path: Path
) -> None:
    """A service registers its own `bind_host` on the `ConfigOpts` that it is given."""
    info = tmp_path / "own-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[wsgi_server.app_loaders]\nown = own_loader:load\n"
    )
    (tmp_path / "own_loader.py").write_text(
        "from oslo_config import cfg\n"
        "def load(uri, conf):\n"
        "    conf.register_opt(cfg.StrOpt('bind_host', default='ours'))\n"
        "    conf.register_opt(cfg.StrOpt('colour'))\n"
        "    def app(environ, start_response):\n"
        "        start_response('200 OK', [])\n"
        "        return [f'{uri} {conf.bind_host} {conf.colour}'.encode()]\n"
        "    return app\n"
    )
    (tmp_path / "own.conf").write_text("[DEFAULT]\ncolour = red\n")
    server = live_server("own:thing", "--config-file", "own.conf")
    assert server.get().text == "thing ours red"


def test_the_log_is_dated_and_names_the_process(live_server: Start) -> None:
    server = live_server(HELLO)
    assert re.search(
        rf"(?m)^\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{{3}} \[{server.pid}\] INFO "
        r"wsgi_server\.\S+: listening on http://127\.0\.0\.1:\d+$",
        server.log(),
    )


def test_the_log_file_is_reopened_on_usr1(live_server: Start, tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    access = tmp_path / "access.log"
    server = live_server(
        HELLO, "--log-file", str(log), "--access-log", str(access), listens=False
    )
    announced = server.wait_for(
        "the announcement",
        lambda: log.exists() and re.search(r"listening on (\S+)", log.read_text()),
    )
    server.url = announced[1]
    assert server.log() == ""
    server.get("/before")
    log.rename(tmp_path / "server.log.1")
    access.rename(tmp_path / "access.log.1")
    server.send(signal.SIGUSR1)
    server.wait_for("new files", lambda: log.exists() and access.exists())
    server.get("/after")
    server.wait_for("the access line", lambda: "/after" in access.read_text())
    assert "/before" in (tmp_path / "access.log.1").read_text()


def test_a_reload_moves_the_log(live_server: Start, tmp_path: Path) -> None:
    conf, log = tmp_path / "server.conf", tmp_path / "server.log"
    conf.write_text("[DEFAULT]\n")
    server = live_server(HELLO, "--config-file", "server.conf")
    conf.write_text(f"[DEFAULT]\nlog_file = {log}\n")
    server.send(signal.SIGHUP)
    server.wait_for(
        "the new log", lambda: log.exists() and "retires" in log.read_text()
    )
    assert "retires" not in server.log()


@pytest.mark.parametrize("workers", ["1", "0"])
def test_a_failed_reload_leaves_the_log_where_it_was(
    live_server: Start, tmp_path: Path, workers: str
) -> None:
    conf, code = tmp_path / "server.conf", tmp_path / "site_app.py"
    first, second = tmp_path / "first.log", tmp_path / "second.log"
    conf.write_text(f"[DEFAULT]\nlog_file = {first}\n")
    code.write_text("from apps.hello import app\n")
    # Without workers the module is not imported again, so that something else must fail.
    fault = "cert_file = /dev/null\n" if workers == "0" else ""
    server = live_server(
        "site_app:app",
        *("--config-file", "server.conf", "--workers", workers),
        env={"PYTHONDONTWRITEBYTECODE": "1"},
        listens=False,
    )
    server.wait_for("it to listen", lambda: _says(first, "listening on"))
    conf.write_text(f"[DEFAULT]\nlog_file = {second}\ndebug = true\n{fault}")
    code.write_text("1 / 0\n")
    server.send(signal.SIGHUP)
    server.wait_for("its failure", lambda: _says(first, "reload failed: .* goes on"))
    server.send(signal.SIGUSR1)
    server.wait_for("a later line", lambda: _says(first, "log files reopened"))
    assert not _says(second, "reopened")
    assert not _says(first, " DEBUG ")
    # The control: mended, it moves.
    code.write_text("from apps.hello import app\n")
    conf.write_text(f"[DEFAULT]\nlog_file = {second}\n")
    server.send(signal.SIGHUP)
    server.wait_for("the new log", lambda: _says(second, "retires"))


def _says(log: Path, pattern: str) -> bool:
    return log.exists() and re.search(pattern, log.read_text()) is not None


def test_the_log_file_is_made_with_the_umask_of_the_options(
    live_server: Start, tmp_path: Path
) -> None:
    log = tmp_path / "server.log"
    arguments = ("--log-file", str(log), "--umask", "0177")
    server = live_server(HELLO, *arguments, listens=False)
    server.wait_for("it to listen", lambda: _says(log, "listening on"))
    assert log.stat().st_mode & 0o777 == 0o600


def test_a_log_that_nobody_reads_holds_nothing_up(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        live.command_line(
            *("apps.noisy:app", "--bind", f"127.0.0.1:{port}", "--workers", "1"),
            *("--access-log", ""),
        ),
        stderr=writer,
        env=live.environment(),
    )
    os.close(writer)
    try:
        server = live.LiveServer(process, tmp_path, tmp_path, tmp_path)
        server.url = f"http://127.0.0.1:{port}"
        # A pipe holds 64 KiB; every request logs 4 KiB.
        said = b""
        while b"listening on" not in said:
            said += os.read(reader, 65536)
        assert [server.get().status for _ in range(40)] == [200] * 40
        assert server.stop() == 0
    finally:
        process.kill()
        process.wait()
        os.close(reader)


def test_the_help_names_every_option_in_its_section_and_what_to_know(
    command: Run,
) -> None:
    run = command("--help")
    assert run.returncode == 0
    assert run.stderr == ""
    for opt in opts.CLI_OPTS:
        assert f"--{opt.name}" in run.stdout
    for status in ExitStatus:
        assert re.search(rf"\b{status.value} [a-z]", run.stdout)
    for name in ("HUP", "TERM", "INT", "QUIT", "USR1", "USR2", "TTIN", "TTOU"):
        assert re.search(rf"(?m)^  .*{name}\b", run.stdout)
    for title in ("where to listen", "TLS", "processes", "requests", "logs"):
        assert f"\n{title}:\n" in run.stdout


def test_the_version(command: Run) -> None:
    run = command("--version")
    assert re.fullmatch(r"wsgi-server \d+\.\d+\.\d+\S* \(\w+ [\d.]+\S*\)\n", run.stdout)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name an application, such as module:callable"),
        ([HELLO, "--wokers", "2"], "no option --wokers; did you mean --workers?"),
        ([HELLO, "--frobnicate=3"], "there is no option --frobnicate"),
        ([HELLO, "-w", "2"], "there is no option -w"),
        ([HELLO, "second:app"], "one application, please: 'second:app'"),
        ([HELLO, "--workers", "many"], "--workers: 'many': "),
        ([HELLO, "--workers", "-1"], "--workers: '-1': "),
        ([HELLO, "--workers"], "--workers: expected one argument"),
        ([HELLO, "--bind-port", "70000"], "--bind-port: '70000': "),
        ([HELLO, "--engine", "steam"], "--engine: 'steam': "),
    ],
)
def test_a_wrong_command_line_is_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert cli.main(arguments) == ExitStatus.USAGE
    out, err = capsys.readouterr()
    assert message in err
    assert err.startswith("wsgi-server: error: ")
    assert (out, err.count("\n")) == ("", 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file: {file}"),
        ("workers = 2\n", "{file}"),
        ("[DEFAULT\n", "{file}"),
        ("[DEFAULT]\nbacklog = many\n", "backlog"),
        ("[DEFAULT]\nkey_file = {file}\n", "key_file is set without cert_file"),
        ("[DEFAULT]\ncert_file = nothing.pem\n", "cert_file: cannot read nothing.pem"),
        ("[DEFAULT]\ncert_file = {file}\n", "cert_file: {file} holds no PEM certif"),
        ("[DEFAULT]\nbind = nowhere\n", "bind = nowhere: not an address"),
        ("[DEFAULT]\numask = 99\n", "umask = 99: not an octal number"),
        ("[DEFAULT]\ntcp_keepidle = 32768\n", "tcp_keepidle"),
        ("[DEFAULT]\nforwarded_allow = x\n", "forwarded_allow: 'x' does not appear"),
    ],
)
def test_a_wrong_configuration_is_one_line_and_a_status(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str | None, message: str
) -> None:
    file = tmp_path / "server.conf"
    if text is not None:
        file.write_text(text.format(file=file))
    status = cli.main([HELLO, "--config-file", str(file), "--check-config"])
    assert status == ExitStatus.CONFIG
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("wsgi-server: error: ")
    assert message.format(file=file) in line
    # The control: the same file without the fault.
    file.write_text("[DEFAULT]\n")
    assert cli.main([HELLO, "--config-file", str(file), "--check-config"]) == 0


@pytest.mark.parametrize(
    "name", [opt.dest for opt in opts.ALL_OPTS if isinstance(opt, cfg.FloatOpt)]
)
@pytest.mark.parametrize("value", ["inf", "nan"])
def test_a_time_without_an_end_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, value: str
) -> None:
    file = tmp_path / "server.conf"
    file.write_text(f"[DEFAULT]\n{name} = {value}\n")
    arguments = [HELLO, "--config-file", str(file), "--check-config"]
    assert cli.main(arguments) == ExitStatus.CONFIG
    assert f"{name} = {value}: not a number of seconds" in capsys.readouterr().err
    # The control: any number will do.
    file.write_text(f"[DEFAULT]\n{name} = 1e9\n")
    assert cli.main(arguments) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--user", "nobody-at-all"], "nobody-at-all"),
        (["--access-log", "/nowhere/x"], "access_log: cannot write /nowhere/x"),
        (["--log-file", "/nowhere/x"], "log_file: cannot write /nowhere/x"),
        (["--cert-file", "/dev/null"], "cert_file: /dev/null holds no PEM certif"),
        (["--config-file", "folder"], "folder"),
        (["--config-file", "binary"], "binary"),
        (["--config-dir", "missing"], "missing"),
    ],
)
def test_what_only_a_start_finds_out_is_one_line_as_well(
    command: Run, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "binary").write_bytes(b"\xff\xfe[DEFAULT]")
    run = command(HELLO, *LOCAL, *arguments)
    assert message in error(run, ExitStatus.CONFIG)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(command: Run, tmp_path: Path) -> None:
    (tmp_path / "secret.conf").touch(0o000)
    run = command(HELLO, *LOCAL, "--config-file", "secret.conf")
    assert "not readable" in error(run, ExitStatus.CONFIG)


def test_a_port_in_use_is_said_at_once(command: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        run = command(HELLO, "--bind", address, "--workers", "1")
        line = error(run, ExitStatus.BIND)
    assert f"cannot bind {address}" in line
    assert "in use" in line


@pytest.mark.parametrize("workers", ["0", "1"])
@pytest.mark.parametrize(
    ("app", "message"),
    [
        ("apps.hello:ap", "has no attribute 'ap'; did you mean app?"),
        ("broken:app", "broken.py:2: ZeroDivisionError: division by zero"),
        ("config:missing.ini#main", "missing.ini"),
    ],
)
def test_an_application_that_cannot_be_loaded(
    command: Run, tmp_path: Path, app: str, message: str, workers: str
) -> None:
    (tmp_path / "broken.py").write_text("# first\n1 / 0\n")
    run = command(app, *LOCAL, "--workers", workers)
    assert message in error(run, ExitStatus.LOAD)


def test_debug_adds_the_traceback(command: Run, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("1 / 0\n")
    run = command("broken:app", *LOCAL, "--debug")
    assert run.returncode == ExitStatus.LOAD
    assert "Traceback (most recent call last)" in run.stderr
    assert "1 / 0" in run.stderr
    (tmp_path / "debug.conf").write_text("[DEFAULT]\ndebug = true\n")
    taken = command(HELLO, "--config-file", "debug.conf", "--bind", "fd://99")
    assert "Traceback (most recent call last)" in taken.stderr
    missing = command(HELLO, "--debug", "--config-file", "nothing.conf")
    assert "Traceback (most recent call last)" in missing.stderr
    assert missing.stderr.splitlines()[-1].startswith(
        "wsgi-server: error: no such file"
    )


def test_check_config_says_that_all_is_fine(command: Run) -> None:
    run = command(HELLO, "--check-config")
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == f"wsgi-server: the configuration and {HELLO} are fine\n"


def test_check_config_loads_the_application(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["apps.hello:nothing", "--check-config"]) == ExitStatus.LOAD
    assert "has no attribute 'nothing'" in capsys.readouterr().err


def test_arguments_by_the_names_of_their_options() -> None:
    arguments = parse(["x:y", "--bind", "a:1", "--bind", "b:2", "--no-http-keepalive"])
    assert arguments.app == "x:y"
    assert arguments.bind == ["a:1", "b:2"]
    assert arguments.http_keepalive is False
    assert "workers" not in arguments


def test_main_returns_the_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--check-config"]) == ExitStatus.USAGE
    assert capsys.readouterr().err.startswith("wsgi-server: error: name an application")


def test_register_cli_opts_takes_the_global_conf(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    conf = cfg.ConfigOpts()
    monkeypatch.setattr(cfg, "CONF", conf)
    opts.register_cli_opts()
    conf(["--bind-port", "81", "--workers", "3"], default_config_files=[])
    assert (conf.bind_port, conf.workers, conf.backlog) == (81, 3, 4096)
