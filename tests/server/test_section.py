"""The section `[wsgi_server]`: our options beside those that a service has itself."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import live
import pytest
from oslo_config import cfg
from wsgi_server._config.settings import Settings
from wsgi_server.errors import ConfigError, ExitStatus

Start = Callable[..., live.LiveServer]
Read = Callable[[str], cfg.ConfigOpts]


@pytest.fixture
def service(tmp_path: Path) -> Read:
    """A service with one option of a name that is ours as well, and its files read."""

    def read(text: str) -> cfg.ConfigOpts:
        path = tmp_path / "service.conf"
        path.write_text(text)
        conf = cfg.ConfigOpts()
        conf.register_opt(cfg.IntOpt("backlog", default=5))
        conf.register_opt(cfg.IntOpt("backlog", default=6), group="api")
        conf(["--config-file", str(path)], project="service")
        return conf

    return read


def settings(conf: object) -> Settings:
    return Settings.from_conf(conf, default_port=0)


def test_what_the_service_has_not_stands_in_the_section(service: Read) -> None:
    conf = service(
        "[wsgi_server]\nengine = threads\nkeepalive_timeout = 7\nbind = unix:/x\n"
    )

    found = settings(conf)
    assert (found.engine, found.threads) == ("threads", 32)
    assert found.keepalive_timeout == 7
    assert [str(address) for address in found.binds] == ["unix:/x"]
    assert found.header_timeout == 10


def test_the_services_conf_never_hears_of_it(service: Read) -> None:
    conf = service("[wsgi_server]\nengine = threads\n")
    settings(conf)

    assert "engine" not in conf
    assert "wsgi_server" not in conf


def test_what_the_service_has_is_the_services(service: Read) -> None:
    conf = service("[wsgi_server]\nbacklog = 7\nengine = threads\n")

    assert settings(conf).backlog == 5
    assert settings(conf.api).backlog == 6
    assert settings(conf.api).engine == "threads"


def test_a_value_that_does_not_fit_is_named(service: Read) -> None:
    conf = service("[wsgi_server]\nengine = steam\n")

    with pytest.raises(ConfigError, match=r"option engine: .*service\.conf.*steam"):
        settings(conf)


def test_the_environment_speaks_for_it_too(
    service: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OS_WSGI_SERVER__ENGINE", "threads")

    assert settings(service("")).engine == "threads"


def test_it_is_what_the_service_has_read_even_where_files_change_meanwhile(
    service: Read, tmp_path: Path
) -> None:
    conf = service("[wsgi_server]\nkeepalive_timeout = 7\n")
    (tmp_path / "service.conf").write_text("[wsgi_server]\nkeepalive_timeout = 8\n")
    assert settings(conf).keepalive_timeout == 7

    assert conf.reload_config_files()
    assert settings(conf).keepalive_timeout == 8


def test_a_service_that_read_no_file_has_our_defaults() -> None:
    assert settings(cfg.ConfigOpts()).engine == "eventlet"


PROGRAM = """
import logging, sys
from oslo_config import cfg
import wsgi_server

cfg.CONF.register_opts([
    cfg.HostAddressOpt("bind_host", default="127.0.0.1"),
    cfg.PortOpt("bind_port", default=0),
    cfg.IntOpt("workers", default=1),
])


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"green" if "eventlet" in sys.modules else b"native"]


logging.basicConfig(level=logging.INFO)
cfg.CONF(sys.argv[1:], project="service")
server = wsgi_server.Server()
server.start(app, default_port=0)
sys.exit(server.wait())
"""


@pytest.mark.forks
def test_a_service_changes_engines_with_one_line_and_a_reload(
    live_program: Start, tmp_path: Path
) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    conf = tmp_path / "service.conf"
    conf.write_text("")
    server = live_program("program", "--config-file", str(conf))
    assert server.get().text == "green"

    conf.write_text("[wsgi_server]\nengine = threads\n")
    server.send(signal.SIGHUP)
    server.wait_for_log("generation 2 serves")
    server.wait_for("native threads", lambda: server.get().text == "native")

    conf.write_text("[wsgi_server]\nengine = steam\n")
    server.send(signal.SIGHUP)
    server.wait_for_log("reload failed: option engine: .*steam")
    assert server.get().text == "native"

    conf.write_text("[wsgi_server]\ncert_file = $nosuch/cert.pem\n")
    server.send(signal.SIGHUP)
    server.wait_for_log(r"reload failed: option cert_file: \$nosuch")
    assert server.get().text == "native"

    conf.write_text("[wsgi_server]\nmax_headers =\ngraceful_timeout =\n")
    server.send(signal.SIGHUP)
    server.wait_for("greenlets again", lambda: server.get().text == "green")
    assert server.stop() == 0


@pytest.mark.forks
@pytest.mark.parametrize(
    ("workers", "reason"), [(0, "restart it"), (1, r"eventlet\.monkey_patch\(\)")]
)
def test_threads_that_would_be_greenlets_are_refused(
    live_program: Start, tmp_path: Path, workers: int, reason: str
) -> None:
    (tmp_path / "program.py").write_text(
        f"import eventlet\neventlet.monkey_patch()\n{PROGRAM}"
    )
    conf = tmp_path / "service.conf"
    text = f"[DEFAULT]\nworkers = {workers}\n[wsgi_server]\nengine = %s\n"
    conf.write_text(text % "threads")
    refused = live_program("program", "--config-file", str(conf), listens=False)
    assert refused.wait() != ExitStatus.OK
    assert "eventlet.monkey_patch()" in refused.log()

    conf.write_text(text % "eventlet")
    server = live_program("program", "--config-file", str(conf))
    assert server.get().text == "green"
    conf.write_text(text % "threads")
    server.send(signal.SIGHUP)
    server.wait_for_log(f"reload failed: .*engine = threads: .*{reason}")
    assert server.get().text == "green"


@pytest.mark.forks
@pytest.mark.parametrize("engine", ["threads"])
def test_an_application_that_makes_its_threads_greenlets_is_refused(
    live_server: Start, engine: str
) -> None:
    server = live_server("apps.patched:app", listens=False)

    assert server.wait() == ExitStatus.CONFIG
    assert "take the call out" in server.log()
