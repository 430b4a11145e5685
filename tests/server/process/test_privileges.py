"""Workers give up root; the supervisor keeps what a reload needs."""

from __future__ import annotations

import os
import pwd
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import live
import pytest
from server.process.support import Service, answer, reload, wait_for_answer
from wsgi_server._system.pid_file import PidFile
from wsgi_server._system.privileges import Identity, resolve
from wsgi_server.errors import ConfigError

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another")


@pytest.fixture
def home() -> Iterator[Path]:
    """A place where the workers' user gets in: pytest's own are for their owner alone."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


def test_a_user_brings_its_group() -> None:
    nobody = pwd.getpwnam("nobody")
    if os.geteuid() == 0:
        assert resolve("nobody", None) == Identity(
            nobody.pw_uid, nobody.pw_gid, "nobody"
        )
    me = pwd.getpwuid(os.geteuid())
    assert resolve(str(me.pw_uid), None) == Identity(me.pw_uid, me.pw_gid, me.pw_name)


def test_names_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ConfigError, match="user = no-such-user: no such user"):
        resolve("no-such-user", None)
    with pytest.raises(ConfigError, match="group = no-such-group: no such group"):
        resolve(None, "no-such-group")


@as_root
def test_a_user_without_an_account_needs_a_group() -> None:
    nameless = next(uid for uid in range(54321, 65000) if not _has_account(uid))
    with pytest.raises(
        ConfigError, match=rf"user = {nameless}: .* \(set group as well"
    ):
        resolve(str(nameless), None)
    assert resolve(str(nameless), "12345") == Identity(nameless, 12345)


@as_root
def test_without_root_a_supplementary_group_is_refused() -> None:
    code = (
        "import os\n"
        "from wsgi_server._system.privileges import resolve\n"
        "from wsgi_server.errors import ConfigError\n"
        "os.setgroups([4321, 4322]), os.setresgid(4320, 4320, 4323), os.setuid(65534)\n"
        "for group in '4320', '4323', '4321':\n"
        "    try:\n"
        "        resolve(None, group).assume()\n"
        "        print(os.getegid())\n"
        "    except ConfigError as exc:\n"
        "        print(exc)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    refused = "group = 4321: only root can become another group"
    assert ended.stdout.splitlines() == ["4320", "4323", refused]


@pytest.mark.forks
@as_root
def test_workers_run_as_the_user_and_the_supervisor_does_not(service: Service) -> None:
    service.configure(user="nobody")
    server = start_as_root(service)
    nobody = pwd.getpwnam("nobody")
    found = answer(server)
    assert (found["uid"], found["gid"]) == (nobody.pw_uid, nobody.pw_gid)
    groups = Path(f"/proc/{found['pid']}/status").read_text()
    assert not re.search(r"^Groups:.*\b0\b", groups, re.MULTILINE)
    assert os.stat(f"/proc/{server.pid}").st_uid == 0
    reload(server)
    wait_for_answer(server, uid=nobody.pw_uid)


@pytest.mark.forks
@as_root
def test_an_orphan_that_gave_up_root_is_still_told(
    service: Service, home: Path
) -> None:
    # What the kernel tells a process about a pipe depends on whose process it is.
    service.configure(user="nobody", graceful_timeout=1, workers=1)
    home.chmod(0o777)
    server = start_as_root(service)
    (worker,) = server.worker_pids()
    begun = home / "begun"
    with server.connect() as client:
        client.sendall(
            f"GET /stuck?file={begun}&s=300 HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        )
        server.wait_for("the request to run", begun.exists)
        os.kill(server.pid, signal.SIGKILL)
        server.wait()
        server.wait_for("the worker's end", lambda: not live.is_alive(worker))


@pytest.mark.forks
@as_root
def test_a_reload_can_still_bind_a_low_port(service: Service) -> None:
    service.configure(user="nobody")
    server = start_as_root(service)
    port = next(port for port in range(1023, 600, -1) if _is_free(port))
    service.configure(bind_port=port)
    reload(server)
    server.url = f"http://127.0.0.1:{port}"
    assert answer(server)["version"] == "one"


@pytest.mark.forks
@as_root
def test_a_unix_socket_belongs_to_the_user(service: Service, home: Path) -> None:
    path = home / "s"
    service.configure(user="nobody", bind=["127.0.0.1:0", f"unix:{path}"])
    start_as_root(service)
    assert path.stat().st_uid == pwd.getpwnam("nobody").pw_uid


@pytest.mark.forks
@as_root
def test_a_process_that_may_not_remove_its_files_ends_well(
    service: Service, home: Path
) -> None:
    path = home / "s"
    service.configure(user="nobody", workers=0, bind=["127.0.0.1:0", f"unix:{path}"])
    server = start_as_root(service)
    assert answer(server)["uid"] == pwd.getpwnam("nobody").pw_uid
    assert server.stop() == 0
    assert f"cannot remove unix:{path}: Permission denied" in server.log()
    assert "Traceback" not in server.log()
    # The control: what is left is in nobody's way.
    server = start_as_root(service)
    assert path.is_socket()


@pytest.mark.forks
@as_root
def test_log_files_belong_to_the_user_and_can_be_reopened(
    service: Service, home: Path
) -> None:
    log = home / "server.log"
    service.configure(user="nobody", log_file=str(log))
    server = start_as_root(service, listens=False)
    live.wait_until(
        "listening", lambda: log.exists() and "listening" in log.read_text()
    )
    assert log.stat().st_uid == pwd.getpwnam("nobody").pw_uid
    log.rename(home / "server.log.1")
    server.send(signal.SIGUSR1)
    live.wait_until("a new log", lambda: log.exists() and "reopened" in log.read_text())
    assert "cannot reopen" not in (home / "server.log.1").read_text()
    assert log.stat().st_uid == pwd.getpwnam("nobody").pw_uid


@pytest.mark.forks
@as_root
def test_a_user_that_cannot_become_another_is_refused(service: Service) -> None:
    service.configure(user="daemon")
    code = (
        "import os, locale, wsgi_server.cli, wsgi_server._process.supervisor\n"
        "import wsgi_server._command.run\n"
        "os.setgid(65534), os.setuid(65534)\n"
        "raise SystemExit(wsgi_server.cli.main())\n"
    )
    command = live.command_line("application:app", "--config-file", str(service.config))
    ended = subprocess.run(
        [command[0], "-c", code, *command[3:]],
        cwd=service.directory,
        env=live.environment(),
        capture_output=True,
        text=True,
        timeout=live.PATIENCE,
        check=False,
    )
    assert ended.returncode == 5, ended.stderr
    assert "user = daemon: only root can become another user" in ended.stderr


@pytest.mark.forks
@pytest.mark.parametrize(
    ("options", "mask"), [({}, "0027"), ({"umask": "077"}, "0077")]
)
def test_the_umask_is_that_of_the_option(
    service: Service, options: dict[str, str], mask: str
) -> None:
    service.configure(**options)
    assert answer(service.start())["umask"] == mask


def test_the_pid_file_is_whole_and_removed_only_by_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "serve.pid"
    file = PidFile(str(path))
    file.write(123)
    assert path.read_text() == "123\n"
    assert list(tmp_path.iterdir()) == [path]
    file.remove(124)
    assert path.exists()
    file.remove(123)
    assert not path.exists()
    file.remove(123)


def test_a_pid_file_that_cannot_be_written_is_a_configuration_error(
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigError, match=r"pid_file: cannot write \S+absent/serve"):
        PidFile(str(tmp_path / "absent" / "serve.pid")).write(1)


def start_as_root(service: Service, *, listens: bool = True) -> live.LiveServer:
    """Starts the command with the engine loaded before the fork.

    The interpreter of these tests may lie where only root can read; a real one does not.
    """
    (service.directory / "sitecustomize.py").write_text(
        "import encodings.idna, hashlib, http.client, json, urllib.parse\n"
        "import wsgi_server._engines.eventlet, eventlet.hubs.epolls\n"
    )
    path = os.pathsep.join([str(service.directory), os.environ.get("PYTHONPATH", "")])
    return service.start(env={"PYTHONPATH": path}, listens=listens)


def _has_account(uid: int) -> bool:
    try:
        return bool(pwd.getpwuid(uid))
    except KeyError:
        return False


def _is_free(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
