"""One line per request, whole and unforgeable, and never at a request's cost."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import live
import pytest
from wsgi_server._http11 import Request
from wsgi_server._logs.access import AccessLog, LineMaker, line_maker
from wsgi_server._logs.nonblocking import NonblockingWriter, own_description
from wsgi_server.errors import ConfigError

Start = Callable[..., live.LiveServer]
APP = "apps.exercise:app"


def make_request() -> Request:
    request = Request()
    request.method, request.target, request.http11 = "GET", "/", True
    request.headers = {}
    return request


@dataclass
class Answered:
    """An exchange that is over."""

    environ: dict[str, Any] = field(default_factory=dict)
    status: str | None = "200 OK"
    headers: list[tuple[str, str]] = field(default_factory=list)
    sent: int = 6
    seconds: float = 0.5
    ttfb: float = 0.0
    waited: float = 0.0
    error: str = ""
    request_id: str = ""
    request: Request = field(default_factory=make_request)


def lines(form: str) -> LineMaker:
    """What makes lines of this form."""
    return line_maker(form, worker_id=0, generation=1)


@pytest.mark.forks
def test_lines_go_to_stdout_by_default(live_server: Start) -> None:
    server = live_server(APP)
    server.get("/whole?a=1", User_Agent='a "quoted" agent', Referer="http://x/")
    line = server.wait_for("a line", server.output)
    assert re.fullmatch(
        r"127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "
        r'"GET /whole\?a=1 HTTP/1\.1" 200 6 "http://x/" "a \\"quoted\\" agent" \d\.\d{6}\n',
        line,
    )


@pytest.mark.forks
def test_a_field_cannot_forge_a_line(live_server: Start) -> None:
    server = live_server(APP)
    server.exchange(b"GET /whole HTTP/1.0\r\nUser-Agent: a\xff\tb\\\r\n\r\n")
    line = server.wait_for("a line", server.output)
    assert line.count("\n") == 1
    assert r"a\xff\x09b\\" in line


@pytest.mark.forks
def test_every_request_has_its_line(live_server: Start, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    server = live_server(APP, "--access-log", str(log))
    for path in ("/whole", "/stream", "/boom", "/nothing?204"):
        server.get(path)
    server.exchange(b"HEAD /whole HTTP/1.0\r\n\r\n")
    assert server.stop() == 0
    found = re.findall(r'"(\S+) (\S+) HTTP/1\.[01]" (\d+) (\d+)', log.read_text())
    # Sorted: a line follows its response, and another thread may be faster meanwhile.
    assert sorted(found) == [
        ("GET", "/boom", "500", "0"),
        ("GET", "/nothing?204", "204", "0"),
        ("GET", "/stream", "200", "11"),
        ("GET", "/whole", "200", "6"),
        ("HEAD", "/whole", "200", "0"),
    ]
    assert server.output() == ""


@pytest.mark.forks
def test_the_form_can_be_chosen_and_mistakes_are_named(
    live_server: Start,
    command: Callable[..., object],
    tmp_path: Path,
) -> None:
    conf = tmp_path / "server.conf"
    conf.write_text(
        "[DEFAULT]\naccess_log_format = {method} {path} {status} {worker} 100%\n"
    )
    server = live_server(APP, "--config-file", str(conf))
    server.get("/whole")
    assert server.wait_for("a line", server.output) == "GET /whole 200 1 100%\n"
    conf.write_text("[DEFAULT]\naccess_log_format = {nonsense}\n")
    result = command(APP, "--bind-port", "0", "--config-file", str(conf))
    assert "unknown field 'nonsense'" in result.stderr  # type: ignore[attr-defined]


@pytest.mark.forks
def test_usr1_opens_the_file_anew(live_server: Start, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    server = live_server(APP, "--access-log", str(log))
    server.get("/whole")
    server.wait_for("the first line", lambda: log.exists() and log.read_text())
    log.rename(tmp_path / "access.log.1")
    server.send(signal.SIGUSR1)
    server.wait_for("a new file", log.exists)
    server.get("/stream")
    server.wait_for("the second line", log.read_text)
    assert "/stream" in log.read_text()
    assert "/whole" in (tmp_path / "access.log.1").read_text()


@pytest.mark.forks
def test_a_log_that_nobody_reads_holds_no_request_up(
    live_server: Start, tmp_path: Path
) -> None:
    pipe = tmp_path / "access.pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        server = live_server(APP, "--access-log", str(pipe))
        agent = "x" * 8000
        for _ in range(200):
            assert server.get("/whole", User_Agent=agent).status == 200
        assert os.read(reader, 65536).startswith(b"127.0.0.1 - - [")
    finally:
        os.close(reader)


@pytest.mark.parametrize("meanwhile", ["reopen", "close"])
def test_no_thread_writes_lines_into_a_file_of_somebody_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, meanwhile: str
) -> None:
    """Who closes a descriptor lets others run, and they may be given its number."""
    log = AccessLog(str(tmp_path / "access.log"), lines("{status}"))
    victim = tmp_path / "victim"
    really_close = os.close
    others: list[int] = []

    def close(fd: int) -> None:
        monkeypatch.undo()
        really_close(fd)
        others.append(os.open(victim, os.O_WRONLY | os.O_CREAT))
        log.record(Answered())
        if meanwhile == "reopen":
            log.flush()

    monkeypatch.setattr(os, "close", close)
    getattr(log, meanwhile)()
    log.flush()
    assert victim.read_bytes() == b""
    for fd in others:
        os.close(fd)
    assert others


def test_a_journal_that_stalls_holds_nobody_up() -> None:
    """It is a socket, whose description systemd and others share."""
    ours, journal = socket.socketpair()
    program = """if True:
        import sys
        from wsgi_server._logs.access import AccessLog, line_maker
        from types import SimpleNamespace
        log = AccessLog("-", line_maker("{status} {bytes}", worker_id=0, generation=1))
        for number in range(1000):
            log.record(SimpleNamespace(status="200 OK", sent="x" * 1000))
            log.flush()
    """
    with ours, journal:
        subprocess.run(
            [sys.executable, "-c", program],
            stdout=journal.fileno(),
            check=True,
            timeout=live.PATIENCE,
        )
        assert os.get_blocking(journal.fileno())
        assert ours.recv(65536).startswith(b"200 xxx")


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        ({}, "unix - - -"),
        ({"REMOTE_ADDR": "", "REMOTE_USER": None}, "unix - - -"),
        ({"REMOTE_ADDR": "::1", "REMOTE_PORT": 5, "REMOTE_USER": 7}, "::1 5 7 -"),
        ({"REMOTE_ADDR": 'a" "b\n'}, r"a\" \"b\x0a - - -"),
        ({"wsgi.url_scheme": "x\n", "REMOTE_PORT": "\r"}, r"unix \x0d - x\x0a"),
        ({"REMOTE_USER": b"\xff"}, r"unix - b'\\xff' -"),
    ],
)
def test_what_the_application_leaves_in_its_environ_breaks_no_line(
    tmp_path: Path, environ: dict[str, Any], line: str
) -> None:
    path = tmp_path / "access.log"
    log = AccessLog(str(path), lines("{client} {port} {user} {scheme}"))
    log.record(Answered(environ))
    log.close()
    assert path.read_text() == f"{line}\n"


def test_a_line_that_cannot_be_made_costs_nothing_else(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    path = tmp_path / "access.log"
    log = AccessLog(str(path), lines("{status} {request_id}"))
    log.record(Answered(headers=[None]))  # type: ignore[list-item]
    log.record(Answered())
    log.close()
    assert path.read_text() == "200 -\n"
    assert "lost a line" in caplog.text


@pytest.mark.parametrize("name", ["status", "port", "time", "client"])
def test_a_number_is_not_made_of_text(tmp_path: Path, name: str) -> None:
    path = str(tmp_path / "access.log")
    with pytest.raises(ConfigError, match="access_log_format: "):
        AccessLog(path, lines(f"{{{name}:d}}"))
    AccessLog(path, lines(f"{{{name}:s}}")).close()


def test_numbers_have_the_forms_of_numbers(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    log = AccessLog(str(path), lines("{bytes:04x} {seconds:.2f} {worker:d} {pid:s}"))
    log.record(Answered())
    log.close()
    assert path.read_text() == f"0006 0.50 0 {os.getpid()}\n"


def test_lines_of_two_writers_are_never_torn() -> None:
    """As of workers that share a pipe whose reader is slow."""
    reader, writer = os.pipe()
    fds = [own_description(writer), own_description(writer)]
    os.close(writer)
    os.set_blocking(reader, False)
    writers = [NonblockingWriter(fd) for fd in fds]
    sent, found = [], b""
    for number in range(400):
        for name, one in zip(b"ab", writers, strict=True):
            line = bytes([name]) * (number % 3000 + 90)
            sent.append(line)
            one.write(line + b"\n")
        found += os.read(reader, 700)
    while any(one.waits for one in writers):
        found += os.read(reader, 700)
        for one in writers:
            one.flush()
    for one, fd in zip(writers, fds, strict=True):
        one.move_to(-1)
        os.close(fd)
    found += b"".join(iter(lambda: os.read(reader, 65536), b""))
    os.close(reader)
    assert sorted(found.splitlines()) == sorted(sent)
