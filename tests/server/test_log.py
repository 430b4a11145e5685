"""The command's log handlers: they lose lines before they hold anything up."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from wsgi_server._logs import rotation
from wsgi_server._logs import server as server_log
from wsgi_server._logs.nonblocking import BUFFER, NonblockingWriter
from wsgi_server.errors import ConfigError


def record(message: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord("x", logging.INFO, "x.py", 1, message, args, None)


@pytest.fixture
def pipe() -> Iterator[tuple[int, server_log.StreamLog]]:
    """A pipe, its reader's descriptor and a handler that writes to it."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    with open(writer, "w") as stream:
        yield reader, server_log.StreamLog(stream)
    os.close(reader)


def drain(reader: int) -> bytes:
    """Everything that is in a pipe now."""
    found = b""
    while True:
        try:
            found += os.read(reader, 1 << 20)
        except BlockingIOError:
            return found


def test_a_record_is_a_line(pipe: tuple[int, server_log.StreamLog]) -> None:
    reader, handler = pipe
    handler.emit(record("hello %s", "w\u00f6rld"))
    assert drain(reader) == "hello w\u00f6rld\n".encode()


def test_what_a_pipe_does_not_take_waits_for_the_next_line(
    pipe: tuple[int, server_log.StreamLog],
) -> None:
    reader, handler = pipe
    for number in range(200):
        handler.emit(record("%04d %s", number, "x" * 1000))
    first = drain(reader)
    assert 0 < len(first) < 200 * 1000
    while not first.endswith(b"the end\n"):
        handler.emit(record("the end"))
        first += drain(reader)
    lines = first.decode().splitlines()
    numbers = [int(line[:4]) for line in lines if line[0].isdigit()]
    assert numbers == list(range(200))


def test_beyond_the_buffer_lines_are_counted_not_kept(
    pipe: tuple[int, server_log.StreamLog],
) -> None:
    reader, handler = pipe
    count = 2 * BUFFER // 1000
    for number in range(count):
        handler.emit(record("%06d %s", number, "x" * 1000))
    text = b""
    while chunk := drain(reader):
        text += chunk
        handler.flush()
    handler.emit(record("after"))
    text += drain(reader)
    kept = text.count(b"xxxx\n")
    assert 0 < kept < count
    assert f"({count - kept} log lines were lost here)\nafter\n".encode() in text


def test_a_full_disk_loses_lines_and_nothing_else() -> None:
    with open("/dev/full", "w") as full:
        handler = server_log.StreamLog(full)
        handler.emit(record("one"))
        handler.emit(record("two"))
        reader, writer = os.pipe()
        with open(writer, "w") as stream:
            handler.setStream(stream)
            handler.emit(record("three"))
            assert os.read(reader, 100) == b"(2 log lines were lost here)\nthree\n"
        os.close(reader)


def test_a_record_that_cannot_be_formatted_is_reported_and_survived(
    pipe: tuple[int, server_log.StreamLog], capsys: pytest.CaptureFixture[str]
) -> None:
    reader, handler = pipe
    handler.emit(record("%d", "no number"))
    handler.emit(record("next"))
    assert drain(reader) == b"next\n"
    assert "TypeError" in capsys.readouterr().err


def test_the_end_gives_a_slow_reader_a_moment(
    pipe: tuple[int, server_log.StreamLog], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, handler = pipe
    handler.emit(record("x" * 100_000))
    monkeypatch.setattr(server_log, "FAREWELL", 0.05)
    server_log.say_farewell()
    assert 0 < len(drain(reader)) < 100_000


def test_a_file_is_reopened_after_rotation(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    handler = server_log.FileLog(str(path))
    logger = logging.getLogger("wsgi_server.test_log")
    logger.addHandler(handler)
    try:
        handler.emit(record("before"))
        path.rename(tmp_path / "x.log.1")
        handler.emit(record("still the old one"))
        rotation.reopen()
        handler.emit(record("after"))
    finally:
        logger.removeHandler(handler)
        handler.close()
    assert (tmp_path / "x.log.1").read_text() == "before\nstill the old one\n"
    assert path.read_text() == "after\n"


def test_a_file_that_cannot_be_opened_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"log_file: cannot write .*: No such file"):
        server_log.set_up(str(tmp_path / "no" / "x.log"), debug=False)


def note(lost: int) -> bytes:
    return b"(%d)\n" % lost


def test_a_pipe_that_others_share_blocks_nobody_and_stays_as_it_is() -> None:
    """Who has given up privileges cannot open a pipe anew, and O_NONBLOCK is everybody's."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    log = NonblockingWriter(writer)
    for number in range(300):
        log.write(b"%04d %s\n" % (number, b"x" * 1000))
    assert os.get_blocking(writer)
    text = b""
    while log.waits:
        text += drain(reader)
        log.flush()
    text += drain(reader)
    assert [int(line[:4]) for line in text.splitlines()] == list(range(300))
    os.close(reader)
    os.close(writer)


def test_the_number_of_lost_lines_outlives_the_loss_of_its_own_line() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    log = NonblockingWriter(full, note=note)
    for _ in range(5):
        log.write(b"one\n")
        assert log.error is not None
    reader, writer = os.pipe()
    log.move_to(writer)
    log.write(b"two\n")
    assert os.read(reader, 100) == b"(5)\ntwo\n"
    for fd in (full, reader, writer):
        os.close(fd)


def test_a_line_that_was_cut_short_takes_no_other_with_it(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    log = NonblockingWriter(writer, note=note)
    log.write(b"x" * 100_000 + b"\n")
    assert log.waits
    seen = len(drain(reader))
    os.close(reader)
    log.write(b"nobody reads this\n")
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    log.write(b"next\n")
    assert 0 < seen < 100_000
    assert os.read(reader, 100) == b"\n(2)\nnext\n"
    os.close(reader)
    os.close(writer)


def test_who_interrupts_a_write_neither_waits_nor_is_lost() -> None:
    """A finalizer or a signal handler may log while its thread is at it."""
    reader, writer = os.pipe()

    def interrupted(lost: int) -> bytes:
        log.write(b"from within\n")
        return note(lost)

    log = NonblockingWriter(writer, note=interrupted)
    log.lost = 1
    log.write(b"first\n")
    assert os.read(reader, 100) == b"(1)\nfirst\nfrom within\n"
    os.close(reader)
    os.close(writer)


FORKS = """
import os
from wsgi_server._logs.nonblocking import NonblockingWriter
reader, writer = os.pipe()
os.set_blocking(reader, False)
os.set_blocking(writer, False)
log = NonblockingWriter(writer)
log.write(b"x" * 100_000 + b"\\n")
assert log.waits
log._lock.acquire()  # as a thread that writes in this very moment
if os.fork() == 0:
    os.read(reader, 1 << 20)
    assert not log.waits
    log.write(b"child\\n")
    assert os.read(reader, 1 << 20) == b"child\\n"
    os._exit(0)
assert os.wait()[1] == 0
log._lock.release()
log.flush()
assert os.read(reader, 1 << 20).endswith(b"x\\n")
"""


@pytest.mark.forks
def test_a_forked_child_leaves_what_waits_to_its_parent() -> None:
    words = [sys.executable, "-c", FORKS]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


LAST_STACK = """
import logging, os, sys
from wsgi_server._logs.server import descriptor
logging.basicConfig(stream=sys.stderr)
print(os.readlink(f"/proc/self/fd/{descriptor()}"))
"""


@pytest.mark.parametrize("stalled", [True, False])
def test_a_log_that_would_have_to_be_waited_for_gets_no_last_stack(
    stalled: bool,
) -> None:
    """`faulthandler` writes it, and waits; the process is to end."""
    ours, journal = socket.socketpair()
    with ours, journal:
        if stalled:
            journal.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    journal.send(b"x" * 4096)
            journal.setblocking(True)
        found = subprocess.run(
            [sys.executable, "-c", LAST_STACK],
            stdout=subprocess.PIPE,
            stderr=journal.fileno(),
            text=True,
            check=True,
        )
    assert found.stdout.startswith("/dev/null" if stalled else "socket:")
