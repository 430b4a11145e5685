"""Engines inside a program: `tests/apps/embedding.py`, once in each form, and bad input."""

from __future__ import annotations

import json
import logging
import socket
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import live
import pytest
import tools
from oslo_config import cfg
from wsgi_server import opts
from wsgi_server.embed import Engine, Options
from wsgi_server.errors import ConfigError, ServerError


@pytest.fixture(scope="module", params=live.FORMS)
def told(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What the scenarios saw in one form, by their names; under `form` which it is."""
    cert, key = tools.self_signed(tmp_path_factory.mktemp("tls"))
    done = subprocess.run(
        # CPython warns of threads that a fork leaves behind.
        [sys.executable, "-W", "ignore", "-m", "apps.embedding", request.param],
        env=live.environment({"CERT": str(cert), "KEY": str(key)}),
        capture_output=True,
        text=True,
        check=False,
        timeout=live.PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return {"form": request.param, **found}


def test_an_engine_answers_until_it_is_stopped(told: dict[str, Any]) -> None:
    seen = told["answers"]
    found = {"multiprocess": True, "scheme": "http", "thread": False}

    assert seen["urls"]
    assert [status for status, _ in seen["seen"]] == [200, 200]
    assert seen["seen"][0][1] in (found, {**found, "thread": told["form"] != "threads"})
    assert (seen["early"], seen["ended"]) == (False, True)
    assert seen["lines"] == ['"GET / HTTP/1.1" 200'] * 2


def test_sockets_stay_the_programs(told: dict[str, Any]) -> None:
    assert told["stays_the_programs"] == [200, 200, True]


def test_several_live_in_one_process(told: dict[str, Any]) -> None:
    assert told["two_in_one_process"] == [False, True, False]


def test_who_is_being_answered_gets_the_answer(told: dict[str, Any]) -> None:
    assert told["stop_waits_for_what_runs"] == [False, 200, True, True]


def test_a_second_stop_hurries_and_names_what_it_cuts(told: dict[str, Any]) -> None:
    ended, cut, named = told["stop_hurries"]
    assert (ended, named) == (True, True)
    assert cut in ("ConnectionResetError", "RemoteDisconnected")


def test_any_thread_stops_it(told: dict[str, Any]) -> None:
    assert told["stop_by_other_threads"] is True


def test_a_signal_handler_stops_it_and_waits(told: dict[str, Any]) -> None:
    assert told["stop_by_a_signal"] == [True, True]


def test_one_that_is_told_to_stop_first_does_not_serve(told: dict[str, Any]) -> None:
    again = "this engine was started before: make another one"
    assert told["stop_before_start"] == [True, [], again]


def test_new_options_cost_no_connection(told: dict[str, Any]) -> None:
    assert told["reconfigured"] == [200, 414, 200]


def test_a_process_that_the_application_forks_has_no_engine(
    told: dict[str, Any],
) -> None:
    """All that it has are the sockets of the program: one that listens, one client."""
    assert told["forks"] == [200, [True, 2], 200]


def test_tls_by_files_and_by_a_context(told: dict[str, Any]) -> None:
    assert told["tls"] == [["https", "https"]] * 2


def test_nothing_is_left_of_it(told: dict[str, Any]) -> None:
    assert told["leaves_nothing"] == []


def test_eventlet_is_loaded_where_it_is_wanted_alone(told: dict[str, Any]) -> None:
    assert told["eventlet"] is (told["form"] != "threads")


def app(_environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
    start("200 OK", [("Content-Length", "2")])
    return [b"ok"]


def ask(sock: socket.socket) -> bytes:
    with socket.create_connection(sock.getsockname()) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return b"".join(iter(lambda: client.recv(4096), b""))


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"threads": 0}, "option threads: Should be greater than or equal to 1"),
        ({"body_timeout": "soon"}, "option body_timeout: "),
        ({"http_keepalive": "perhaps"}, "option http_keepalive: "),
        ({"header_timeout": float("nan")}, "header_timeout = nan: not a number of"),
        ({"engine": "asyncio"}, "option engine: "),
        ({"key_file": "key.pem"}, "key_file is set without cert_file"),
        ({"forwarded_allow": ["10.0.0.1/8"]}, "forwarded_allow: 10.0.0.1/8 "),
    ],
)
def test_a_bad_value_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Options(**values)

    assert str(refused.value).startswith(said)
    assert "\n" not in str(refused.value)


def test_options_are_the_servers_by_their_names() -> None:
    options = Options(threads=3, body_timeout=0, forwarded_allow=["10.0.0.0/8"])

    assert (options.threads, options.body_timeout) == (3, None)
    assert (options.engine, options.max_request_line) == ("threads", 8190)
    assert options == Options(
        threads="3", body_timeout=0.0, forwarded_allow="10.0.0.0/8"
    )
    assert options != Options()
    assert repr(Options(threads=3)) == "Options(threads=3)"
    for name in ("workers", "bind", "pid_file", "no_such"):
        with pytest.raises(TypeError, match=name):
            Options(**{name: 1})
        with pytest.raises(AttributeError, match=name):
            getattr(options, name)


def test_options_of_a_conf_leave_it_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "a.conf"
    file.write_text("[api]\nthreads = 7\n[wsgi_server]\nmax_headers = 50\n")
    conf = cfg.ConfigOpts()
    conf.register_opt(cfg.IntOpt("threads", default=5), group="api")
    conf(["--config-file", str(file)])
    before = {name: set(conf._groups[name]._opts) for name in conf._groups}

    options = Options.from_conf(conf.api, max_request_line=100)

    assert (options.threads, options.max_headers) == (7, 50)
    assert (options.engine, options.max_request_line) == ("threads", 100)
    assert {name: set(conf._groups[name]._opts) for name in conf._groups} == before
    assert "wsgi_server" not in conf._groups


def test_every_option_of_an_engine_is_one_of_the_servers() -> None:
    options = Options()
    requests = [option.name for option in opts.OPTIONS["requests"]]
    assert all(hasattr(options, name) for name in requests)


def test_sockets_that_cannot_be_served_on_are_refused(sock: socket.socket) -> None:
    closed = socket.socket()
    closed.close()
    idle = socket.socket()
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with idle, udp:
        for bad, said in [
            (closed, "cannot be used"),
            (idle, "not a listening stream socket"),
            (udp, "descriptor"),
        ]:
            with pytest.raises((ConfigError, ServerError), match=said):
                Engine(app, [sock, bad]).start()
    with pytest.raises(ConfigError, match="no socket"):
        Engine(app, [])
    # The control: alone it serves.
    with Engine(app, [sock]):
        pass


def test_tls_is_never_less_than_was_meant(sock: socket.socket, tmp_path: Path) -> None:
    cert, key = tools.self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with pytest.raises(ConfigError, match="a context for clients"):
        Engine(app, [sock], tls=ssl.create_default_context())
    engine = Engine(app, [sock])
    with pytest.raises(ConfigError, match="takes a new engine"):
        engine.reconfigure(Options(), tls=context)
    with (
        context.wrap_socket(sock.dup(), server_side=True) as wrapped,
        pytest.raises(ConfigError, match="has TLS around it already"),
    ):
        Engine(app, [wrapped]).start()


def test_a_log_that_is_none_is_refused(sock: socket.socket) -> None:
    with pytest.raises(TypeError, match="no logger and no function"):
        Engine(app, [sock], access_log="access.log")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="unknown field"):
        Engine(app, [sock], options=Options(access_log_format="{no_such}"))


def test_lines_of_requests_go_to_a_logger(
    sock: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger("tests.requests")
    caplog.set_level(logging.INFO, logger.name)
    options = Options(access_log_format="{method} {status}")

    with Engine(app, [sock], options=options, access_log=logger):
        ask(sock)

    assert "GET 200" in [record.getMessage() for record in caplog.records]


def test_a_log_that_fails_costs_no_answer(
    sock: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(line: str) -> None:
        raise IndexError(line)

    with Engine(app, [sock], access_log=fail):
        said = ask(sock)

    assert said.endswith(b"ok")
    assert "the log of requests lost a line" in caplog.text


def test_waiting_for_one_that_was_not_started_is_refused(sock: socket.socket) -> None:
    with pytest.raises(ServerError, match="not started"):
        Engine(app, [sock]).wait()


def test_the_example_of_the_documentation_serves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = Path(__file__).parents[2] / "docs/server/embedding.md"
    text = page.read_text().partition("## Beside the rest of a program")[2]
    code = text.partition("```python\n")[2].partition("```")[0]
    example: dict[str, Any] = {}
    exec(compile(code, str(page), "exec"), example)
    seen: list[bytes] = []

    def work() -> None:
        url = capsys.readouterr().out.split()[-1]
        with urllib.request.urlopen(url, timeout=live.PATIENCE) as answer:
            seen.append(answer.read())

    example["main"](work)
    assert seen == [b"still at work\n"]
