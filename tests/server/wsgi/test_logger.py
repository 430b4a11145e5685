"""Lines of requests in the program's own log: its loggers, its handlers, nobody held up."""

from __future__ import annotations

import io
import logging
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from logging.handlers import SysLogHandler
from pathlib import Path
from typing import Any

import live
import pytest
from wsgi_server._logs import logger as module
from wsgi_server._logs.logger import LoggerLog
from wsgi_server._logs.nonblocking import BUFFER
from wsgi_server.errors import ConfigError

from .test_accesslog import Answered, lines, make_request

FORM = '{clients} - - [{date_time}] "{request}" {status} {bytes} {seconds:.6f}'


@pytest.fixture
def own() -> Iterator[logging.Logger]:
    """A logger that nobody else has, at INFO."""
    logger = logging.getLogger("requests.of.a.test")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    yield logger
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    logger.filters.clear()
    logger.disabled = False


@contextmanager
def opened(logger: Any, form: str = "{status} {bytes}") -> Iterator[LoggerLog]:
    log = LoggerLog(logger, lines(form))
    try:
        yield log
    finally:
        log.close()


def text_handler(form: str = "%(message)s") -> tuple[logging.Handler, io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter(form))
    return handler, stream


def test_a_line_is_a_record_of_the_logger_at_info(own: logging.Logger) -> None:
    handler, stream = text_handler("%(levelname)s %(name)s %(message)s")
    own.addHandler(handler)
    with opened(own) as log:
        log.record(Answered())
        assert stream.getvalue() == ""
        log.flush()
    assert stream.getvalue() == "INFO requests.of.a.test 200 6\n"


@pytest.mark.parametrize(
    ("forwarded", "address", "shown"),
    [
        (None, "10.0.0.1", "10.0.0.1"),
        (None, "", "unix"),
        ("203.0.113.7", "10.0.0.1", "203.0.113.7,10.0.0.1"),
        ("203.0.113.7, 192.0.2.1", "10.0.0.1", "203.0.113.7,192.0.2.1,10.0.0.1"),
        ("203.0.113.7, 192.0.2.1", "203.0.113.7", "203.0.113.7,192.0.2.1"),
        ('"\n', "10.0.0.1", r"\"\x0a,10.0.0.1"),
    ],
)
def test_clients_are_what_a_proxy_says_and_who_came(
    own: logging.Logger, forwarded: str | None, address: str, shown: str
) -> None:
    handler, stream = text_handler()
    own.addHandler(handler)
    request = make_request()
    if forwarded is not None:
        request.headers["HTTP_X_FORWARDED_FOR"] = forwarded
    with opened(own, "{clients}") as log:
        log.record(Answered({"REMOTE_ADDR": address}, request=request))
    assert stream.getvalue() == f"{shown}\n"


def test_the_form_of_eventlet_can_be_had(own: logging.Logger) -> None:
    handler, stream = text_handler()
    own.addHandler(handler)
    with opened(own, FORM) as log:
        log.record(Answered({"REMOTE_ADDR": "10.0.0.1"}))
    assert re.fullmatch(
        r'10\.0\.0\.1 - - \[\d\d/\w{3}/\d{4} \d\d:\d\d:\d\d\] "GET / HTTP/1\.1" 200 6 '
        r"0\.500000\n",
        stream.getvalue(),
    )


def test_levels_filters_and_propagation_are_the_loggers(own: logging.Logger) -> None:
    child = own.getChild("child")
    of_child, seen_by_child = text_handler()
    of_parent, seen_by_parent = text_handler()
    too_high, seen_by_none = text_handler()
    too_high.setLevel(logging.WARNING)
    child.addHandler(of_child)
    own.addHandler(of_parent)
    own.addHandler(too_high)
    of_parent.addFilter(lambda record: "500" not in record.getMessage())
    try:
        with opened(child, "{status}") as log:
            log.record(Answered())
            log.record(Answered(status="500 Internal Server Error"))
            child.addFilter(lambda record: "404" not in record.getMessage())
            log.record(Answered(status="404 Not Found"))
            log.flush()
            child.propagate = False
            log.record(Answered(status="201 Created"))
            log.flush()
            child.setLevel(logging.WARNING)
            log.record(Answered(status="202 Accepted"))
            log.flush()
            child.setLevel(logging.INFO)
            child.disabled = True
            log.record(Answered(status="203 Other"))
    finally:
        child.handlers.clear()
        child.filters.clear()
    assert seen_by_child.getvalue() == "200\n500\n201\n"
    assert seen_by_parent.getvalue() == "200\n"
    assert seen_by_none.getvalue() == ""


def test_an_adapter_adds_the_context_of_the_request(own: logging.Logger) -> None:
    class InContext(logging.LoggerAdapter):  # type: ignore[type-arg]
        def process(self, msg: Any, kwargs: Any) -> tuple[Any, Any]:
            return f"<{msg}>", {**kwargs, "extra": {"request_id": requests.pop()}}

    requests = ["second", "first"]
    handler, stream = text_handler("%(request_id)s %(message)s")
    own.addHandler(handler)
    with opened(InContext(own, {}), "{status}") as log:
        log.record(Answered())
        log.record(Answered())
    assert stream.getvalue() == "first <200>\nsecond <200>\n"


def test_a_line_that_cannot_be_made_is_told_and_the_next_one_comes(
    own: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    handler, stream = text_handler()
    own.addHandler(handler)
    with opened(own, "{status} {client}") as log:
        log.record(Answered({"REMOTE_ADDR": Unspeakable()}))
        log.record(Answered({"REMOTE_ADDR": "10.0.0.1"}))
    assert stream.getvalue() == "200 10.0.0.1\n"
    assert "lost a line" in caplog.text


class Unspeakable:
    def __str__(self) -> str:
        raise ZeroDivisionError


def test_an_unknown_field_is_a_fault_of_the_configuration(own: logging.Logger) -> None:
    with pytest.raises(ConfigError, match="unknown field 'nothing'"):
        LoggerLog(own, lines("{nothing}"))


def test_a_file_that_is_reopened_is_followed(
    own: logging.Logger, tmp_path: Path
) -> None:
    handler = logging.FileHandler(tmp_path / "log")
    own.addHandler(handler)
    with opened(own, "{status}") as log:
        log.record(Answered())
        log.flush()
        os.rename(tmp_path / "log", tmp_path / "old")
        fresh = open(tmp_path / "log", "a")  # noqa: SIM115  the handler keeps it
        previous = handler.setStream(fresh)
        assert previous is not None
        previous.close()
        log.record(Answered(status="201 Created"))
    assert (tmp_path / "old").read_text() == "200\n"
    assert (tmp_path / "log").read_text() == "201\n"


@contextmanager
def stalled(make: Callable[[], tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
    ours, theirs = make()
    try:
        yield ours, theirs
    finally:
        ours.close()
        theirs.close()


def a_pipe() -> tuple[Any, Any]:
    read, write = os.pipe()
    return os.fdopen(write, "w"), os.fdopen(read, "rb", buffering=0)


def a_socket() -> tuple[Any, Any]:
    near, far = socket.socketpair()
    stream = near.makefile("w")
    reader = far.makefile("rb", buffering=0)
    near.close()
    far.close()
    return stream, reader


@pytest.mark.parametrize("make", [a_pipe, a_socket])
def test_a_stream_that_nobody_reads_loses_lines_and_says_how_many(
    own: logging.Logger, make: Callable[[], tuple[Any, Any]]
) -> None:
    with stalled(make) as (ours, theirs):
        own.addHandler(logging.StreamHandler(ours))
        with opened(own, "x" * 999) as log:
            many = 3 * BUFFER // 1000
            for _ in range(many):
                log.record(Answered())
                log.flush()
            read = bytearray()

            def take() -> None:
                while more := theirs.read(65536):
                    read.extend(more)

            reader = threading.Thread(target=take)
            reader.start()

            def told() -> bool:
                log.record(Answered())
                log.flush()
                return b"lost here" in read

            live.wait_until("the number of lost lines", told)
        own.handlers.clear()
        ours.close()
        reader.join()
    before, _, after = bytes(read).partition(b"(")
    lines = before.splitlines()
    assert set(lines) == {b"x" * 999}
    assert len(lines) + int(after.split()[0]) >= many


class Stuck(logging.Handler):
    """A handler that goes on when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.go_on = threading.Event()
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.entered.set()
        self.go_on.wait(live.PATIENCE)
        self.seen.append(record.getMessage())


def test_a_handler_that_is_stuck_holds_nobody_up_and_keeps_a_bounded_number(
    own: logging.Logger,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(module, "MOST_RECORDS", 10)
    stuck = Stuck()
    own.addHandler(stuck)
    with opened(own, "{bytes}") as log:
        log.record(Answered(sent=0))
        log.flush()
        assert stuck.entered.wait(live.PATIENCE)
        for number in range(1, 20):
            log.record(Answered(sent=number))
            log.flush()
        assert stuck.seen == []
        stuck.go_on.set()
        live.wait_until("the end of the queue", lambda: len(stuck.seen) == 11)
        log.flush()
    assert stuck.seen == [str(number) for number in range(11)]
    assert "lost 9 lines" in caplog.text


def test_a_handler_that_is_stuck_for_ever_does_not_keep_the_program_from_ending(
    own: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FAREWELL", 0.01)
    stuck = Stuck()
    own.addHandler(stuck)
    with opened(own, "{bytes}") as log:
        log.record(Answered())
        log.flush()
        assert stuck.entered.wait(live.PATIENCE)
    # What logging.shutdown does.
    assert stuck.lock is not None
    assert stuck.lock.acquire(timeout=0)
    stuck.lock.release()
    stuck.go_on.set()


def test_a_turn_that_never_ends_keeps_a_bounded_number(
    own: logging.Logger,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(module, "MOST_RECORDS", 10)
    handler, stream = text_handler()
    own.addHandler(handler)
    with opened(own, "{bytes}") as log:
        for number in range(15):
            log.record(Answered(sent=number))
        log.flush()
    assert stream.getvalue().split() == [str(number) for number in range(10)]
    assert "lost 5 lines" in caplog.text


def test_a_filter_that_fails_is_told_and_the_next_record_comes(
    own: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    handler, stream = text_handler()
    own.addHandler(handler)
    own.addFilter(lambda record: 1 / int(record.getMessage()) > 0)
    with opened(own, "{bytes}") as log:
        log.record(Answered(sent=0))
        log.record(Answered(sent=1))
    assert stream.getvalue() == "1\n"
    assert "lost a line" in caplog.text


def test_a_handler_that_fails_gets_the_next_record(
    own: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    class Failing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record.getMessage())
            raise ZeroDivisionError

    seen: list[str] = []
    own.addHandler(Failing())
    with opened(own, "{bytes}") as log:
        log.record(Answered(sent=1))
        log.record(Answered(sent=2))
        log.flush()
        live.wait_until("both records", lambda: seen == ["1", "2"])
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_syslog_that_nobody_reads_holds_nobody_up(
    own: logging.Logger, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
        daemon.bind(str(tmp_path / "log"))
        handler = SysLogHandler(str(tmp_path / "log"))
        own.addHandler(handler)
        log = LoggerLog(own, lines("{bytes}"))
        for number in range(200):
            log.record(Answered(sent=number))
            log.flush()
        heard = [daemon.recv(100) for _ in range(200)]
        log.close()
    assert [int(one.rstrip(b"\0").rpartition(b">")[2]) for one in heard] == list(
        range(200)
    )


def test_what_comes_after_the_end_is_handled_at_once(own: logging.Logger) -> None:
    handler, stream = text_handler()
    own.addHandler(handler)
    log = LoggerLog(own, lines("{status}"))
    log.close()
    log.put(own.makeRecord(own.name, logging.INFO, "", 0, "late", (), None))
    assert stream.getvalue() == "late\n"
