"""Faults of the engine itself: it outlives them, says each once, and takes its time."""

from __future__ import annotations

import contextlib
import logging
import os
import select
from collections.abc import Callable
from pathlib import Path

import live
import pytest
from wsgi_server._engines.callbacks import Callbacks
from wsgi_server._engines.faults import FIRST_REST, LONGEST_REST, Faults

Start = Callable[..., live.LiveServer]


def start(live_server: Start, tmp_path: Path) -> tuple[live.LiveServer, Path, Path]:
    fault, failures = tmp_path / "fault", tmp_path / "failures"
    env = {"FAULT": str(fault), "FAILURES": str(failures)}
    return live_server("apps.faulty:app", env=env), fault, failures


@pytest.mark.forks
def test_a_fault_in_accepting_harms_nobody_who_is_connected(
    live_server: Start, tmp_path: Path
) -> None:
    server, fault, failures = start(live_server, tmp_path)
    with contextlib.closing(server.client()) as early:
        early.request("GET", "/whole")
        assert early.getresponse().read() == b"onetwo"
        fault.write_text("accept")
        with contextlib.closing(server.client()) as late:
            # The kernel has it, so whoever accepts is woken again and again.
            late.request("GET", "/whole")
            server.wait_for_log("a client could not be accepted")
            for _ in range(500):
                early.request("GET", "/whole")
                assert early.getresponse().read() == b"onetwo"
            server.wait_for("another attempt", lambda: failures.stat().st_size > 2)
            attempts = failures.stat().st_size
            fault.unlink()
            assert late.getresponse().read() == b"onetwo"
    # Hundreds of turns of the loop, and a few attempts.
    assert attempts < 50
    assert server.log().count("RuntimeError: a fault in accept") == 1


@pytest.mark.forks
def test_a_fault_in_the_loop_is_said_once_and_outlived(
    live_server: Start, tmp_path: Path
) -> None:
    server, fault, failures = start(live_server, tmp_path)
    assert server.get("/whole").body == b"onetwo"
    workers = server.worker_pids()
    fault.write_text("collect")
    with contextlib.closing(server.client()) as client:
        client.request("GET", "/whole")
        server.wait_for_log("the engine failed in its loop")
        server.wait_for("more of them", lambda: failures.stat().st_size > 4)
        fault.unlink()
        assert client.getresponse().read() == b"onetwo"
    assert server.log().count("RuntimeError: a fault in collect") == 1
    assert server.worker_pids() == workers
    assert server.stop() == 0


def test_a_callback_that_fails_rests_and_is_called_again() -> None:
    due: list[Callable[[], object]] = []
    called = []
    reader, writer = os.pipe()

    def callback() -> None:
        called.append(1)
        if len(called) < 3:
            raise RuntimeError("not yet")

    with contextlib.closing(select.epoll()) as epoll:
        callbacks = Callbacks(epoll, Faults(), lambda _, later: due.append(later))
        callbacks.add(reader, callback)
        os.write(writer, b"!")
        for turn in range(1, 4):
            ((fd, _),) = epoll.poll(0)
            callbacks.call(fd)
            assert len(called) == turn
            if turn < 3:
                # Still readable, and nobody is told before its time.
                assert epoll.poll(0) == []
                due.pop()()
        assert epoll.poll(0) == [(reader, select.EPOLLIN)]
        callbacks.remove(reader)
    os.close(reader)
    os.close(writer)


def test_the_same_fault_is_logged_once_and_rests_longer_each_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    faults = Faults()
    rests = []

    def fail(kind: type[Exception]) -> None:
        try:
            raise kind("again")  # noqa: TRY301  to be caught here
        except kind:
            rests.append(faults.note("it failed"))

    with caplog.at_level(logging.ERROR):
        for _ in range(10):
            fail(RuntimeError)
        assert len(caplog.records) == 1
        fail(ValueError)
    assert [record.exc_info[0] for record in caplog.records] == [  # type: ignore[index]
        RuntimeError,
        ValueError,
    ]
    assert rests[0] == rests[-1] == FIRST_REST
    assert rests[:-1] == sorted(rests[:-1])
    assert rests[9] == LONGEST_REST
