"""Pools that the end of a worker waits for. Eventlet scenarios run in their own process."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path

import live
import pytest
import wsgi_server
from wsgi_server import pools

Start = Callable[..., live.LiveServer]


def run(program: str) -> list[str]:
    """The lines that a program prints; it fails the test when it fails."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_without_eventlet_there_is_nothing_to_wait_for() -> None:
    assert pools.wait_all_pools(0.1) is True


def test_a_pool_of_threads_is_waited_for_and_a_busy_one_is_counted() -> None:
    gate = threading.Event()
    pool = wsgi_server.get_asynchronous_pool(2)
    job = pool.submit(gate.wait, 30)
    try:
        assert pools.wait_all_pools(0.05) is False
        assert not job.done()
    finally:
        gate.set()
    assert pools.wait_all_pools(30) is True
    assert job.result() is True
    with pytest.raises(RuntimeError, match="shutdown"):
        pool.submit(gate.wait)


def test_the_pool_is_a_green_pool_of_that_size() -> None:
    assert run(
        """
        import eventlet, wsgi_server
        pool = wsgi_server.get_asynchronous_eventlet_pool(size=2)
        print(isinstance(pool, eventlet.GreenPool), pool.size)
        print(wsgi_server.get_asynchronous_eventlet_pool().size)
        """
    ) == ["True", "2", "1000"]


def test_waiting_ends_when_every_pool_is_empty() -> None:
    assert run(
        """
        import eventlet
        from wsgi_server import pools
        first, second = pools.get_asynchronous_eventlet_pool(), None
        def work(n):
            global second
            eventlet.sleep(0.01)
            print(n)
            if n == 0:
                # Work that makes more work, in a pool that was not there before.
                second = pools.get_asynchronous_eventlet_pool()
                second.spawn_n(work, 9)
        first.spawn_n(work, 0)
        print(pools.wait_all_pools(10))
        """
    ) == ["0", "9", "True"]


def test_waiting_has_an_end() -> None:
    assert run(
        """
        import eventlet, logging, sys
        from wsgi_server import pools
        logging.basicConfig(stream=sys.stdout, format="%(message)s")
        pool = pools.get_asynchronous_eventlet_pool()
        pool.spawn_n(eventlet.sleep, 3600)
        print(pools.wait_all_pools(0.05))
        """
    ) == [
        *["1", "greenlets", "in", "pools", "did", "not", "finish", "in", "0.05", "s"],
        "False",
    ]


def test_a_pool_that_nobody_holds_is_forgotten_once_it_is_empty() -> None:
    assert run(
        """
        import eventlet, gc
        from wsgi_server import pools
        pool = pools.get_asynchronous_eventlet_pool()
        pool.spawn_n(eventlet.sleep, 0.01)
        del pool
        gc.collect()
        print(len(pools._pools))
        pools.wait_all_pools()
        gc.collect()
        print(len(pools._pools))
        """
    ) == ["1", "0"]


def test_a_child_does_not_wait_for_what_only_its_parent_runs() -> None:
    assert run(
        """
        import eventlet, os
        from wsgi_server import pools
        pool = pools.get_asynchronous_eventlet_pool(size=1)
        pool.spawn_n(eventlet.sleep, 3600)
        pid = os.fork()
        if pid == 0:
            pools.renew(green=False)
            print(pool.running(), pool.free(), pools.wait_all_pools(5), flush=True)
            os._exit(0)
        os.waitpid(pid, 0)
        print(pool.running())
        """
    ) == ["0", "1", "True", "1"]


def test_the_hub_works() -> None:
    lines = run(
        """
        import eventlet, wsgi_server
        wsgi_server.set_eventlet_hub()
        print(type(eventlet.hubs.get_hub()).__module__)
        reader, writer = map(eventlet.greenio.GreenSocket, __import__("socket").socketpair())
        eventlet.spawn_n(writer.sendall, b"woken")
        print(reader.recv(5).decode())
        """
    )
    assert lines == [
        f"eventlet.hubs.{'epolls' if sys.platform == 'linux' else 'poll'}",
        "woken",
    ]


def test_a_platform_without_any_hub_is_said_so() -> None:
    assert run(
        """
        import wsgi_server, wsgi_server.errors
        from eventlet.hubs import epolls, kqueue, poll, selects
        for module in (epolls, kqueue, poll, selects):
            module.is_available = lambda: False
        try:
            wsgi_server.set_eventlet_hub()
        except wsgi_server.errors.ServerError as exc:
            print(str(exc).replace(" ", "_"))
        """
    ) == ["eventlet_has_no_hub_for_this_platform_(tried_epolls,_kqueue,_poll,_selects)"]


@pytest.mark.forks
@pytest.mark.parametrize(
    ("engine", "app"),
    [
        ("eventlet", "apps.background:app"),
        ("eventlet", "apps.jobs:app"),
        ("patched", "apps.background:app"),
        ("patched", "apps.jobs:app"),
        ("threads", "apps.jobs:app"),
    ],
)
@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_stopping_worker_waits_for_its_pools(
    live_server: Start, tmp_path: Path, workers: str, app: str
) -> None:
    """Green pools belong to eventlet; pools of threads work with both engines."""
    server = live_server(app, "--workers", workers)
    assert server.get(f"{tmp_path}/done").status == 202
    server.send(signal.SIGTERM)
    server.wait_for_log("stopping when all is answered")
    assert not (tmp_path / "done").exists()
    (tmp_path / "go").touch()
    assert server.wait() == 0
    assert (tmp_path / "done").read_text() == "done"


@pytest.mark.forks
@pytest.mark.parametrize("engine", ["eventlet", "patched"])
def test_greenlets_that_loading_starts_go_on_in_the_worker(live_server: Start) -> None:
    """One engine in two forms: native threads have no hub that a fork could take away."""
    server = live_server("apps.early_greenlet:app")
    server.wait_for("the greenlet's work", lambda: server.get("/").body == b"worked")
    assert server.stop() == 0
