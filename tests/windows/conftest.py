"""Fixtures of the tests that run on Windows; elsewhere none of them is collected."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from windows.servers import Serve, Server, Start

if sys.platform != "win32":
    # What stands there is sockets, processes and keys of Windows: `nox -s windows`.
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """A function that starts `python ARGUMENTS...`; what still runs at the end is ended."""
    servers: list[Server] = []

    def begin(
        *arguments: str,
        python: str = sys.executable,
        env: Mapping[str, str] | None = None,
    ) -> Server:
        server = Server(tmp_path, [python, *arguments], env)
        servers.append(server)
        return server

    yield begin
    for server in servers:
        server.process.kill()
        server.process.wait()
        assert server.process.stdin is not None
        server.process.stdin.close()


@pytest.fixture(params=["eventlet", "threads"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def serve(start: Start) -> Serve:
    """A function that starts `wsgi-server` with the application `apps.exercise:app`."""

    def begin(engine: str, *arguments: str, app: str = "apps.exercise:app") -> Server:
        options = ("--bind-host", "127.0.0.1", "--bind-port", "0", "--engine", engine)
        return start("-m", "wsgi_server", app, *options, *arguments)

    return begin
