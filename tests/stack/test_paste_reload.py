"""The server and the paste loader together: `wsgi-server config:FILE#NAME`."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import live
import pytest
import webob

pytestmark = pytest.mark.forks

INI = """
[app:main]
paste.app_factory = wsgi_paste:app_factory
wsgi_paste.app_factory = words:make_app
word = {word}
"""
WORDS = """
def make_app(conf, word):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [word.encode()]

    return app
"""


@pytest.fixture(params=live.ENGINES)
def engine(request: webob.Request) -> Any:
    """Both engines; a paste file does not differ where its application patches."""
    return request.param


@pytest.fixture
def write(tmp_path: Path) -> Any:
    (tmp_path / "words.py").write_text(WORDS)

    def write_ini(word: str) -> None:
        (tmp_path / "api-paste.ini").write_text(INI.format(word=word))

    return write_ini


def test_a_reload_reads_the_paste_file_again(
    live_server: Any, write: Callable[..., str]
) -> None:
    write("first")
    server = live_server("config:api-paste.ini#main")
    assert server.get("/").text == "first"

    write("second")
    before = server.worker_pids()
    server.send(signal.SIGHUP)
    server.wait_for("a new worker", lambda: not before & server.worker_pids())

    assert server.get("/").text == "second"


def test_a_reload_with_a_faulty_paste_file_keeps_serving_and_names_the_fault(
    live_server: Any, write: Callable[..., str]
) -> None:
    write("first")
    server = live_server("config:api-paste.ini#main")
    before = server.worker_pids()

    write("50% off")
    server.send(signal.SIGHUP)
    server.wait_for_log(r"api-paste.ini: \[app:main\] word: a % must be written %%")

    assert server.get("/").text == "first"
    assert before <= server.worker_pids()
    write("50%% off")
    server.send(signal.SIGHUP)
    server.wait_for("a new worker", lambda: not before & server.worker_pids())
    assert server.get("/").text == "50% off"


@pytest.mark.parametrize(
    ("uri", "line"),
    [
        ("config:absent.ini", "absent.ini: cannot read it: No such file or directory"),
        ("config:api-paste.ini#absent", "there is no section [app:absent]"),
    ],
)
def test_a_start_with_a_faulty_paste_file_is_one_line(
    command: Any, write: Callable[..., str], uri: Any, line: Any
) -> None:
    write("first")

    done = command(uri, "--bind-host", "127.0.0.1", "--bind-port", "0")

    assert done.returncode == 4
    assert line in done.stderr
    assert "Traceback" not in done.stderr
