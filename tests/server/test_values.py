"""What is read of a configuration: names in values, and values that are empty."""

from __future__ import annotations

import signal
import ssl
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import live
import pytest
import tools
from oslo_config import cfg
from wsgi_server import _options, cli, opts, stores
from wsgi_server._command import configuration, paste_runner
from wsgi_server._command.arguments import parse
from wsgi_server._config.settings import Settings
from wsgi_server.errors import ConfigError, ExitStatus

Start = Callable[..., live.LiveServer]

HELLO = "apps.hello:app"


def by_the_command(folder: Path, text: str, *arguments: str) -> Settings:
    """The settings of a command with `text` as its file."""
    (folder / "server.conf").write_text(text)
    file = ("--config-file", str(folder / "server.conf"))
    return configuration.read(parse([HELLO, *file, *arguments]))[0].settings


def service(folder: Path, text: str) -> cfg.ConfigOpts:
    """The configuration of a service that has some options of its own."""
    (folder / "service.conf").write_text(text)
    conf = cfg.ConfigOpts()
    own = [cfg.StrOpt("state_path", default="/var/own"), cfg.StrOpt("key_file")]
    conf.register_opts([*own, cfg.StrOpt("lock_path", default="$state_path/lock")])
    conf.register_opts([cfg.StrOpt("pid_file"), cfg.IntOpt("backlog")], group="api")
    conf(["--config-file", str(folder / "service.conf")], project="service")
    return conf


class Wrapper:
    """A configuration in other words, which reads another."""

    def __init__(self, conf: Any) -> None:
        self._read = conf

    def __getattr__(self, name: str) -> Any:
        return getattr(self._read, name)


# Of a service's options, and of those in the section of ours.
NAMES = [
    ("a name that only the file has", "dir = /x", "$dir/p", "/x/p"),
    ("in braces", "dir = /x", "${dir}p", "/xp"),
    ("a name in a name", "dir = $top/x\ntop = /t", "$dir/p", "/t/x/p"),
    ("an option of the service", "state_path = /s", "$state_path/p", "/s/p"),
    ("its default", "", "$state_path/p", "/var/own/p"),
    ("a default with a name in it", "", "$lock_path/p", "/var/own/lock/p"),
    ("of a group that only the file has", "[g]\ndir = /g", "$g.dir/p", "/g/p"),
    ("of a group, in braces", "[g]\ndir = /g", "${g.dir}p", "/gp"),
    ("of a group of the service", "[api]\nbacklog = 7", "/p$api.backlog", "/p7"),
    ("an empty name", "dir =", "/p$dir", "/p"),
    ("a dollar sign", "", "/p$$dir", "/p$dir"),
    ("a dollar sign in oslo's other form", "", r"/p\$dir", "/p$dir"),
    ("no name at all", "", "/p$", "/p$"),
]


@pytest.mark.parametrize(("defined", "value", "meant"), [row[1:] for row in NAMES])
@pytest.mark.parametrize("where", ["DEFAULT", "wsgi_server", "api"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_name_in_a_value_stands_for_what_the_files_define(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    defined: str,
    value: str,
    meant: str,
    where: str,
    wrapped: bool,
) -> None:
    if where == "api" and wrapped and "dir" in defined:
        pytest.skip("what only the files define is not known to the service itself")
    option = "log_file" if where == "DEFAULT" else "pid_file"
    first, _, rest = defined.partition("[")
    sections = f"[{rest}\n" if rest else ""
    text = f"[DEFAULT]\n{first}\n{sections}"
    head = f"[{where}]\n"
    line = f"{option} = {value}\n"
    text = text.replace(head, head + line) if head in text else text + head + line
    conf = service(tmp_path, text)
    monkeypatch.setattr(cfg, "CONF", conf)
    if where == "DEFAULT":
        conf.register_opt(cfg.StrOpt("log_file"))
    chosen: Any = conf.api if where == "api" else conf
    if wrapped and where == "wsgi_server":
        chosen = Wrapper(conf)
    found = Settings.from_conf(chosen, default_port=0)
    assert getattr(found, option) == meant


def test_a_name_is_looked_for_in_the_group_first(tmp_path: Path) -> None:
    conf = service(
        tmp_path, "[DEFAULT]\ndir = /outer\n[api]\ndir = /inner\npid_file = $dir/p\n"
    )
    assert Settings.from_conf(conf.api, default_port=0).pid_file == "/inner/p"


def test_the_environment_defines_names_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OS_DEFAULT__DIR", "/env")
    assert by_the_command(tmp_path, "[DEFAULT]\npid_file = $dir/p\n").pid_file == (
        "/env/p"
    )


def test_arguments_and_overrides_may_name_what_the_files_define(tmp_path: Path) -> None:
    text = "[DEFAULT]\ndir = /x\n"
    assert by_the_command(tmp_path, text, "--pid-file", "$dir/p").pid_file == "/x/p"
    conf = service(tmp_path, text)
    conf.set_override("key_file", "$dir/k")
    with pytest.raises(ConfigError, match="key_file is set without cert_file"):
        Settings.from_conf(conf, default_port=0)


def test_reading_leaves_the_service_as_it_was(tmp_path: Path) -> None:
    conf = service(tmp_path, "[DEFAULT]\ndir = /x\n[wsgi_server]\npid_file = $dir/p\n")
    before = sorted(conf)
    assert Settings.from_conf(conf, default_port=0).pid_file == "/x/p"
    assert sorted(conf) == before
    assert "dir" not in conf


UNKNOWN = "is defined nowhere"


@pytest.mark.parametrize("value", ["$nosuch/p", "${nosuch}", "$g.nosuch", "$chain"])
@pytest.mark.parametrize(
    "where", ["DEFAULT", "wsgi_server", "api", "wrapped api", "wrapped DEFAULT"]
)
@pytest.mark.parametrize("option", ["pid_file", "key_file"])
def test_a_name_that_nobody_defines_is_an_error_wherever_the_option_stands(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    value: str,
    where: str,
    option: str,
) -> None:
    section = where.removeprefix("wrapped ")
    text = f"[DEFAULT]\nchain = $nosuch\n[{section}]\n{option} = {value}\n"
    conf = service(tmp_path, text.replace("[DEFAULT]\n[DEFAULT]", "[DEFAULT]"))
    monkeypatch.setattr(cfg, "CONF", conf)
    if section == "DEFAULT" and option == "pid_file":
        conf.register_opt(cfg.StrOpt("pid_file"))
    if section == "wsgi_server" and option == "key_file":
        pytest.skip("the service has it itself: what stands in the section is not read")
    if section == "api" and option == "key_file":
        conf.register_opt(cfg.StrOpt("key_file"), group="api")
    chosen: Any = conf.api if section == "api" else conf
    if where != section:
        chosen = Wrapper(chosen)
    with pytest.raises(
        ConfigError, match=rf"option {option}: .*(nosuch|chain|group \[g\])"
    ):
        Settings.from_conf(chosen, default_port=0)


def test_a_value_that_names_itself_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="option pid_file: its value names itself"):
        by_the_command(tmp_path, "[DEFAULT]\npid_file = $pid_file\n")


def test_a_name_that_nobody_defines_is_one_line_and_a_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "server.conf"
    file.write_text("[DEFAULT]\ncert_file = $tls_dir/cert.pem\n")
    arguments = [HELLO, "--config-file", str(file), "--check-config"]
    assert cli.main(arguments) == ExitStatus.CONFIG
    (line,) = capsys.readouterr().err.splitlines()
    assert f"option cert_file: $tls_dir in its value {UNKNOWN}" in line


@pytest.mark.forks
@pytest.mark.parametrize("engine", ["eventlet"])
@pytest.mark.parametrize("workers", ["0", "1"])
def test_tls_is_on_where_the_certificate_is_named_by_another_value(
    live_server: Start, tmp_path: Path, workers: str
) -> None:
    cert, key = tools.self_signed(tmp_path)
    conf = tmp_path / "server.conf"
    text = "[DEFAULT]\n%s\ncert_file = $tls_dir/{}\nkey_file = $tls_dir/{}\n"
    text = text.format(cert.name, key.name)
    conf.write_text(text % f"tls_dir = {tmp_path}")
    server = live_server(HELLO, "--config-file", str(conf), "--workers", workers)
    assert server.url.startswith("https://")
    context = ssl.create_default_context(cafile=str(cert))
    with (
        server.connect() as plain,
        context.wrap_socket(plain, server_hostname="localhost") as client,
    ):
        client.sendall(b"GET /x HTTP/1.0\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 200 ")
    # At a reload the old generation stays where a name is missing.
    conf.write_text(text % "")
    server.send(signal.SIGHUP)
    server.wait_for_log(rf"reload failed: option cert_file: \$tls_dir .* {UNKNOWN}")
    with (
        server.connect() as plain,
        context.wrap_socket(plain, server_hostname="localhost") as client,
    ):
        client.sendall(b"GET /x HTTP/1.0\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("wrapped", [False, True])
def test_options_of_glance_are_looked_up_in_the_same_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrapped: bool
) -> None:
    conf = service(
        tmp_path,
        "[DEFAULT]\ncache_prefetcher_interval = $nosuch\nenabled_backends = a:$nosuch\n",
    )
    monkeypatch.setattr(cfg, "CONF", conf)
    chosen: Any = Wrapper(conf) if wrapped else conf
    # The service has no such option, whatever its files say.
    assert stores.prefetch_interval(chosen) == stores.PREFETCH_INTERVAL
    conf.register_opt(cfg.FloatOpt("cache_prefetcher_interval", default=5))
    conf.register_opt(cfg.DictOpt("enabled_backends"))
    with pytest.raises(ConfigError, match=r"cache_prefetcher_interval: .*nosuch"):
        stores.prefetch_interval(chosen)
    with pytest.raises(ConfigError, match=r"enabled_backends: .*nosuch"):
        stores.initialize_stores(chosen)


# What an empty value means where that is not what no value means.
EMPTY_IS_OFF = {"access_log", "request_id_header"}


def in_a_file(folder: Path, option: _options.Option) -> Settings:
    return by_the_command(folder, f"[DEFAULT]\n{option.name} =\n")


def in_the_section(folder: Path, option: _options.Option) -> Settings:
    conf = cfg.ConfigOpts()
    (folder / "s.conf").write_text(f"[wsgi_server]\n{option.name} =\n")
    conf(["--config-file", str(folder / "s.conf")], project="service")
    return Settings.from_conf(conf, default_port=8080)


def as_an_option_of_the_service(folder: Path, option: _options.Option) -> Settings:
    conf = cfg.ConfigOpts()
    opts.register_opts(conf, "api")
    (folder / "s.conf").write_text(f"[api]\n{option.name} =\n")
    conf(["--config-file", str(folder / "s.conf")], project="service")
    return Settings.from_conf(conf.api, default_port=8080)


def in_a_paste_file(folder: Path, option: _options.Option) -> Settings:
    return paste_runner.read({option.name: ""})


def as_an_argument(folder: Path, option: _options.Option) -> Settings:
    if _options.COMMON not in option.traits:
        pytest.skip("it has no command-line form")
    if option.metavar is None:
        pytest.skip("a switch takes no value on the command line")
    return by_the_command(folder, "[DEFAULT]\n", f"--{option.opt.name}", "")


def by_the_environment(folder: Path, option: _options.Option) -> Settings:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(f"OS_DEFAULT__{option.name.upper()}", "")
        return by_the_command(folder, "[DEFAULT]\n")


@pytest.mark.parametrize("option", opts.BY_NAME.values(), ids=opts.BY_NAME)
@pytest.mark.parametrize(
    "channel",
    [
        in_a_file,
        in_the_section,
        as_an_option_of_the_service,
        in_a_paste_file,
        as_an_argument,
        by_the_environment,
    ],
)
def test_an_empty_value_is_no_value(
    tmp_path: Path,
    channel: Callable[[Path, _options.Option], Settings],
    option: _options.Option,
) -> None:
    found = channel(tmp_path, option)
    expected = by_the_command(tmp_path, "[DEFAULT]\n")
    changed = [(name, new) for name, _, new in expected.changes(found)]
    assert changed == ([(option.name, None)] if option.name in EMPTY_IS_OFF else [])
    hints = typing.get_type_hints(Settings)
    for name, hint in hints.items():
        if hint is not Any and type(None) not in typing.get_args(hint):
            assert getattr(found, name) is not None


def test_an_empty_value_has_the_default_of_the_service(tmp_path: Path) -> None:
    conf = cfg.ConfigOpts()
    conf.register_opts(
        [
            cfg.IntOpt("workers", default=3),
            cfg.BoolOpt("http_keepalive", default=False),
            cfg.StrOpt("cert_file", default="/nowhere"),
            cfg.StrOpt("umask", default="007"),
        ]
    )
    conf.set_default("workers", 4)
    (tmp_path / "s.conf").write_text(
        "[DEFAULT]\nworkers =\nhttp_keepalive =\ncert_file =\numask =\n"
    )
    conf(["--config-file", str(tmp_path / "s.conf")], project="service")
    found = Settings.from_conf(conf, default_port=0)
    assert (found.workers, found.http_keepalive, found.umask) == (4, False, 0o007)
    assert found.cert_file is None


@pytest.mark.forks
@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_server_with_empty_numbers_answers_reloads_and_stops(
    live_server: Start, tmp_path: Path, workers: str
) -> None:
    numbers = [
        name
        for name, o in opts.BY_NAME.items()
        if isinstance(o.opt.default, int | float)
    ]
    empty = "".join(f"{name} =\n" for name in numbers if name != "bind_port")
    conf = tmp_path / "server.conf"
    conf.write_text(f"[DEFAULT]\n{empty}")
    server = live_server(HELLO, "--config-file", str(conf), "--workers", workers)
    assert server.get("/a").text == "hello from /a"
    conf.write_text(f"[DEFAULT]\nmax_header_line = 1000\n{empty}")
    server.send(signal.SIGHUP)
    server.wait_for_log("generation 2 serves")
    assert server.get("/b").text == "hello from /b"
    assert server.stop() == ExitStatus.OK
