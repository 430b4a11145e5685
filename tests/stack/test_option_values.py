"""Values that name other values, and empty ones, with the drop-ins as with the server."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

PROGRAM = """
import json, logging, sys
from oslo_config import cfg
from wsgi_stack import {service} as wsgi

logging.basicConfig(level=logging.INFO)


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"served"]


cfg.CONF(["--config-file", sys.argv[1]])
"""
SERVERS = {
    "glance": "wsgi.Server(threads=10)",
    "heat": "wsgi.Server('heat-api', cfg.CONF.heat_api)",
}
#: The section that holds the options of each, and a count of workers that forks.
SECTIONS = {"glance": ("DEFAULT", 1), "heat": ("heat_api", 2)}
SERVE = """
server = {server}
server.start(app, 0)
server.wait()
"""
REFUSED = """
try:
    {server}.start(app, 0)
except Exception as exc:
    print(json.dumps([type(exc).__name__, str(exc)]))
"""


def program(service: str, rest: str) -> str:
    text = PROGRAM.format(service=service) + rest
    return text.replace("{server}", SERVERS[service])


def written(folder: Path, service: str, lines: str, **others: str) -> str:
    """A file with `lines` in the section of the service, and other sections."""
    section, workers = SECTIONS[service]
    path = folder / "service.conf"
    own = f"bind_host = 127.0.0.1\nbind_port = 0\nworkers = {workers}\n{lines}"
    text = "[DEFAULT]\n" + others.pop("DEFAULT", "")
    text += own if section == "DEFAULT" else f"[{section}]\n{own}"
    path.write_text(text + "".join(f"[{k}]\n{v}" for k, v in others.items()))
    return str(path)


@pytest.mark.parametrize("service", SERVERS)
def test_a_certificate_may_be_named_by_another_value(
    serving: Any, certificate: Any, tmp_path: Path, service: str
) -> None:
    folder = Path(certificate["cert_file"]).parent
    names = {name: Path(path).name for name, path in certificate.items()}
    lines = "".join(f"{name} = $tls_dir/{file}\n" for name, file in names.items())
    file = written(tmp_path, service, lines, DEFAULT=f"tls_dir = {folder}\n")
    server = serving(program(service, SERVE), file)
    assert server.url.startswith("https://")
    context = ssl.create_default_context(cafile=certificate["cert_file"])
    with (
        server.connect() as plain,
        context.wrap_socket(plain, server_hostname="localhost") as client,
    ):
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("service", SERVERS)
@pytest.mark.parametrize("where", ["its own", "ours"])
def test_a_name_that_nobody_defines_is_a_runtime_error(
    run_program: Any, tmp_path: Path, service: str, where: str
) -> None:
    if where == "its own":
        file = written(tmp_path, service, "cert_file = $tls_dir/cert.pem\n")
    else:
        file = written(tmp_path, service, "", wsgi_server="tls_ciphers = $nosuch\n")
    kind, message = run_program(program(service, REFUSED), file)
    assert kind == "RuntimeError"
    assert "is defined nowhere" in message


@pytest.mark.parametrize("service", SERVERS)
def test_empty_values_are_none(serving: Any, tmp_path: Path, service: str) -> None:
    names = ("backlog", "tcp_keepidle", "max_header_line", "cert_file", "key_file")
    empty = "".join(f"{name} =\n" for name in names)
    file = written(
        tmp_path,
        service,
        empty,
        eventlet_opts="client_socket_timeout =\n",
        wsgi_server="max_headers =\ngraceful_timeout =\nheader_timeout =\n",
    )
    server = serving(program(service, SERVE), file)
    assert server.get("/").text == "served"
    server.stop()


def test_an_empty_size_of_bodies_is_the_default_size(heat: Any) -> None:
    heat.cfg.CONF.set_override("max_json_body_size", None)
    assert heat.JSONRequestDeserializer().max_json_body_size == 1048576
    assert heat.JSONRequestDeserializer().from_json(b"{}") == {}
