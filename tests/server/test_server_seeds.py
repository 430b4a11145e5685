"""`BaseServer` and `PosixServer`: every method of the seeds, called as services call it."""

from __future__ import annotations

import http.client
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import live
import pytest
import tools
import wsgi_server
from apps.service import OPTIONS as service_options
from oslo_config import cfg
from wsgi_server import BaseServer, PosixServer, Server, opts
from wsgi_server._config.settings import DEFAULT_THREADS
from wsgi_server.errors import BindError, ConfigError, ExitStatus, ServerError

pytestmark = pytest.mark.forks

Start = Callable[..., live.LiveServer]
#: The options that a service of the seeds has, and two of ours.
OPTIONS = [
    *service_options,
    cfg.StrOpt("access_log", default=""),
    cfg.FloatOpt("graceful_timeout", default=10),
]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Service:
    """A configuration file, the `ConfigOpts` that read it, and a server on it."""

    def __init__(self, directory: Path, kind: type[PosixServer]) -> None:
        self.file = directory / "service.conf"
        self.kind = kind
        self.conf = cfg.ConfigOpts()
        self.conf.register_opts(OPTIONS)
        self.servers: list[PosixServer] = []

    def write(self, **options: object) -> None:
        lines = [f"{name} = {value}" for name, value in options.items()]
        self.file.write_text("\n".join(["[DEFAULT]", *lines]) + "\n")

    def server(self, **options: object) -> PosixServer:
        """A server whose configuration file says `options`."""
        self.write(**options)
        self.conf(["--config-file", str(self.file)])
        server = self.kind(conf=self.conf, name="service")
        self.servers.append(server)
        return server

    def start(self, **options: object) -> PosixServer:
        server = self.server(**options)
        server.start(self.app, 0)
        return server

    def app(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        body = f"{self.conf.greeting} {os.getpid()}".encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]


@pytest.fixture
def kind() -> type[PosixServer]:
    return PosixServer


@pytest.fixture
def service(tmp_path: Path, kind: type[PosixServer]) -> Iterator[Service]:
    before = os.umask(0o022)
    here = Service(tmp_path, kind)
    yield here
    for server in here.servers:
        if server.running and server.sock is not None:
            server.kill_children()
            server.wait()
        assert not server.children | server.stale_children
    os.umask(before)
    assert not live.children_of(os.getpid())


def get(server: BaseServer) -> str:
    assert server.sock is not None
    host, port = server.sock.getsockname()
    client = http.client.HTTPConnection(host, port, timeout=live.PATIENCE)
    try:
        client.request("GET", "/")
        return client.getresponse().read().decode()
    finally:
        client.close()


def wait_for_greeting(server: BaseServer, greeting: str) -> None:
    """Until an old worker has stopped accepting it may still win a connection."""
    live.wait_until(greeting, lambda: get(server).split()[0] == greeting)


def test_the_platform_has_its_server() -> None:
    assert Server is PosixServer
    assert issubclass(wsgi_server.Win32Server, BaseServer)


def test_the_signature_is_that_of_the_seeds() -> None:
    before = os.umask(0o022)
    server = PosixServer(17, True, True)
    assert (server.threads, server.conf) == (17, cfg.CONF)
    assert (server.initialize_glance_store, server.initialize_prefetcher) == (
        True,
        True,
    )
    assert (server.children, server.stale_children) == (set(), set())
    assert (server.running, server.sock, server.urls) == (True, None, [])
    os.umask(before)


def test_the_base_is_abstract() -> None:
    with pytest.raises(TypeError, match="abstract"):
        BaseServer()  # type: ignore[abstract]
    assert BaseServer.__abstractmethods__ == {
        "kill_children",
        "run_child",
        "wait_on_children",
    }


def test_making_one_sets_the_umask() -> None:
    before = os.umask(0o022)
    try:
        PosixServer()
        assert os.umask(0o022) == 0o027
    finally:
        os.umask(before)


def test_start_forks_and_wait_serves_until_the_children_are_killed(
    service: Service,
) -> None:
    server = service.start(workers=2)
    assert len(server.children) == 2
    assert live.children_of(os.getpid()) == server.children
    greeting, pid = get(server).split()
    assert greeting == "hello"
    assert int(pid) in server.children
    children = server.children
    server.kill_children()
    assert server.wait() is ExitStatus.OK
    assert not any(map(live.is_alive, children))
    assert server.running is False


def test_the_default_port_stands_in_for_a_missing_one(service: Service) -> None:
    server = service.server(workers=1)
    port = free_port()
    server.start(service.app, port)
    assert server.sock is not None
    assert server.sock.getsockname() == ("127.0.0.1", port)
    assert server.urls == [f"http://127.0.0.1:{port}"]


def test_the_configured_port_wins_over_the_default_port(service: Service) -> None:
    port = free_port()
    server = service.server(workers=1, bind_port=port)
    server.start(service.app, free_port())
    assert server.urls == [f"http://127.0.0.1:{port}"]


def test_a_group_is_a_configuration(tmp_path: Path, service: Service) -> None:
    service.conf.register_opts(OPTIONS, group="heat_api")
    service.write()
    with service.file.open("a") as file:
        file.write(f"[heat_api]\nbind_port = {free_port()}\nbacklog = 77\n")
    service.conf(["--config-file", str(service.file)])
    server = PosixServer(conf=service.conf.heat_api, name="heat-api")
    service.servers.append(server)
    server.start(service.app, 0)
    assert server.stash_conf_values()["backlog"] == 77
    assert server.urls == [f"http://127.0.0.1:{service.conf.heat_api.bind_port}"]


def test_wait_replaces_workers_that_die(live_program: Start) -> None:
    server = live_program("apps.service")
    first = server.worker_pids()
    for pid in first:
        os.kill(pid, signal.SIGKILL)
    server.wait_for("another worker", lambda: server.worker_pids() - first)
    greeting, pid_text = server.get().text.split()
    assert greeting == "hello"
    assert int(pid_text) not in first
    assert server.stop() == ExitStatus.OK


def test_kill_children_spares_everybody_else_in_the_process_group(
    service: Service,
) -> None:
    bystander = os.fork()
    if bystander == 0:
        signal.pause()
        os._exit(0)
    try:
        server = service.start(workers=1)
        assert os.getpgid(bystander) == os.getpgid(next(iter(server.children)))
        server.kill_children()
        server.wait()
        assert live.is_alive(bystander)
    finally:
        os.kill(bystander, signal.SIGKILL)
        os.waitpid(bystander, 0)


def test_run_child_forks_one_more(service: Service) -> None:
    server = service.start(workers=1)
    first = server.children
    server.run_child()
    assert len(server.children) == 2
    assert first < server.children


def test_start_wsgi_forks_what_is_missing(service: Service) -> None:
    server = service.server(workers=2, bind_port=0)
    server.application = service.app
    server.configure()
    assert server.children == set()
    server.run_child()
    only = server.children
    server.start_wsgi()
    assert only < server.children
    assert len(server.children) == 2
    get(server)


def test_get_num_workers_is_a_hook(service: Service) -> None:
    class Twice(PosixServer):
        def get_num_workers(self) -> int:
            return 2 * super().get_num_workers()

    service.kind = Twice
    assert len(service.start(workers=1).children) == 2


def test_configure_socket_opens_one(service: Service) -> None:
    server = service.server(bind_port=0, backlog=7, tcp_keepidle=33)
    server.configure_socket()
    sock = server.sock
    assert sock is not None
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == 1
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 33


def reconfigure(server: PosixServer, service: Service, **options: object) -> None:
    """`configure_socket` as a service calls it after it has read its files anew."""
    old = server.stash_conf_values()
    service.write(**options)
    assert service.conf.reload_config_files()
    server.configure_socket(
        old, lambda name: getattr(service.conf, name, None) != old[name]
    )


def test_a_changed_port_is_opened_before_the_old_one_closes(service: Service) -> None:
    server = service.server(bind_port=free_port())
    server.configure_socket()
    old = server.sock
    new_port = free_port()
    reconfigure(server, service, bind_port=new_port)
    assert server.sock is not None
    assert server.sock.getsockname()[1] == new_port
    assert old is not None
    assert old.fileno() == -1


def test_a_port_in_use_leaves_the_old_socket(
    service: Service,
) -> None:
    port = free_port()
    server = service.server(bind_port=port)
    server.configure_socket()
    old = server.sock
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(BindError, match=f"127.0.0.1:{taken.getsockname()[1]}"):
            reconfigure(server, service, bind_port=taken.getsockname()[1])
        assert server.sock is old
        assert old is not None
        assert old.getsockname()[1] == port
    port = free_port()
    reconfigure(server, service, bind_port=port)
    assert server.sock is not None
    assert server.sock.getsockname()[1] == port


def test_backlog_and_keepidle_are_set_on_a_socket_that_stays(service: Service) -> None:
    port = free_port()
    server = service.server(bind_port=port, tcp_keepidle=600, backlog=1)
    server.configure_socket()
    old = server.sock
    assert old is not None
    number = old.fileno()
    reconfigure(server, service, bind_port=port, tcp_keepidle=44, backlog=9)
    assert server.sock is not None
    assert server.sock.fileno() == number
    assert server.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 44
    assert tools.listen_backlog(port) == 9


def test_an_option_that_does_not_fit_is_a_config_error(service: Service) -> None:
    server = service.server(bind_port=99999999)
    with pytest.raises(ConfigError, match="bind_port"):
        server.start(service.app, 0)
    assert server.children == set()


def test_reload_changes_over_to_workers_with_the_new_configuration(
    service: Service,
) -> None:
    server = service.start(workers=1, bind_port=free_port())
    old = server.children
    assert get(server).startswith("hello ")
    service.write(workers=2, bind_port=service.conf.bind_port, greeting="welcome")
    server.reload()
    assert len(server.children) == 2
    assert not server.children & old
    wait_for_greeting(server, "welcome")


def test_reload_moves_to_another_port(service: Service) -> None:
    server = service.start(workers=1, bind_port=free_port())
    port = free_port()
    service.write(workers=1, bind_port=port)
    server.reload()
    assert server.urls == [f"http://127.0.0.1:{port}"]
    assert get(server).startswith("hello ")


@pytest.mark.parametrize(
    "text",
    [
        "[DEFAULT]\nworkers = many\n",
        "[DEFAULT]\nworkers = -1\n",
        "workers outside of a section\n",
        "[DEFAULT]\nbacklog = 0\n",
        "[DEFAULT]\ngraceful_timeout = soon\n",
        None,
    ],
    ids=["type", "range", "syntax", "minimum", "seconds", "missing"],
)
def test_a_reload_that_fails_leaves_everything_as_it_was(
    service: Service, text: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    server = service.start(workers=1, bind_port=free_port())
    old, values = server.children, server.stash_conf_values()
    if text is None:
        service.file.unlink()
    else:
        service.file.write_text(text)
    server.reload()
    assert server.children == old
    assert server.stash_conf_values() == values
    assert get(server).startswith("hello ")
    (record,) = [r for r in caplog.records if "reload failed" in r.getMessage()]
    assert record.levelname == "ERROR"
    # A repaired file and another reload work.
    service.write(workers=1, bind_port=values["bind_port"], greeting="again")
    server.reload()
    wait_for_greeting(server, "again")


class Translated:
    """A configuration in other words, as a drop-in makes it for a group of options."""

    def __init__(self, group: Any) -> None:
        self._group = group

    def __getattr__(self, name: str) -> Any:
        return getattr(self._group, name)


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_group_is_read_again_and_comes_back_with_its_configuration(
    service: Service, wrapped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cfg, "CONF", service.conf)
    service.conf.register_opts(OPTIONS, group="api")
    port = free_port()

    def write(greeting: str, **options: object) -> None:
        lines = "".join(f"{name} = {value}\n" for name, value in options.items())
        service.file.write_text(
            f"[DEFAULT]\ngreeting = {greeting}\n[api]\nworkers = 1\n{lines}"
        )

    write("hello", bind_port=port)
    service.conf(["--config-file", str(service.file)])
    group: Any = service.conf.api
    server = PosixServer(conf=Translated(group) if wrapped else group)
    service.servers.append(server)
    server.start(service.app, 0)
    write("never", bind_port=port, bind_host="192.0.2.1")
    server.reload()
    assert (service.conf.greeting, group.bind_host) == ("hello", "127.0.0.1")
    write("welcome", bind_port=port)
    server.reload()
    wait_for_greeting(server, "welcome")


def test_an_address_that_cannot_be_bound_brings_the_old_values_back(
    service: Service,
) -> None:
    server = service.start(workers=1, bind_port=free_port())
    values = server.stash_conf_values()
    # Nobody's address (RFC 5737): an error at once, where one in use is tried again.
    service.write(workers=1, bind_host="192.0.2.1", greeting="never")
    server.reload()
    assert server.stash_conf_values() == values
    assert service.conf.greeting == "hello"
    assert get(server).startswith("hello ")


def test_an_address_in_use_is_tried_again_and_then_given_up(service: Service) -> None:
    server = service.server(workers=1, bind_port=free_port())
    server.bind_retry = 1.2  # seconds; the pauses between attempts are 0.5
    server.start(service.app, 0)
    values, old = server.stash_conf_values(), server.children
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        service.write(workers=1, bind_port=port, greeting="moved")
        server.reload()
        assert server.children == old
        assert server.stash_conf_values() == values
        assert service.conf.greeting == "hello"
    server.reload()
    assert server.urls == [f"http://127.0.0.1:{port}"]
    assert get(server).startswith("moved ")


def test_a_server_can_be_started_again(service: Service) -> None:
    server = service.start(workers=1, bind_port=free_port())
    server.kill_children()
    server.wait()
    assert (server.running, server.sock, server.children) == (False, None, set())
    server.start(service.app, 0)
    assert server.running
    assert get(server).startswith("hello ")


def test_preloading_does_not_bring_the_workers_life_into_the_parent(
    service: Service,
) -> None:
    service.conf.register_opt(cfg.BoolOpt("preload_app"))
    server = service.server(bind_port=0, preload_app=True)
    server.configure()
    assert service.conf.preload_app is True
    assert server._current().preload_app is False


def test_hup_notes_a_reload_and_wait_carries_it_out(
    live_program: Start, tmp_path: Path
) -> None:
    file = tmp_path / "service.conf"
    file.write_text("[DEFAULT]\ngreeting = hello\n")
    server = live_program("apps.service", "--config-file", str(file))
    old = server.worker_pids()
    assert server.get().text.startswith("hello ")
    file.write_text("[DEFAULT]\ngreeting = welcome\n")
    server.send(signal.SIGHUP)
    server.wait_for("a new generation", lambda: not old & server.worker_pids())
    server.wait_for("the new one", lambda: server.get().text.startswith("welcome "))


def test_hup_returns_at_once(service: Service) -> None:
    server = service.start(workers=1)
    old = server.children
    server.hup(signal.SIGHUP, None)
    assert server.children == old
    PosixServer(conf=cfg.ConfigOpts()).hup()


def test_configure_is_called_again_with_what_was_before(service: Service) -> None:
    calls: list[tuple[Any, Any]] = []

    class Watching(PosixServer):
        def configure(
            self, old_conf: Any = None, has_changed: Callable[[str], bool] | None = None
        ) -> None:
            known = has_changed and [has_changed("backlog"), has_changed("workers")]
            calls.append((old_conf and old_conf["backlog"], known))
            super().configure(old_conf, has_changed)

    service.kind = Watching
    server = service.start(workers=1, backlog=11, bind_port=free_port())
    service.write(workers=1, backlog=22, bind_port=service.conf.bind_port)
    server.reload()
    assert calls == [(None, None), (11, [True, False])]


def test_a_service_that_refuses_its_configuration_keeps_the_old_one(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    class Strict(PosixServer):
        def configure(self, old_conf: Any = None, has_changed: Any = None) -> None:
            super().configure(old_conf, has_changed)
            if self.conf.greeting == "rude":
                raise RuntimeError("mind your language")

    service.kind = Strict
    server = service.start(workers=1, bind_port=free_port())
    old = server.children
    service.write(workers=1, bind_port=service.conf.bind_port, greeting="rude")
    server.reload()
    assert server.children == old
    assert service.conf.greeting == "hello"
    assert "mind your language" in caplog.text


def test_create_pool_bounds_the_requests_of_a_worker(
    live_program: Start, tmp_path: Path
) -> None:
    diary = tmp_path / "diary"
    env = {"SERVICE_SERVER": "apps.servers:Small", "DIARY": str(diary)}
    server = live_program("apps.service", env=env)
    assert server.get().text.startswith("hello ")
    assert diary.read_text() == "3 3\n"


@pytest.mark.parametrize(
    ("engine", "argument", "option", "bound"),
    [
        ("eventlet", 1000, None, 1000),
        ("eventlet", 7, None, 7),
        ("eventlet", 7, 9, 9),
        ("threads", 1000, None, DEFAULT_THREADS["threads"]),
        ("threads", 7, None, 7),
        ("threads", 1000, 9, 9),
    ],
)
def test_threads_bound_the_requests_of_a_worker(
    engine: str, argument: int, option: int | None, bound: int
) -> None:
    conf = cfg.ConfigOpts()
    opts.register_opts(conf)
    conf([], default_config_files=[])
    conf.set_override("engine", engine)
    conf.set_override("threads", option)
    conf.set_override("bind_port", 0)
    server = PosixServer(argument, conf=conf)
    server._read_settings()
    assert server._current().threads == bound


@pytest.mark.parametrize("kind", ["Wrapped", "GreenWrapped"])
@pytest.mark.parametrize("workers", [0, 1])
def test_run_server_can_be_wrapped(
    live_program: Start, tmp_path: Path, kind: str, workers: int
) -> None:
    diary, conf = tmp_path / "diary", tmp_path / "service.conf"
    conf.write_text(f"[DEFAULT]\nworkers = {workers}\n")
    env = {"SERVICE_SERVER": f"apps.servers:{kind}", "DIARY": str(diary)}
    server = live_program("apps.service", "--config-file", str(conf), env=env)
    pid = server.get().text.split()[1]
    assert diary.read_text() == f"before {pid}\n"
    assert server.stop() == 0
    assert diary.read_text() == f"before {pid}\nafter {pid}\n"


@pytest.mark.parametrize(
    ("signum", "written"),
    [(signal.SIGTERM, "served\ncleared\n"), (signal.SIGINT, "cleared\n")],
)
def test_what_follows_in_run_server_is_left_out_where_the_worker_must_hurry(
    live_program: Start, tmp_path: Path, signum: signal.Signals, written: str
) -> None:
    diary = tmp_path / "diary"
    env = {"SERVICE_SERVER": "apps.servers:Tidy", "DIARY": str(diary)}
    server = live_program("apps.service", env=env)
    assert server.get().status == 200
    server.send(signum)
    assert server.wait() == ExitStatus.OK
    assert diary.read_text() == written


def test_a_worker_serves_once(live_program: Start) -> None:
    server = live_program("apps.service", env={"SERVICE_SERVER": "apps.servers:Twice"})
    assert server.get().status == 200
    assert server.stop() == ExitStatus.OK
    assert "RuntimeError: this worker has served and is to leave" in server.log()


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("Lazy", "run_server returned without calling super().run_server()"),
        ("Broken", "RuntimeError: broken before it served"),
    ],
)
def test_a_run_server_that_never_serves_is_an_error(
    live_program: Start, kind: str, reason: str
) -> None:
    env = {"SERVICE_SERVER": f"apps.servers:{kind}"}
    server = live_program("apps.service", env=env, listens=False)
    assert server.wait() == ExitStatus.LOAD
    assert reason in server.log()


@pytest.mark.parametrize("method", ["wait", "run_server"])
def test_no_workers_serve_in_the_process_itself(
    live_program: Start, tmp_path: Path, method: str
) -> None:
    file = tmp_path / "service.conf"
    file.write_text("[DEFAULT]\nworkers = 0\n")
    server = live_program(
        "apps.service", "--config-file", str(file), env={"SERVICE_WAITS_BY": method}
    )
    assert server.worker_pids() == set()
    assert server.get().text == f"hello {server.pid}"
    file.write_text("[DEFAULT]\nworkers = 0\ngreeting = welcome\n")
    server.send(signal.SIGHUP)
    server.wait_for("the new greeting", lambda: server.get().text[:7] == "welcome")
    assert server.stop() == 0


def test_without_workers_a_reload_that_fails_brings_the_old_values_back(
    live_program: Start, tmp_path: Path
) -> None:
    file = tmp_path / "service.conf"
    file.write_text("[DEFAULT]\nworkers = 0\n")
    server = live_program("apps.service", "--config-file", str(file))
    for broken in ("bind_host = 192.0.2.1", "bind_port = many"):
        count = server.log().count("reload failed")
        file.write_text(f"[DEFAULT]\nworkers = 0\ngreeting = never\n{broken}\n")
        server.send(signal.SIGHUP)
        server.wait_for(
            "the refusal", lambda: server.log().count("reload failed") > count
        )
        assert server.get().text == f"hello {server.pid}"


def test_set_signal_handler_installs_a_handler() -> None:
    caught: list[int] = []
    before = signal.getsignal(signal.SIGUSR1)
    try:
        BaseServer.set_signal_handler(
            "SIGUSR1", lambda signum, frame: caught.append(signum)
        )
        os.kill(os.getpid(), signal.SIGUSR1)
        assert caught == [signal.SIGUSR1]
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_set_signal_handler_ignores_what_the_platform_does_not_know() -> None:
    assert not hasattr(signal, "SIGNOTHING")
    PosixServer.set_signal_handler("SIGNOTHING", signal.SIG_IGN)


def test_the_programs_own_handlers_are_back_after_wait(service: Service) -> None:
    before = signal.getsignal(signal.SIGTERM)
    server = service.start(workers=1)
    assert signal.getsignal(signal.SIGTERM) is not before
    server.kill_children()
    server.wait()
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_methods_are_signal_handlers_as_well(live_program: Start) -> None:
    env = {"SERVICE_SERVER": "apps.servers:OldHabits"}
    server = live_program("apps.service", env=env)
    old = server.worker_pids()
    server.send(signal.SIGHUP)
    server.wait_for("a new generation", lambda: not old & server.worker_pids())
    assert server.stop() == 0


@pytest.mark.parametrize("method", ["wait", "reload", "kill_children", "run_child"])
def test_a_server_that_was_not_started_says_so(method: str) -> None:
    with pytest.raises(ServerError, match="was not started"):
        getattr(PosixServer(conf=cfg.ConfigOpts()), method)()


def test_stash_conf_values_knows_what_a_socket_is_made_of(service: Service) -> None:
    server = service.server(bind_port=1234, backlog=5)
    stash = server.stash_conf_values()
    assert stash["bind_host"] == "127.0.0.1"
    assert (stash["bind_port"], stash["backlog"], stash["tcp_keepidle"]) == (
        1234,
        5,
        600,
    )
    assert stash["cert_file"] is None
