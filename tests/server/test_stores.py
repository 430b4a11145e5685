"""glance_store as services use it, with the real library, and the prefetch job."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import live
import pytest
from wsgi_server import stores
from wsgi_server.errors import ExitStatus, StoreError

pytestmark = pytest.mark.forks

Start = Callable[..., live.LiveServer]

SINGLE = """
[DEFAULT]
{options}
[glance_store]
default_store = file
stores = file
filesystem_store_datadir = {folder}/{name}
"""
MULTI = """
[DEFAULT]
{options}
enabled_backends = images:file
[glance_store]
default_backend = images
[images]
filesystem_store_datadir = {folder}/{name}
[os_glance_staging_store]
filesystem_store_datadir = {folder}/staging
[os_glance_tasks_store]
filesystem_store_datadir = {folder}/tasks
"""


def run(program: str, *args: str) -> subprocess.CompletedProcess[str]:
    """A program of its own: the library keeps its state in globals."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program), *args],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


PREAMBLE = """
import sys
import glance_store
import wsgi_server
from oslo_config import cfg
cfg.CONF.register_opt(cfg.DictOpt("enabled_backends", default={}))
cfg.CONF(["--config-file", sys.argv[1]], project="x")
"""


def test_initialize_glance_store_makes_the_store(tmp_path: Path) -> None:
    conf = tmp_path / "x.conf"
    conf.write_text(SINGLE.format(folder=tmp_path, name="one", options=""))
    done = run(
        PREAMBLE
        + """
wsgi_server.initialize_glance_store()
wsgi_server.initialize_glance_store(cfg.CONF)
uri, size, checksum, _ = glance_store.add_to_backend(
    cfg.CONF, "image", __import__("io").BytesIO(b"data"), 4, scheme="file")
print(uri, size)
""",
        str(conf),
    )
    assert done.stdout.split() == [f"file://{tmp_path}/one/image", "4"], done.stderr


def test_initialize_multi_store_makes_the_stores_and_the_reserved_ones(
    tmp_path: Path,
) -> None:
    conf = tmp_path / "x.conf"
    conf.write_text(MULTI.format(folder=tmp_path, name="one", options=""))
    done = run(
        PREAMBLE
        + """
wsgi_server.initialize_multi_store()
wsgi_server.initialize_multi_store(cfg.CONF)
for name in ("images", "os_glance_staging_store", "os_glance_tasks_store"):
    print(glance_store.get_store_from_store_identifier(name).datadir)
""",
        str(conf),
    )
    folders = [f"{tmp_path}/{name}" for name in ("one", "staging", "tasks")]
    assert done.stdout.split() == folders, done.stderr


@pytest.mark.parametrize(
    ("name", "refused"), [("os_glance_mine", True), ("my_os_glance_", False)]
)
def test_the_reserved_prefix_is_refused(
    tmp_path: Path, name: str, refused: bool
) -> None:
    conf = tmp_path / "x.conf"
    text = MULTI.format(folder=tmp_path, name="one", options="")
    text = text.replace("images:file", f"images:file,{name}:file")
    conf.write_text(f"{text}[{name}]\nfilesystem_store_datadir = {tmp_path}/{name}\n")
    done = run(
        PREAMBLE
        + """
try:
    wsgi_server.initialize_multi_store()
except RuntimeError as exc:
    print(exc)
""",
        str(conf),
    )
    assert done.returncode == 0, done.stderr
    assert ("the prefix os_glance_ is reserved" in done.stdout) is refused
    assert (name in done.stdout) is refused


def test_the_librarys_own_errors_pass_as_they_are(tmp_path: Path) -> None:
    conf = tmp_path / "x.conf"
    text = MULTI.format(folder=tmp_path, name="one", options="")
    conf.write_text(text.replace("default_backend = images", ""))
    done = run(
        PREAMBLE
        + """
try:
    wsgi_server.initialize_multi_store()
except Exception as exc:
    print(type(exc).__name__, exc)
""",
        str(conf),
    )
    expected = "RuntimeError 'default_backend' config option is not set.\n"
    assert done.stdout == expected, done.stderr


@pytest.mark.parametrize(
    "function", ["initialize_glance_store", "initialize_multi_store"]
)
def test_without_the_library_it_says_what_to_install(
    function: str,
) -> None:
    done = run(
        f"""
        import sys
        # What an import finds where the package is not installed.
        class Absent:
            def find_spec(self, name, path=None, target=None):
                if name == "glance_store":
                    raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
        sys.meta_path.insert(0, Absent())
        import wsgi_server, wsgi_server.errors
        from oslo_config import cfg
        try:
            wsgi_server.{function}()
        except wsgi_server.errors.StoreError as exc:
            print(exc)
        """
    )
    assert "pip install wsgi-server[glance-store]" in done.stdout, done.stderr


@pytest.mark.parametrize("kind", [SINGLE, MULTI], ids=["single", "multi"])
def test_stores_are_made_at_the_start_and_again_at_a_reload(
    live_program: Start, tmp_path: Path, kind: str
) -> None:
    conf = tmp_path / "x.conf"
    conf.write_text(kind.format(folder=tmp_path, name="one", options=""))
    server = live_program("apps.stored", "--config-file", str(conf))
    assert server.get().text == f"{tmp_path}/one"
    conf.write_text(kind.format(folder=tmp_path, name="two", options=""))
    server.send(signal.SIGHUP)
    server.wait_for("the other store", lambda: server.get().text == f"{tmp_path}/two")


def test_stores_that_are_refused_at_a_reload_leave_the_old_ones(
    live_program: Start, tmp_path: Path
) -> None:
    conf = tmp_path / "x.conf"
    conf.write_text(MULTI.format(folder=tmp_path, name="one", options=""))
    server = live_program("apps.stored", "--config-file", str(conf))
    old = server.worker_pids()
    broken = MULTI.format(folder=tmp_path, name="two", options="")
    conf.write_text(broken.replace("images:file", "images:file,os_glance_x:file"))
    server.send(signal.SIGHUP)
    server.wait_for_log("reload failed: .*the prefix os_glance_ is reserved")
    assert server.worker_pids() == old
    # A worker that is replaced now is forked from a parent with the old stores.
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    server.wait_for("other workers", lambda: len(server.worker_pids() - old) == 2)
    assert server.get().text == f"{tmp_path}/one"


def test_stores_that_are_refused_at_the_start_end_it(
    live_program: Start, tmp_path: Path
) -> None:
    conf = tmp_path / "x.conf"
    text = MULTI.format(folder=tmp_path, name="one", options="")
    conf.write_text(text.replace("images:file", "os_glance_x:file"))
    server = live_program("apps.stored", "--config-file", str(conf), listens=False)
    assert server.wait() != 0
    assert "the prefix os_glance_ is reserved" in server.log()
    assert server.worker_pids() == set()


def test_the_prefetcher_runs_in_one_worker_and_survives_failures_and_deaths(
    live_program: Start, tmp_path: Path
) -> None:
    conf, diary = tmp_path / "x.conf", tmp_path / "diary"
    options = f"diary = {diary}"
    conf.write_text(SINGLE.format(folder=tmp_path, name="one", options=options))
    server = live_program("apps.stored", "--config-file", str(conf))

    def runs() -> list[int]:
        return (
            [int(line) for line in diary.read_text().split()] if diary.exists() else []
        )

    server.wait_for("some runs", lambda: len(runs()) >= 6)
    assert "a run that fails" in server.log()
    first = set(runs())
    assert len(first) == 1
    assert first < server.worker_pids()

    (holder,) = first
    os.kill(holder, signal.SIGKILL)
    server.wait_for("another to take over", lambda: set(runs()) - first)
    count = len(runs())
    server.wait_for("more runs", lambda: len(runs()) >= count + 4)
    assert len(set(runs()[count:])) == 1
    assert server.stop() == 0
    assert server.worker_pids() == set()


def test_the_prefetcher_also_runs_without_workers(
    live_program: Start, tmp_path: Path
) -> None:
    conf, diary = tmp_path / "x.conf", tmp_path / "diary"
    options = f"diary = {diary}\nworkers = 0"
    conf.write_text(SINGLE.format(folder=tmp_path, name="one", options=options))
    server = live_program("apps.stored", "--config-file", str(conf))
    server.wait_for("a run", diary.exists)
    assert {int(line) for line in diary.read_text().split()} == {server.pid}
    assert server.stop() == 0


def test_cache_images_runs_the_prefetcher_once() -> None:
    from wsgi_server import PosixServer

    ran: list[str] = []

    class Prefetcher:
        def run(self) -> None:
            ran.append("run")

    server = PosixServer()
    server.prefetcher = Prefetcher()
    server.cache_images()
    server.prefetcher = lambda: ran.append("called")
    server.cache_images()
    assert ran == ["run", "called"]


def test_without_glance_there_is_no_prefetcher() -> None:
    with pytest.raises(StoreError, match="install glance"):
        stores.find_prefetcher()
    assert StoreError("x").exit_status is ExitStatus.CONFIG


def test_a_glance_that_misses_a_library_is_not_taken_for_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "glance" / "image_cache"
    folder.mkdir(parents=True)
    for package in (folder.parent, folder):
        (package / "__init__.py").write_text("")
    (folder / "prefetcher.py").write_text("import nosuch_library\n")
    for name in [name for name in sys.modules if name.partition(".")[0] == "glance"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="nosuch_library"):
        stores.find_prefetcher()
    for name in [name for name in sys.modules if name.partition(".")[0] == "glance"]:
        del sys.modules[name]
