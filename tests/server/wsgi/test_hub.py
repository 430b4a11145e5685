"""The hub of a worker on the eventlet engine."""

from __future__ import annotations

import fcntl
import os
import resource
import select
from collections.abc import Callable, Iterator

import live
import pytest
from wsgi_server._engines.hub import FD_SETSIZE, NEAR, Hub

Start = Callable[..., live.LiveServer]
OURS = Hub.__module__


@pytest.mark.parametrize("engine", ["eventlet"])
@pytest.mark.parametrize(
    ("env", "hub"),
    [
        ({}, OURS),
        ({"EVENTLET_HUB": "epolls"}, "eventlet.hubs.epolls"),
        ({"EVENTLET_HUB": "poll"}, "eventlet.hubs.poll"),
    ],
)
def test_a_worker_has_it_unless_the_environment_names_another(
    live_server: Start, env: dict[str, str], hub: str
) -> None:
    assert live_server("apps.hub:app", env=env).get().body == hub.encode()


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """As many as it takes to have one that `select` does not know."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard <= FD_SETSIZE:
        pytest.skip(f"only {hard} descriptors may be open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (FD_SETSIZE + 10, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("lowest", [3, FD_SETSIZE])
@pytest.mark.parametrize("seconds", [0, NEAR / 50, NEAR])
def test_it_waits_for_descriptors_and_for_time(
    many_descriptors: None, lowest: int, seconds: float
) -> None:
    hub = Hub()
    with hub.poll as first:
        copied = fcntl.fcntl(first.fileno(), fcntl.F_DUPFD_CLOEXEC, lowest)
        with select.epoll.fromfd(copied) as hub.poll:
            reader, writer = os.pipe()
            try:
                hub.poll.register(reader, select.EPOLLIN)
                assert hub.do_poll(seconds) == []
                os.write(writer, b"!")
                assert hub.do_poll(seconds) == [(reader, select.EPOLLIN)]
            finally:
                os.close(reader)
                os.close(writer)
