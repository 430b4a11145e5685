"""Both engines as they are where there is no epoll; Linux has what stands in for it as well."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import live
import pytest
from apps import exercise

pytestmark = pytest.mark.forks


@pytest.fixture(scope="module", params=live.FORMS)
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[live.LiveServer]:
    server = live.start(
        tmp_path_factory.mktemp(request.param),
        live.application_of(request.param, "apps.exercise:app"),
        *("--bind-host", "127.0.0.1", "--bind-port", "0"),
        *("--engine", live.engine_of(request.param), "--workers", "1"),
        module="apps.without_epoll",
    )
    with live.stopping([server]):
        yield server


def test_nobody_uses_what_is_not_there(site: live.LiveServer) -> None:
    (worker,) = site.worker_pids()
    kinds = {Path(f"/proc/{worker}/fd/{fd}").readlink().name for fd in fds(worker)}
    assert not {kind for kind in kinds if "eventpoll" in kind or "eventfd" in kind}


def fds(pid: int) -> list[str]:
    return [path.name for path in Path(f"/proc/{pid}/fd").iterdir()]


def test_requests_in_one_piece_are_answered_in_order(site: live.LiveServer) -> None:
    request = b"GET /whole HTTP/1.1\r\nHost: a\r\n\r\n"
    last = b"GET /whole HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    with contextlib.closing(site.connect()) as client:
        client.sendall(20 * request + last)
        assert b"".join(iter(lambda: client.recv(65536), b"")).count(b"onetwo") == 21


def test_a_body_that_comes_slowly_goes_back_as_slowly(site: live.LiveServer) -> None:
    size = 8 << 20
    head = b"POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
    with contextlib.closing(site.connect()) as client:
        client.sendall(head + b"Content-Length: %d\r\n\r\n" % size)
        sender = threading.Thread(target=client.sendall, args=(bytes(size),))
        sender.start()
        received = b"".join(iter(lambda: client.recv(65536), b""))
        sender.join()
    assert received.count(b"\0") == size


def test_a_file_is_sent_without_the_kernel_s_help(site: live.LiveServer) -> None:
    content = Path(exercise.__file__).read_bytes()
    assert site.get("/file?0").body == content


def test_idle_connections_hold_nobody_up(site: live.LiveServer) -> None:
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(site.connect()) for _ in range(600)]
        answers = [site.get("/whole").text for _ in range(5)]
        for client in idle[::50]:
            client.sendall(b"GET /whole HTTP/1.1\r\nHost: a\r\n\r\n")
            assert client.recv(65536).startswith(b"HTTP/1.1 200 OK")
    assert answers == ["onetwo"] * 5
