"""The hub of a worker on the eventlet engine."""

from __future__ import annotations

import resource
import subprocess
import sys
import textwrap
from collections.abc import Callable

import live
import pytest

Start = Callable[..., live.LiveServer]
OURS = "wsgi_server._engines.epoll_hub"

# A program of its own: eventlet watches over the forks of whoever imports it.
POLLS = textwrap.dedent(
    """
    import fcntl, os, resource, select, sys
    from wsgi_server._engines.epoll_hub import FD_SETSIZE, NEAR, Hub

    beyond = sys.argv[1] == "beyond"
    resource.setrlimit(resource.RLIMIT_NOFILE, (FD_SETSIZE + 10,) * 2)
    hub = Hub()
    lowest = FD_SETSIZE if beyond else 3
    fd = fcntl.fcntl(hub.poll.fileno(), fcntl.F_DUPFD_CLOEXEC, lowest)
    hub.poll = select.epoll.fromfd(fd)
    assert (hub.poll.fileno() >= FD_SETSIZE) is beyond
    reader, writer = os.pipe()
    hub.poll.register(reader, select.EPOLLIN)
    for seconds in (0, NEAR / 50, NEAR):
        assert hub.do_poll(seconds) == []
    os.write(writer, b"!")
    for seconds in (0, NEAR / 50, NEAR, 60):
        assert hub.do_poll(seconds) == [(reader, select.EPOLLIN)]
    """
)


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
    """One form: who patches has the same hub, in which all other tests of that form run."""
    assert live_server("apps.hub:app", env=env).get().body == hub.encode()


@pytest.mark.parametrize("descriptor", ["within", "beyond"])
def test_it_waits_for_descriptors_and_for_time(descriptor: str) -> None:
    """Also with an epoll set whose descriptor `select` does not know."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= hard < 1100:
        pytest.skip(f"only {hard} descriptors may be open")
    words = [sys.executable, "-W", "ignore", "-c", POLLS, descriptor]
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
