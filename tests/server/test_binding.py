"""The seeds' functions around one socket, on a configuration with the seeds' options."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest
import tools
import wsgi_server
from oslo_config import cfg
from wsgi_server import opts
from wsgi_server.errors import BindError, ConfigError


def conf(**values: Any) -> cfg.ConfigOpts:
    """A parsed `ConfigOpts` with a few of the seeds' options, and no others."""
    found = cfg.ConfigOpts()
    found.register_opts(
        [
            cfg.HostAddressOpt("bind_host", default="127.0.0.1"),
            cfg.PortOpt("bind_port"),
            cfg.IntOpt("backlog", default=4096),
            cfg.IntOpt("workers"),
            cfg.StrOpt("cert_file"),
            cfg.StrOpt("key_file"),
        ]
    )
    found([], default_config_files=[])
    for name, value in values.items():
        found.set_override(name, value)
    return found


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A certificate for localhost and its key, made by openssl."""
    cert, key = tools.self_signed(tmp_path_factory.mktemp("tls"))
    return {"cert_file": str(cert), "key_file": str(key)}


def test_the_address_comes_from_the_configuration() -> None:
    assert wsgi_server.get_bind_addr(conf(bind_port=5), 9292) == ("127.0.0.1", 5)


def test_the_default_port_stands_in_for_a_missing_one() -> None:
    assert wsgi_server.get_bind_addr(conf(), 9292) == ("127.0.0.1", 9292)
    assert wsgi_server.get_bind_addr(conf()) == ("127.0.0.1", None)


def test_port_zero_is_a_port() -> None:
    assert wsgi_server.get_bind_addr(conf(bind_port=0), 9292) == ("127.0.0.1", 0)


def test_options_that_are_not_registered_have_our_defaults() -> None:
    empty = cfg.ConfigOpts()
    assert wsgi_server.get_bind_addr(empty, 80) == ("0.0.0.0", 80)
    assert wsgi_server.get_num_workers(empty) >= 1


def test_the_global_configuration_is_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cfg, "CONF", conf(bind_port=7, workers=3))
    assert wsgi_server.get_bind_addr() == ("127.0.0.1", 7)
    assert wsgi_server.get_num_workers() == 3


@pytest.mark.parametrize("workers", [0, 1, 24])
def test_the_workers_that_are_configured(workers: int) -> None:
    assert wsgi_server.get_num_workers(conf(workers=workers)) == workers


def test_by_default_one_worker_for_each_cpu_but_eight_at_most() -> None:
    assert wsgi_server.get_num_workers(conf()) == min(8, len(os.sched_getaffinity(0)))


def test_a_value_that_does_not_fit_is_a_config_error(tmp_path: Path) -> None:
    file = tmp_path / "x.conf"
    file.write_text("[DEFAULT]\nworkers = many\n")
    broken = cfg.ConfigOpts()
    opts.register_opts(broken)
    broken(["--config-file", str(file)])
    with pytest.raises(ConfigError, match="workers"):
        wsgi_server.get_num_workers(broken)


def test_get_socket_listens() -> None:
    with wsgi_server.get_socket(conf(), 0) as sock:
        assert type(sock) is socket.socket
        assert sock.getblocking()
        client = socket.create_connection(sock.getsockname(), 5)
        accepted, _ = sock.accept()
        client.sendall(b"x")
        assert accepted.recv(1) == b"x"
        client.close()
        accepted.close()


def test_get_socket_needs_a_port() -> None:
    with pytest.raises(ConfigError, match="bind_port is not set"):
        wsgi_server.get_socket(conf())


def test_get_socket_waits_for_an_address_in_use() -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    address = taken.getsockname()
    # Frees the address while the other side retries; no order of the two can fail.
    freeing = threading.Timer(0.2, taken.close)
    freeing.start()
    try:
        with wsgi_server.get_socket(conf(bind_port=address[1])) as sock:
            assert sock.getsockname() == address
    finally:
        freeing.join()


def test_get_socket_gives_up_in_the_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BindError, match=f"cannot bind 127.0.0.1:{port}.*in use"):
            wsgi_server.get_socket(conf(bind_port=port), bind_retry=0.2)


def test_an_address_of_nobody_is_no_reason_to_wait() -> None:
    with pytest.raises(BindError, match=r"cannot bind 192\.0\.2\.1:80"):
        wsgi_server.get_socket(conf(bind_host="192.0.2.1"), 80)


def test_get_socket_speaks_tls_where_a_certificate_is_configured(
    pair: dict[str, str],
) -> None:
    with wsgi_server.get_socket(conf(**pair), 0) as listener:
        assert isinstance(listener, ssl.SSLSocket)
        assert listener.server_side
        # A client that never shakes hands holds nobody up.
        with socket.create_connection(listener.getsockname(), 5):
            silent, _ = listener.accept()
            talk(listener, pair["cert_file"])
            silent.close()


def test_ssl_wrap_socket_is_the_server_side(pair: dict[str, str]) -> None:
    plain = socket.create_server(("127.0.0.1", 0))
    with wsgi_server.ssl_wrap_socket(plain, conf(**pair)) as listener:
        assert plain.fileno() == -1
        assert listener.context.minimum_version >= ssl.TLSVersion.TLSv1_2
        talk(listener, pair["cert_file"])


def talk(listener: Any, authority: str) -> None:
    """A client of the standard library that verifies the certificate gets an answer."""
    statuses: list[int] = []

    def ask() -> None:
        context = ssl.create_default_context(cafile=authority)
        port = listener.getsockname()[1]
        raw = socket.create_connection(("127.0.0.1", port), 5)
        client = http.client.HTTPConnection("localhost", port)
        client.sock = context.wrap_socket(raw, server_hostname="localhost")
        client.request("GET", "/")
        statuses.append(client.getresponse().status)
        client.close()

    thread = threading.Thread(target=ask)
    thread.start()
    sock, _ = listener.accept()
    assert sock.recv(65536).startswith(b"GET / HTTP/1.1\r\n")
    sock.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
    thread.join()
    sock.close()
    assert statuses == [204]


def test_tls_needs_a_certificate() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as plain,
        pytest.raises(ConfigError, match="cert_file is not set"),
    ):
        wsgi_server.ssl_wrap_socket(plain, conf())


def test_a_certificate_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("nonsense")
    with pytest.raises(ConfigError, match=r"cert\.pem holds no PEM certificate"):
        wsgi_server.get_socket(conf(cert_file=str(tmp_path / "cert.pem")), 0)
