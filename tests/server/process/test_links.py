"""A deployment by a symbolic link: reload and upgrade go where the link leads now."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import live
import pytest
from server.process.support import answer, count, reload, wait_for_answer

pytestmark = pytest.mark.forks

HERE = Path(__file__).parent
WORKERS = pytest.mark.parametrize("workers", [0, 1])


class Releases:
    """Directories of releases, and the link that leads to one of them."""

    def __init__(self, root: Path, workers: int) -> None:
        self.root = root
        self.workers = workers
        self.current = root / "current"
        self.servers: list[live.LiveServer] = []

    def make(self, name: str, code: str = "", **options: object) -> Path:
        release = self.root / "releases" / name
        (release / "lib").mkdir(parents=True)
        text = (HERE / "application.py").read_text()
        text = text.replace('VERSION = "one"', "from release import VERSION")
        (release / "application.py").write_text(text + code)
        (release / "lib" / "release.py").write_text(f"VERSION = {name!r}\n")
        lines = {"bind_port": 0, "workers": self.workers, "access_log": "", **options}
        body = "".join(f"{key} = {value}\n" for key, value in lines.items())
        (release / "serve.conf").write_text(f"[DEFAULT]\nbind_host = 127.0.0.1\n{body}")
        # As unpacked from an archive: every release has the same times.
        for path in (release, release / "lib", release / "lib" / "release.py"):
            os.utime(path, (1e9, 1e9))
        return release

    def move_to(self, release: Path) -> None:
        draft = self.root / "draft"
        draft.symlink_to(release)
        draft.rename(self.current)

    def start(self, *args: str, **env: str) -> live.LiveServer:
        """Starts in the link, as a shell would have gone there, with relative paths."""
        server = live.launch(
            self.current,
            [
                *(args or live.command_line()),
                *("application:app", "--config-file", "serve.conf"),
            ],
            env={
                "PWD": str(self.current),
                "PYTHONPATH": "lib",
                "PYTHONDONTWRITEBYTECODE": "1",
                **env,
            },
            listens=False,
        )
        self.servers.append(server)
        kept = self.root / "server.stderr"
        server.stderr.rename(kept)
        server.stderr = kept
        server.wait_for_log(r"listening on \S")
        server.url = re.findall(r"listening on (\S+)", server.log())[0]
        return server


@pytest.fixture
def releases(tmp_path: Path, workers: int) -> Iterator[Releases]:
    it = Releases(tmp_path, workers)
    it.move_to(it.make("one"))
    with live.stopping(it.servers):
        yield it


def upgrade(server: live.LiveServer) -> int:
    server.send(signal.SIGUSR2)
    return int(server.wait_for_log(r"process (\d+) has taken over").group(1))


def end(pid: int) -> None:
    os.kill(pid, signal.SIGTERM)
    live.wait_until("its end", lambda: not live.is_alive(pid))


@pytest.mark.parametrize("workers", [1])
def test_a_reload_serves_the_release_that_the_link_leads_to(
    releases: Releases,
) -> None:
    server = releases.start()
    assert answer(server)["version"] == "one"
    for number, name in enumerate(("two", "three"), 2):
        release = releases.make(name, backlog=100 + number)
        releases.move_to(release)
        # The one before may be removed at once.
        for old in release.parent.iterdir():
            if old != release:
                shutil.rmtree(old)
        reload(server)
        assert f"generation {number} serves" in server.log()
        wait_for_answer(server, version=name)
        assert f"backlog changes from {'4096' if number == 2 else 102}" in server.log()


@pytest.mark.parametrize("workers", [0])
def test_a_single_process_reads_the_configuration_of_the_release_that_the_link_leads_to(
    releases: Releases,
) -> None:
    server = releases.start()
    releases.move_to(releases.make("two", backlog=99))
    shutil.rmtree(releases.root / "releases" / "one")
    reload(server)
    assert "backlog changes from 4096 to 99" in server.log()
    assert "generation 2 serves" in server.log()
    # Modules that it has imported are in its memory.
    assert answer(server)["version"] == "one"


@WORKERS
def test_an_upgrade_starts_the_release_that_the_link_leads_to(
    releases: Releases,
) -> None:
    server = releases.start()
    releases.move_to(releases.make("two"))
    shutil.rmtree(releases.root / "releases" / "one")
    successor = upgrade(server)
    try:
        assert server.wait() == 0
        assert answer(server)["version"] == "two"
    finally:
        end(successor)


@pytest.mark.parametrize("workers", [1])
def test_a_script_of_the_release_is_started_with_the_interpreter_that_it_names(
    releases: Releases,
) -> None:
    """A release with an environment of its own, as `venv/bin/wsgi-server` in it."""

    found = [entry for entry in sys.path if entry.endswith("site-packages")]

    named = releases.root / "named"

    def script(release: Path) -> None:
        own = release / "python"
        own.symlink_to(sys.executable)
        path = release / "serve"
        path.write_text(
            f"#!{own}\nimport site, sys\n"
            f"open({str(named)!r}, 'w').write(sys.orig_argv[0])\n"
            f"for folder in {found!r}:\n    site.addsitedir(folder)\n"
            "from wsgi_server.cli import main\nsys.exit(main())\n"
        )
        path.chmod(0o755)

    script(releases.root / "releases" / "one")
    server = releases.start(str(releases.current / "serve"))
    two = releases.make("two")
    script(two)
    releases.move_to(two)
    successor = upgrade(server)
    try:
        assert server.wait() == 0
        assert named.read_text() == str(two / "python")
        assert answer(server)["version"] == "two"
    finally:
        end(successor)


@pytest.mark.parametrize("workers", [1])
@pytest.mark.parametrize("spoilt", ["code", "configuration"])
def test_a_reload_that_fails_leaves_the_server_in_the_release_before(
    releases: Releases, spoilt: str
) -> None:
    server = releases.start()
    if spoilt == "code":
        two = releases.make("two", code="\n1 / 0\n")
    else:
        two = releases.make("two", backlog="much")
    releases.move_to(two)
    reload(server)
    assert "generation 1 goes on" in server.log()
    # Whoever is replaced now is of the old release.
    (victim,) = server.worker_pids()
    os.kill(victim, signal.SIGKILL)
    server.wait_for("a replacement", lambda: count(server, "it is replaced"))
    server.wait_for("its readiness", lambda: count(server, "ready after") == 2)
    assert answer(server)["version"] == "one"
    releases.move_to(releases.make("three"))
    reload(server)
    server.wait_for("the repair", lambda: answer(server)["version"] == "three")


@pytest.mark.parametrize("workers", [1])
def test_who_is_replaced_during_a_reload_is_of_the_release_that_serves(
    releases: Releases,
) -> None:
    server = releases.start()
    gate = releases.root / "gate"
    releases.move_to(
        releases.make(
            "two",
            f"\nwhile not os.path.exists({str(gate)!r}):\n    time.sleep(0.01)\n",
        )
    )
    (victim,) = server.worker_pids()
    server.send(signal.SIGHUP)
    server.wait_for_log("starting generation 2")
    os.kill(victim, signal.SIGKILL)
    server.wait_for("its readiness", lambda: count(server, "ready after") == 2)
    assert answer(server)["version"] == "one"
    gate.touch()
    server.wait_for("the new one", lambda: answer(server)["version"] == "two")


@pytest.mark.parametrize("workers", [1])
def test_a_link_that_leads_nowhere_fails_the_reload(releases: Releases) -> None:
    server = releases.start()
    releases.current.unlink()
    reload(server)
    assert re.search(
        r"reload failed: cannot go to the working directory \S+current: No such",
        server.log(),
    )
    assert answer(server)["version"] == "one"
    releases.move_to(releases.make("two"))
    reload(server)
    server.wait_for("the repair", lambda: answer(server)["version"] == "two")
