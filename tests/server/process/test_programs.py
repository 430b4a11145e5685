"""The supervisor inside other programs: several services, monkey-patched, as PID 1."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import live
import pytest
import tools

pytestmark = pytest.mark.forks

Run = Callable[..., live.LiveServer]

#: What every program below has in common.
COMMON = """
import json, logging, os, signal, sys, threading, time
logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
from oslo_config import cfg
from wsgi_server._config.settings import Settings
from wsgi_server._process.supervisor import Supervisor
from wsgi_server._process.service import Service
from wsgi_server.opts import register_opts

def service(name, load=None, **values):
    conf = cfg.ConfigOpts()
    register_opts(conf)
    conf([], default_config_files=[], default_config_dirs=[])
    values = {"bind": ["127.0.0.1:0"], "workers": 1, "access_log": "", **values}
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"{name} {os.getpid()}".encode()]
    return Service(name, Settings.from_conf(conf, **values), load or (lambda: app))

def load_eventlet():
    import warnings
    with warnings.catch_warnings():
        # It warns of itself when it is imported.
        warnings.simplefilter("ignore")
        import eventlet
    return eventlet
"""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Run]:
    """Runs a program that supervises, given as text, and waits until it listens."""
    servers: list[live.LiveServer] = []

    def run(text: str, *prefix: str, listens: bool = True) -> live.LiveServer:
        path = tmp_path / "program.py"
        path.write_text(COMMON + text)
        stderr = tmp_path / "program.stderr"
        with stderr.open("wb") as errors:
            process = subprocess.Popen(
                [*prefix, sys.executable, "-W", "error", str(path)],
                cwd=tmp_path,
                env=live.environment(),
                stdin=subprocess.DEVNULL,
                stderr=errors,
            )
        server = live.LiveServer(process, tmp_path, stderr, stderr)
        servers.append(server)
        if listens:
            server.wait_for_log("listening on")
            server.urls = re.findall(r"listening on (\S+)", server.log())
            server.url = server.urls[0]
        return server

    with live.stopping(servers):
        yield run


def test_several_services_live_in_one_process_tree(program: Run) -> None:
    server = program("""
def configure():
    extra = os.path.exists("more")
    return [service("api", workers=2), service("cfn", workers=2 + extra)]
supervisor = Supervisor(configure)
supervisor.start()
sys.exit(supervisor.wait())
""")
    server.wait_for("both", lambda: server.log().count("listening on") == 2)
    urls = re.findall(r"listening on (\S+)", server.log())
    assert len(server.worker_pids()) == 4
    assert [_name(url) for url in urls] == ["api", "cfn"]
    old = server.worker_pids()
    (server.directory / "more").touch()
    server.send(signal.SIGHUP)
    server.wait_for_log("generation 2 serves")
    server.wait_for("the old ones' end", lambda: not old & server.worker_pids())
    assert len(server.worker_pids()) == 5
    assert [_name(url) for url in urls] == ["api", "cfn"]


def test_a_service_can_come_and_go_with_a_reload(program: Run) -> None:
    server = program("""
def configure():
    second = [service("second")] if os.path.exists("more") else []
    return [service("first"), *second]
supervisor = Supervisor(configure)
supervisor.start()
sys.exit(supervisor.wait())
""")
    more = server.directory / "more"
    more.touch()
    server.send(signal.SIGHUP)
    server.wait_for_log("service second is new")
    server.wait_for_log("generation 2 serves")
    url = re.findall(r"listening on (\S+)", server.log())[-1]
    assert _name(url) == "second"
    more.unlink()
    server.send(signal.SIGHUP)
    server.wait_for_log("service second is gone")
    server.wait_for_log("generation 3 serves")
    server.wait_for("one worker", lambda: len(server.worker_pids()) == 1)
    assert _name(server.url) == "first"
    with pytest.raises(OSError, match="refused"):
        _name(url)


def test_a_reload_whose_second_service_fails_changes_neither(program: Run) -> None:
    server = program("""
def fail():
    raise RuntimeError("the second one")
def configure():
    load = fail if os.path.exists("broken") else None
    return [service("first"), service("second", load)]
supervisor = Supervisor(configure)
supervisor.start()
sys.exit(supervisor.wait())
""")
    old = server.worker_pids()
    (server.directory / "broken").touch()
    server.send(signal.SIGHUP)
    server.wait_for_log(
        "reload failed: cannot load second: RuntimeError: the second one"
    )
    server.wait_for("only the old ones", lambda: server.worker_pids() == old)


def test_a_fault_of_the_program_while_it_reloads_changes_nothing(program: Run) -> None:
    server = program("""
def configure():
    if os.path.exists("broken"):
        {}["absent"]
    return [service("api")]
supervisor = Supervisor(configure)
supervisor.start()
status = supervisor.wait()
logging.info("accepted %d, given up %d", supervisor.reloads, supervisor.failed_reloads)
sys.exit(status)
""")
    broken = server.directory / "broken"
    broken.touch()
    server.send(signal.SIGHUP)
    server.wait_for_log("reload failed: KeyError: 'absent'")
    assert _name(server.url) == "api"
    broken.unlink()
    server.send(signal.SIGHUP)
    server.wait_for_log("generation 2 serves")
    assert server.stop() == 0
    assert "accepted 1, given up 1" in server.log()


def test_the_supervisor_outlives_a_fault_wherever_it_comes_in_its_loop(
    program: Run,
) -> None:
    server = program("""
supervisor = Supervisor(lambda: [service("api")])
supervisor.start()
deadline = supervisor._workers.deadline
def fail():
    if os.path.exists("broken"):
        raise RuntimeError("a fault")
    return deadline()
supervisor._workers.deadline = fail
sys.exit(supervisor.wait())
""")
    broken = server.directory / "broken"
    broken.touch()
    server.send(signal.SIGTTIN)
    server.wait_for_log("the supervisor stumbled; it goes on")
    assert _name(server.url) == "api"
    broken.unlink()
    server.send(signal.SIGHUP)
    server.wait_for_log("generation 2 serves")
    assert server.stop() == 0


def test_a_monkey_patched_program_can_supervise(program: Run) -> None:
    server = program("""
eventlet = load_eventlet()
eventlet.monkey_patch()
supervisor = Supervisor(lambda: [service("api", workers=2)])
supervisor.start()
# A hub of the program's own, which must not end up in the workers.
eventlet.sleep(0)
sys.exit(supervisor.wait())
""")
    assert _name(server.url) == "api"
    victim = min(server.worker_pids())
    os.kill(victim, signal.SIGKILL)
    server.wait_for_log(r"worker \d+ .* was killed by SIGKILL; it is replaced")
    server.wait_for("a replacement", lambda: server.log().count("ready after") == 3)
    server.send(signal.SIGHUP)
    server.wait_for_log("generation 2 serves")
    assert _name(server.url) == "api"


def test_a_program_patched_after_the_import_can_supervise(program: Run) -> None:
    server = program("""
supervisor = Supervisor(lambda: [service("api")])
eventlet = load_eventlet()
eventlet.monkey_patch()
supervisor.start()
sys.exit(supervisor.wait())
""")
    server.send(signal.SIGHUP)
    server.wait_for_log("generation 2 serves")
    assert _name(server.url) == "api"


def test_a_program_can_steer_the_supervisor_from_a_thread(program: Run) -> None:
    server = program("""
supervisor = Supervisor(lambda: [service("api", workers=2)])
supervisor.start()
def steer():
    while len(supervisor.children) < 2 or supervisor.phase.name != "SERVING":
        time.sleep(0.01)
    first = supervisor.children
    supervisor.reload()
    while supervisor.generation < 2 or supervisor.stale_children:
        time.sleep(0.01)
    assert supervisor.reloads == 1
    assert not first & supervisor.children
    os.kill(os.getpid(), signal.SIGTTIN)
    while len(supervisor.children) < 3:
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGTTOU)
    while len(supervisor.children) > 2:
        time.sleep(0.01)
    logging.info("steered %s", supervisor.urls)
    supervisor.stop()
steering = threading.Thread(target=steer)
import warnings
# Python 3.12 and later warn of a fork beside threads; this program knows.
warnings.simplefilter("ignore", DeprecationWarning)
steering.start()
status = supervisor.wait()
steering.join()
sys.exit(status)
""")
    server.wait_for_log("steered")
    assert server.wait() == 0


def test_the_program_gets_its_handlers_back(program: Run) -> None:
    server = program(
        """
seen = []
signal.signal(signal.SIGHUP, lambda *_: seen.append(1))
before = [signal.getsignal(s) for s in (signal.SIGHUP, signal.SIGTERM, signal.SIGCHLD)]
reader, writer = os.pipe()
os.set_blocking(writer, False)
signal.set_wakeup_fd(writer)
supervisor = Supervisor(lambda: [service("api")])
supervisor.start()
supervisor.stop()
assert supervisor.wait() == 0
after = [signal.getsignal(s) for s in (signal.SIGHUP, signal.SIGTERM, signal.SIGCHLD)]
assert before == after
assert signal.set_wakeup_fd(-1) == writer
os.kill(os.getpid(), signal.SIGHUP)
assert seen == [1]
logging.info("as before")
""",
        listens=False,
    )
    assert server.wait() == 0, server.log()
    assert "as before" in server.log()


def test_an_address_in_use_is_waited_for_when_the_program_says_so(
    program: Run,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        server = program(
            f"""
supervisor = Supervisor(lambda: [service("api", bind=["127.0.0.1:{port}"])])
supervisor.start()
sys.exit(supervisor.wait())
""",
            listens=False,
        )
        server.wait_for_log("address already in use .*; trying for 30 s")
    server.wait_for_log("listening on")
    assert server.log().count("already in use") == 1


def test_sigterm_is_obeyed_while_an_address_is_waited_for(program: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        server = program(
            f"""
from wsgi_server.errors import BootError
supervisor = Supervisor(lambda: [service("api", bind=["127.0.0.1:{port}"])])
try:
    supervisor.start()
except BootError as exc:
    logging.info("gave up: %s", exc)
""",
            listens=False,
        )
        server.wait_for_log("trying for 30 s")
        server.send(signal.SIGTERM)
        assert server.wait() == 0
    assert "gave up: stopped before every address was bound" in server.log()


def test_a_start_outside_the_main_thread_is_refused_in_words(program: Run) -> None:
    server = program(
        """
from wsgi_server.errors import ServerError
def go():
    try:
        Supervisor(lambda: [service("api")]).start()
    except ServerError as exc:
        logging.info("refused: %s", exc)
thread = threading.Thread(target=go)
thread.start()
thread.join()
""",
        listens=False,
    )
    assert server.wait() == 0
    assert "refused: the server must be started in the main thread" in server.log()


def test_an_orphans_process_is_reaped_by_a_server_that_is_pid_1(program: Run) -> None:
    unshare = [tools.need("unshare"), "--pid", "--fork", "--kill-child", "--mount-proc"]
    if subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no process namespaces here")
    server = program(
        """
def load():
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "application/json")])
        if environ["PATH_INFO"] == "/orphan":
            # The middle process ends at once: its child becomes a child of PID 1.
            os.system("sh -c 'exec 2>&1; true & sleep 0.1 & exit 0'")
        zombies = []
        for name in os.listdir("/proc"):
            if name.isdecimal():
                try:
                    state = open(f"/proc/{name}/stat").read().rpartition(")")[2].split()
                except OSError:
                    continue
                if state[0] == "Z":
                    zombies.append(int(name))
        return [json.dumps([os.getppid(), zombies]).encode()]
    return app
import warnings
warnings.simplefilter("ignore", ResourceWarning)
supervisor = Supervisor(lambda: [service("api", load, log_file=None, debug=True)])
logging.getLogger().setLevel(logging.DEBUG)
supervisor.start()
sys.exit(supervisor.wait())
""",
        *unshare,
    )
    parent, _ = json.loads(_read(server.url + "/orphan"))
    assert parent == 1
    server.wait_for_log(r"reaped process \d+, an orphan")
    server.wait_for("no zombies", lambda: json.loads(_read(server.url))[1] == [])
    # unshare passes no signals on; its end is the end of the namespace.
    server.process.kill()
    server.wait()


def test_importing_the_supervisor_loads_no_engine(tmp_path: Path) -> None:
    code = (
        "import sys, oslo_config.cfg\n"
        # Some versions of it load asyncio, by way of debtcollector and wrapt.
        "before = set(sys.modules) - {'eventlet', 'greenlet', 'webob'}\n"
        "import wsgi_server, wsgi_server._process.supervisor\n"
        "print(sorted({'eventlet', 'greenlet', 'ssl', 'asyncio', 'webob'} "
        "& (sys.modules.keys() - before)))\n"
    )
    shown = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        env=live.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == "[]\n"


def _read(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=live.PATIENCE) as response:
        body: bytes = response.read()
    return body


def _name(url: str) -> str:
    return _read(url).split()[0].decode()
