"""Listening sockets: what is bound, kept, inherited, refused and removed."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import live
import pytest
from oslo_config import cfg
from server.process.support import Service, answer, reload
from wsgi_server._config.settings import Settings
from wsgi_server._net.binding import AddressInUse
from wsgi_server._net.listeners import (
    Inheritance,
    Listener,
    open_listeners,
    reconfigure,
)
from wsgi_server.errors import BindError, ConfigError
from wsgi_server.opts import register_opts


def settings(*binds: str, **values: Any) -> Settings:
    conf = cfg.ConfigOpts()
    register_opts(conf)
    conf([], default_config_files=[], default_config_dirs=[])
    return Settings.from_conf(conf, bind=list(binds), **values)


@pytest.mark.parametrize(
    ("missing", "bind", "values", "message"),
    [
        ("SO_REUSEPORT", "127.0.0.1:0", {"reuse_port": True}, "reuse_port is set: "),
        ("AF_UNIX", "unix:/run/x.sock", {}, "bind = unix:/run/x.sock: "),
    ],
)
def test_what_a_system_lacks_is_said(
    monkeypatch: pytest.MonkeyPatch,
    missing: str,
    bind: str,
    values: dict[str, object],
    message: str,
) -> None:
    monkeypatch.delattr(socket, missing)
    with pytest.raises(ConfigError, match=message + "this system has no "):
        settings(bind, **values)


@pytest.fixture
def opened() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


def listen(
    stack: contextlib.ExitStack, *binds: str, **values: object
) -> list[Listener]:
    listeners = open_listeners(settings(*binds, **values))
    for listener in listeners:
        stack.callback(listener.close)
    return listeners


def connects(listener: Listener) -> bool:
    with socket.socket(listener.family) as client:
        client.settimeout(2)
        client.connect(listener.sock.getsockname())
    return True


def test_a_tcp_address_is_bound_with_the_options_that_clients_inherit(
    opened: contextlib.ExitStack,
) -> None:
    (listener,) = listen(opened, "127.0.0.1:0", tcp_keepidle=77)
    port = listener.sock.getsockname()[1]
    assert listener.address == f"127.0.0.1:{port}"
    assert listener.url == f"http://127.0.0.1:{port}"
    assert not listener.sock.getblocking()
    with socket.create_connection(("127.0.0.1", port)):
        server, _ = listener.sock.accept()
        with server:
            assert server.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert server.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert server.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 77


def test_reconfigure_changes_the_options_of_a_socket_that_listens(
    opened: contextlib.ExitStack,
) -> None:
    (listener,) = listen(opened, "127.0.0.1:0", tcp_keepidle=77)
    reconfigure(listener, settings("127.0.0.1:0", tcp_keepidle=88, backlog=5))
    with socket.create_connection(listener.sock.getsockname()):
        server, _ = listener.sock.accept()
        with server:
            assert server.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 88


def test_ipv6_is_bound_and_shown_in_brackets(opened: contextlib.ExitStack) -> None:
    (listener,) = listen(opened, "[::1]:0")
    assert re.fullmatch(r"http://\[::1\]:\d+", listener.url)
    assert connects(listener)


def test_a_name_with_several_addresses_is_bound_on_each_with_one_port(
    opened: contextlib.ExitStack,
) -> None:
    hosts = {info[4][0] for info in socket.getaddrinfo("localhost", 0)}
    listeners = listen(opened, "localhost:0")
    assert {item.sock.getsockname()[0] for item in listeners} == hosts
    assert len({item.sock.getsockname()[1] for item in listeners}) == 1
    assert all(map(connects, listeners))


def test_both_wildcards_can_be_bound_on_one_port(opened: contextlib.ExitStack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    listeners = listen(opened, f"0.0.0.0:{port}", f"[::]:{port}")
    assert len(listeners) == 2


def test_a_port_in_use_is_worth_another_attempt(opened: contextlib.ExitStack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(
            AddressInUse, match=rf"127\.0\.0\.1:{port}: address already"
        ):
            listen(opened, f"127.0.0.1:{port}")
    (listener,) = listen(opened, f"127.0.0.1:{port}")
    assert connects(listener)


def test_nothing_stays_open_when_one_of_several_fails() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        free = probe.getsockname()[1]
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with pytest.raises(AddressInUse):
            open_listeners(settings(f"127.0.0.1:{free}", f"127.0.0.1:{taken}"))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", free), 1)


def test_an_address_that_the_machine_does_not_have_is_an_error(
    opened: contextlib.ExitStack,
) -> None:
    # RFC 5737: reserved for documentation, so nobody has it.
    with pytest.raises(BindError, match=r"192\.0\.2\.1:80.*no such address"):
        listen(opened, "192.0.2.1:80")


def test_a_name_that_does_not_resolve_is_an_error(opened: contextlib.ExitStack) -> None:
    with pytest.raises(BindError, match=r"cannot bind .*is the host name right\?"):
        listen(opened, "does-not-exist.invalid:80")


def test_reuse_port_lets_another_server_listen(opened: contextlib.ExitStack) -> None:
    (first,) = listen(opened, "127.0.0.1:0", reuse_port=True)
    (second,) = listen(opened, first.address, reuse_port=True)
    assert first.address == second.address


def test_a_reload_keeps_the_sockets_it_still_wants(
    opened: contextlib.ExitStack, tmp_path: Path
) -> None:
    path = f"unix:{tmp_path / 's'}"
    present = listen(opened, "127.0.0.1:0", path)
    again = open_listeners(settings(path, "127.0.0.1:0"), present=present)
    assert [item.sock for item in again] == [present[1].sock, present[0].sock]


def test_a_unix_socket_has_its_mode_and_goes_with_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "s"
    (listener,) = open_listeners(settings(f"unix:{path}", unix_socket_mode="0600"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (listener.address, listener.url) == (f"unix:{path}", f"unix:{path}")
    assert connects(listener)
    reconfigure(listener, settings(f"unix:{path}", unix_socket_mode="0666"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o666
    listener.close()
    assert not path.exists()


def test_an_abstract_unix_socket_leaves_no_file(opened: contextlib.ExitStack) -> None:
    (listener,) = listen(opened, f"unix:@wsgi-server-test-{os.getpid()}")
    assert listener.address == f"unix:@wsgi-server-test-{os.getpid()}"
    assert connects(listener)


def test_a_stale_socket_file_is_replaced(
    opened: contextlib.ExitStack, tmp_path: Path
) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    (listener,) = listen(opened, f"unix:{path}")
    assert connects(listener)


def test_a_socket_file_that_somebody_listens_on_is_left_alone(
    opened: contextlib.ExitStack, tmp_path: Path
) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        with pytest.raises(AddressInUse):
            listen(opened, f"unix:{path}")
        assert path.exists()


def test_a_file_that_is_no_socket_is_left_alone(
    opened: contextlib.ExitStack, tmp_path: Path
) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(BindError, match="a file that is no socket is in the way"):
        listen(opened, f"unix:{path}")
    assert path.read_text() == "precious"


def test_the_file_of_a_successor_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    (listener,) = open_listeners(settings(f"unix:{path}"))
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        listener.close()
        assert path.exists()


def test_closing_twice_does_not_remove_the_file_of_the_next_one(
    opened: contextlib.ExitStack, tmp_path: Path
) -> None:
    path = tmp_path / "s"
    (first,) = open_listeners(settings(f"unix:{path}"))
    first.close()
    (second,) = listen(opened, f"unix:{path}")
    # A file system may give the number of a file that is gone to the next one.
    if first.file is not None:
        first.file = second.file
    first.close()
    assert connects(second)


def test_another_process_does_not_remove_the_file(tmp_path: Path) -> None:
    path = tmp_path / "s"
    (listener,) = open_listeners(settings(f"unix:{path}"))
    stranger = replace(listener, owner=os.getpid() + 1, sock=listener.sock.dup())
    stranger.close()
    assert path.exists()
    listener.close()
    assert not path.exists()


@pytest.mark.parametrize("replaced", [False, True])
def test_a_socket_whose_file_is_gone_is_bound_anew(
    opened: contextlib.ExitStack, tmp_path: Path, replaced: bool
) -> None:
    path = tmp_path / "s"
    (old,) = listen(opened, f"unix:{path}")
    # Kept elsewhere, so that its inode is not given to the next file.
    path.rename(tmp_path / "moved")
    if replaced:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
    (new,) = open_listeners(settings(f"unix:{path}"), present=[old])
    opened.callback(new.close)
    assert new.sock is not old.sock
    assert connects(new)
    # Whatever inode the new file has, the old one leaves it alone.
    old.file = new.file
    old.close()
    assert connects(new)


def test_a_predecessors_socket_whose_file_is_gone_is_bound_anew(
    opened: contextlib.ExitStack, tmp_path: Path
) -> None:
    path = tmp_path / "s"
    (old,) = listen(opened, f"unix:{path}")
    path.unlink()
    inheritance = Inheritance(predecessor={f"api {old.key}": os.dup(old.sock.fileno())})
    (new,) = open_listeners(
        settings(f"unix:{path}"), name="api", inheritance=inheritance
    )
    opened.callback(new.close)
    assert connects(new)


def test_a_descriptor_can_be_inherited(opened: contextlib.ExitStack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as outer:
        fd = os.dup(outer.fileno())
        (listener,) = listen(opened, f"fd://{fd}")
        assert listener.sock.fileno() == fd
        assert connects(listener)


def test_passed_sockets_have_the_options_that_clients_inherit(
    opened: contextlib.ExitStack,
) -> None:
    outer = opened.enter_context(socket.create_server(("127.0.0.1", 0)))
    fd = os.dup(outer.fileno())
    (listener,) = listen(opened, f"fd://{fd}", tcp_keepidle=77)
    assert listener.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert listener.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 77


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_descriptor_that_does_not_listen_is_refused(
    opened: contextlib.ExitStack, kind: socket.SocketKind
) -> None:
    with (
        socket.socket(socket.AF_INET, kind) as idle,
        pytest.raises(ConfigError, match="is not a listening stream socket"),
    ):
        listen(opened, f"fd://{idle.fileno()}")


def test_a_descriptor_that_is_not_open_is_refused(opened: contextlib.ExitStack) -> None:
    with pytest.raises(BindError, match="descriptor 987: Bad file descriptor"):
        listen(opened, "fd://987")


def test_systemd_sockets_are_taken_all_or_by_name() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as api,
        socket.create_server(("127.0.0.1", 0)) as admin,
    ):
        passed = [("api", os.dup(api.fileno())), ("admin", os.dup(admin.fileno()))]
        (named,) = open_listeners(
            settings("systemd:admin"), inheritance=Inheritance(passed)
        )
        assert named.sock.getsockname() == admin.getsockname()
        named.close()
        passed = [("api", os.dup(api.fileno())), ("admin", os.dup(admin.fileno()))]
        both = open_listeners(settings("systemd"), inheritance=Inheritance(passed))
        assert [item.sock.getsockname() for item in both] == [
            api.getsockname(),
            admin.getsockname(),
        ]
        for listener in both:
            listener.close()


def test_systemd_sockets_are_for_this_process_alone_and_can_be_taken_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as api:
        os.set_inheritable(api.fileno(), True)
        inheritance = Inheritance([("api", api.fileno()), ("absent", 987)])
        assert not os.get_inheritable(api.fileno())
        for _ in range(2):
            (listener,) = open_listeners(
                settings("systemd:api"), inheritance=inheritance
            )
            assert connects(listener)
            listener.close()
        with pytest.raises(BindError, match="descriptor 987: Bad file descriptor"):
            open_listeners(settings("systemd:absent"), inheritance=inheritance)


def test_a_systemd_socket_that_was_not_passed_is_an_error() -> None:
    with pytest.raises(BindError, match="no such socket was passed by systemd"):
        open_listeners(settings("systemd:absent"), inheritance=Inheritance([]))


@pytest.mark.forks
def test_one_application_answers_on_several_binds(
    service: Service, tmp_path: Path
) -> None:
    path = tmp_path / "s"
    service.configure(bind=["127.0.0.1:0", "[::1]:0", f"unix:{path}"])
    server = service.start()
    server.wait_for_log(re.escape(f"listening on unix:{path}"))
    urls = re.findall(r"listening on (http\S+)", server.log())
    assert len(urls) == 2
    for url in urls:
        server.url = url
        assert answer(server)["version"] == "one"
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert server.stop() == 0
    assert not path.exists()


@pytest.mark.forks
def test_a_bind_can_be_added_and_removed_by_a_reload(
    service: Service, tmp_path: Path
) -> None:
    path = tmp_path / "s"
    service.configure(bind=["127.0.0.1:0"])
    server = service.start()
    service.configure(bind=["127.0.0.1:0", f"unix:{path}"])
    reload(server)
    assert path.is_socket()
    service.configure(bind=["127.0.0.1:0"])
    reload(server)
    assert not path.exists()
    assert answer(server)["version"] == "one"


@pytest.mark.forks
@pytest.mark.parametrize("workers", [2, 0])
def test_a_reload_makes_a_socket_file_that_somebody_removed(
    service: Service, tmp_path: Path, workers: int
) -> None:
    path = tmp_path / "s"
    service.configure(bind=["127.0.0.1:0", f"unix:{path}"], workers=workers)
    server = service.start()
    path.unlink()
    reload(server)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b'"version": "one"' in b"".join(iter(lambda: client.recv(4096), b""))
    assert f"the file of unix:{path} is gone; it is bound anew" in server.log()
    assert server.stop() == 0
    assert not path.exists()


@pytest.mark.forks
def test_socket_activation_passes_listening_sockets(
    service: Service, tmp_path: Path
) -> None:
    service.configure(bind="systemd:api")
    # What systemd does: sockets from descriptor 3 on, and the pid of the very process.
    starter = tmp_path / "starter.py"
    starter.write_text(
        "import os, socket, sys\n"
        "s = socket.create_server(('127.0.0.1', 0))\n"
        "os.dup2(s.fileno(), 3)\n"
        "os.set_inheritable(3, True)\n"
        "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1',"
        " LISTEN_FDNAMES='api')\n"
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])\n"
    )
    stderr = tmp_path / "activated.stderr"
    command = live.command_line("application:app", "--config-file", str(service.config))
    with stderr.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, str(starter), *command[1:]],
            cwd=tmp_path,
            env=live.environment(),
            stdin=subprocess.DEVNULL,
            stderr=errors,
        )
    server = live.LiveServer(process, tmp_path, stderr, stderr)
    service.servers.append(server)
    server.url = server.wait_for_log(r"listening on (\S+)").group(1)
    assert answer(server)["version"] == "one"
    server.send(signal.SIGHUP)
    server.wait_for_log("generation 2 serves")
    assert answer(server)["version"] == "one"
    # One that is given up may be asked for again.
    service.configure(bind="127.0.0.1:0")
    reload(server)
    service.configure(bind="systemd:api")
    reload(server)
    server.wait_for_log("generation 4 serves")
    assert answer(server)["version"] == "one"
