"""Fixtures of all test suites: a live server, and its command."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import live
import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Gives hypothesis the same examples in every run, however busy the machine is.

    Others are tried with `--hypothesis-profile=default`, or by the session `fuzz`.
    """
    chosen = config.getoption("hypothesis_profile", default=None)
    # It is not there where only live servers are tested.
    if chosen is None and config.pluginmanager.hasplugin("hypothesispytest"):
        from hypothesis import HealthCheck, settings

        settings.register_profile(
            "steady",
            derandomize=True,
            database=None,
            suppress_health_check=[HealthCheck.too_slow],
        )
        settings.load_profile("steady")


@pytest.fixture(params=live.FORMS)
def engine(request: pytest.FixtureRequest) -> str:
    """The form that `live_server` runs in: each of `live.FORMS` in turn.

    A test of fewer says which, `@pytest.mark.parametrize("engine", ["eventlet"])`, and why
    in its docstring.
    """
    name: str = request.param
    return name


@pytest.fixture
def live_server(
    tmp_path: Path, engine: str
) -> Iterator[Callable[..., live.LiveServer]]:
    """A function that starts `wsgi-server APP ARGS...` on a port of the kernel's choice.

    `live_server("apps.hello:app", "--workers", "2")` returns a `live.LiveServer` that
    listens, with the application in the form of `engine`; keyword `env` adds to its environment, `listens=False` does not wait. Working
    directory is `tmp_path`. One worker unless the arguments say otherwise. Every server
    is stopped at the end of the test, and one that must be killed fails it.
    """
    servers: list[live.LiveServer] = []

    def start(
        app: str,
        *args: str,
        env: dict[str, str] | None = None,
        listens: bool = True,
    ) -> live.LiveServer:
        defaults = []
        if not any(arg.partition("=")[0].startswith("--bind") for arg in args):
            defaults += ["--bind-host", "127.0.0.1", "--bind-port", "0"]
        defaults += ["--engine", live.engine_of(engine), "--workers", "1"]
        app = live.application_of(engine, app)
        server = live.start(tmp_path, app, *defaults, *args, env=env, listens=listens)
        servers.append(server)
        return server

    with live.stopping(servers):
        yield start


@pytest.fixture
def live_program(tmp_path: Path) -> Iterator[Callable[..., live.LiveServer]]:
    """A function that starts `python -m MODULE ARGS...`, a program with a server in it.

    The program must say where it listens, as the server does. Otherwise as `live_server`.
    """
    servers: list[live.LiveServer] = []

    def start(
        module: str, *args: str, env: dict[str, str] | None = None, listens: bool = True
    ) -> live.LiveServer:
        server = live.start(tmp_path, *args, module=module, env=env, listens=listens)
        servers.append(server)
        return server

    with live.stopping(servers):
        yield start


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """A function that runs `wsgi-server ARGS...` to its end, within a bounded time."""

    def run(
        *args: str, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            live.command_line(*args),
            cwd=tmp_path,
            env=live.environment(env),
            capture_output=True,
            text=True,
            timeout=live.PATIENCE,
            check=False,
        )

    return run
