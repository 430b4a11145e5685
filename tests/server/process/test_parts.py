"""The small parts of the process layer, each by itself."""

from __future__ import annotations

import functools
import logging
import math
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from wsgi_server._logs import rotation
from wsgi_server._process.births.forked import ForkedProcess
from wsgi_server._process.worker import MARGIN
from wsgi_server._process.worker_pipe import (
    Due,
    Failed,
    Inbox,
    Leaving,
    Message,
    Ready,
    Reporter,
)
from wsgi_server._process.workers import Worker, how_it_ended
from wsgi_server._scoreboard.slots import Scoreboard, Slot, WorkerState
from wsgi_server._system.privileges import Identity
from wsgi_server._system.process import resident
from wsgi_server._system.signals import SignalPipe, blocked
from wsgi_server.errors import ExitStatus


@pytest.fixture
def pipe() -> Iterator[SignalPipe]:
    it = SignalPipe([signal.SIGUSR1, signal.SIGUSR2])
    yield it
    it.close()


def test_a_signal_makes_the_pipe_readable_and_is_taken_once(pipe: SignalPipe) -> None:
    import select

    poll = select.poll()
    poll.register(pipe.fileno(), select.POLLIN)
    assert poll.poll(0) == []
    os.kill(os.getpid(), signal.SIGUSR1)
    assert poll.poll(2000)
    os.kill(os.getpid(), signal.SIGUSR2)
    assert pipe.take() == [signal.SIGUSR1, signal.SIGUSR2]
    assert pipe.take() == []
    assert poll.poll(0) == []


def test_thousands_of_signals_neither_block_nor_warn(pipe: SignalPipe) -> None:
    for _ in range(20_000):
        os.kill(os.getpid(), signal.SIGUSR1)
    taken = pipe.take()
    assert 1 <= len(taken) <= 20_000
    os.kill(os.getpid(), signal.SIGUSR2)
    assert pipe.take()[-1] == signal.SIGUSR2


def test_a_note_from_another_thread_wakes_the_loop(pipe: SignalPipe) -> None:
    import select

    poll = select.poll()
    poll.register(pipe.fileno(), select.POLLIN)
    thread = threading.Thread(target=lambda: pipe.send(signal.SIGUSR2))
    thread.start()
    assert poll.poll(5000)
    thread.join()
    assert pipe.take() == [signal.SIGUSR2]


def test_no_note_is_lost_whenever_it_comes(pipe: SignalPipe) -> None:
    steps = 0

    def interrupted(at: int) -> list[signal.Signals]:
        """What is taken when a note comes at that step of the interpreter."""
        nonlocal steps
        steps = 0

        def trace(frame: FrameType, event: str, _: object) -> Any:
            nonlocal steps
            frame.f_trace_opcodes = True
            if event == "opcode":
                steps += 1
                if steps == at:
                    pipe.send(signal.SIGUSR2)
            return trace

        before = sys.gettrace()
        sys.settrace(
            lambda frame, event, arg: (
                trace(frame, event, arg)
                if frame.f_code is SignalPipe.take.__code__
                else None
            )
        )
        try:
            taken = pipe.take()
        finally:
            sys.settrace(before)
        return taken + pipe.take()

    pipe.send(signal.SIGUSR1)
    assert interrupted(0) == [signal.SIGUSR1]
    for at in range(1, steps + 1):
        pipe.send(signal.SIGUSR1)
        assert sorted(interrupted(at)) == [signal.SIGUSR1, signal.SIGUSR2], at


def test_closing_restores_handlers_and_wake_up_descriptor() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    pipe = SignalPipe([signal.SIGUSR1])
    pipe.close()
    assert signal.getsignal(signal.SIGUSR1) == before
    assert signal.set_wakeup_fd(-1) == -1


def test_blocked_signals_arrive_when_the_block_ends(pipe: SignalPipe) -> None:
    with blocked([signal.SIGUSR1]):
        # To this thread: os.kill may choose another, which blocks nothing.
        signal.raise_signal(signal.SIGUSR1)
        assert pipe.take() == []
    assert pipe.take() == [signal.SIGUSR1]


# Where other tests have loaded eventlet, it warns of any fork in this process.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_slot_is_seen_by_other_processes() -> None:
    slot = Scoreboard(3).claim()
    pid = os.fork()
    if pid == 0:
        slot.update(12.5, 2**40 + 1, 3, 4)
        slot.state = WorkerState.READY
        slot.pid = os.getpid()
        os._exit(0)
    os.waitpid(pid, 0)
    assert (slot.beat, slot.requests) == (12.5, 2**40 + 1)
    assert (slot.in_flight, slot.connections) == (3, 4)
    assert (slot.pid, slot.state) == (pid, WorkerState.READY)


def test_slots_are_claimed_apart_and_cleared() -> None:
    board = Scoreboard(2)
    first, second = board.claim(), board.claim()
    first.update(1.0, 2, 3, 4)
    first.queued = 5
    first.rss = 6
    assert (second.requests, second.queued) == (0, 0)
    with pytest.raises(LookupError, match="all 2 slots"):
        board.claim()
    first.state = WorkerState.FREE
    again = board.claim()
    assert (again.requests, again.queued, again.rss) == (0, 0, 0)


def test_a_local_slot_needs_no_board() -> None:
    slot = Slot.local()
    slot.worker_id, slot.generation, slot.started = 7, 8, 9.5
    assert (slot.worker_id, slot.generation, slot.started) == (7, 8, 9.5)


@pytest.fixture
def ends() -> Iterator[tuple[Inbox, Reporter]]:
    reader, writer = os.pipe()
    inbox = Inbox(reader)
    yield inbox, Reporter(functools.partial(os.write, writer))
    os.close(writer)
    if inbox.fd >= 0:
        inbox.close()


def test_messages_and_a_stack_share_the_pipe(ends: tuple[Inbox, Reporter]) -> None:
    inbox, reporter = ends
    reporter.send(Ready())
    reporter.write(b'Thread 0x1 (most recent call first):\n  File "a.py"\n')
    reporter.send(Failed("no\nway", ExitStatus.LOAD))
    assert inbox.take() == [Ready(), Failed("no\nway", ExitStatus.LOAD)]
    assert inbox.take_dump().splitlines() == [
        "Thread 0x1 (most recent call first):",
        '  File "a.py"',
    ]
    assert inbox.take_dump() == ""
    assert inbox.open


def test_half_a_message_waits_for_the_rest(ends: tuple[Inbox, Reporter]) -> None:
    inbox, reporter = ends
    reporter.write(b'{"Due": {"kind": "max_lifetime", "rea')
    assert inbox.take() == []
    reporter.write(b'son": "old"}}\n')
    assert inbox.take() == [Due("max_lifetime", "old")]


def test_what_looks_like_a_message_and_is_none_goes_to_the_dump(
    ends: tuple[Inbox, Reporter],
) -> None:
    inbox, reporter = ends
    reporter.write(b'{"Nonsense": {}}\n{"Due": {}}\n{]\n')
    assert inbox.take() == []
    assert inbox.take_dump() == '{"Nonsense": {}}\n{"Due": {}}\n{]'


def test_the_end_of_the_pipe_is_the_end_of_the_worker() -> None:
    reader, writer = os.pipe()
    inbox = Inbox(reader)
    Reporter(functools.partial(os.write, writer)).send(Ready())
    os.close(writer)
    assert inbox.take() == [Ready()]
    assert not inbox.open
    inbox.close()
    assert inbox.take() == []


def test_a_worker_whose_supervisor_is_gone_may_still_report() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with pytest.raises(BrokenPipeError):
        os.write(writer, b"x")
    # The control is above; to a reporter the same pipe is no fault.
    Reporter(functools.partial(os.write, writer)).send(Leaving())
    os.close(writer)


@pytest.mark.parametrize(
    "message",
    [
        Ready(),
        Leaving(),
        Due("max_rss", "x" * 999),
        Failed("\u20ac\0", ExitStatus.CONFIG),
    ],
)
def test_every_message_arrives_as_it_was_sent(
    ends: tuple[Inbox, Reporter], message: Message
) -> None:
    inbox, reporter = ends
    reporter.send(message)
    assert inbox.take() == [message]
    assert inbox.take_dump() == ""


def test_a_worker_is_due_by_its_state(tmp_path: Path) -> None:
    from server.process.test_sockets import settings

    slot = Slot.local()
    slot.beat = 110.0
    reader, writer = os.pipe()
    worker = Worker(
        1,
        1,
        1,
        "api",
        settings("127.0.0.1:0", worker_ready_timeout=7.0, worker_timeout=3.0),
        slot,
        inbox := Inbox(reader),
        ForkedProcess(1, inbox, writer),
        started=100.0,
    )
    assert worker.deadline(0.0) == 107.0
    assert worker.complaint == "was not ready within 7 s"
    worker.ready_since = 105.0
    assert worker.deadline(0.0) == 113.0
    assert worker.complaint == "has not moved for 3 s"
    # The supervisor was stopped itself until 120: that time does not count.
    assert worker.deadline(120.0) == 123.0
    worker.stopping, worker.leave_by = True, 130.0 + MARGIN
    assert worker.deadline(0.0) == 132.0
    assert worker.complaint == "did not leave in time"
    worker.kill_at = 131.0
    assert worker.deadline(0.0) == 131.0
    worker.inbox.close()
    os.close(writer)


def test_without_worker_timeout_nothing_is_taken_for_hanging() -> None:
    from server.process.test_sockets import settings

    reader, writer = os.pipe()
    worker = Worker(
        1,
        1,
        1,
        "api",
        settings("127.0.0.1:0", worker_timeout=0),
        Slot.local(),
        inbox := Inbox(reader),
        ForkedProcess(1, inbox, writer),
        started=100.0,
        ready_since=101.0,
    )
    assert worker.deadline(0.0) == math.inf
    worker.inbox.close()
    os.close(writer)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (None, "is gone"),
        (0, "ended with status 0"),
        (3, "ended with status 3"),
        (-11, "was killed by SIGSEGV"),
        (-63, "was killed by signal 63"),
    ],
)
def test_how_it_ended(code: int | None, words: str) -> None:
    assert how_it_ended(code) == words


def test_resident_bytes_grow_with_what_is_held() -> None:
    before = resident()
    held = bytearray(os.urandom(1)) * (64 << 20)
    assert resident() - before > 32 << 20
    assert len(held) == 64 << 20


def test_a_moved_log_file_is_opened_anew(tmp_path: Path) -> None:
    path, moved = tmp_path / "a.log", tmp_path / "a.log.1"
    handler = logging.FileHandler(path)
    logger = logging.getLogger("tests.process.reopen")
    logger.addHandler(handler)
    try:
        logger.warning("first")
        path.rename(moved)
        rotation.reopen(Identity())
        logger.warning("second")
        assert moved.read_text() == "first\n"
        assert path.read_text() == "second\n"
    finally:
        logger.removeHandler(handler)
        handler.close()


def test_a_log_file_that_cannot_be_opened_keeps_the_old_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    handler = logging.FileHandler(folder / "a.log")
    logger = logging.getLogger("tests.process.kept")
    logger.addHandler(handler)
    try:
        moved = tmp_path / "moved"
        folder.rename(moved)
        rotation.reopen()
        logger.warning("still here")
        assert (moved / "a.log").read_text() == "still here\n"
        assert "the old file is kept" in caplog.text
    finally:
        logger.removeHandler(handler)
        handler.close()
