"""The drop-ins on a `cfg.CONF` of their own, and programs that serve through them.

Importing one registers options, as its original does. These tests share a process with
others, so the CONF that is filled is put away again.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import textwrap
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import live
import pytest
import tools
from oslo_config import cfg


def _imported(name: str) -> Iterator[types.ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cfg, "CONF", cfg.ConfigOpts())
        patch.delitem(sys.modules, name, raising=False)
        module = importlib.import_module(name)
        cfg.CONF([], default_config_files=[], default_config_dirs=[])
        yield module
        sys.modules.pop(name, None)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What runs a program of its own here starts a server, or imports a service."""
    for item in items:
        if {"run_program", "serving"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.forks)


@pytest.fixture
def glance() -> Iterator[types.ModuleType]:
    yield from _imported("wsgi_stack.glance")


@pytest.fixture
def heat() -> Iterator[types.ModuleType]:
    yield from _imported("wsgi_stack.heat")


@pytest.fixture
def run_program(tmp_path: Path) -> Callable[..., Any]:
    """Runs a program to its end and returns what it printed, as JSON."""

    def run(text: str, *arguments: str) -> Any:
        program = tmp_path / "program.py"
        program.write_text(textwrap.dedent(text), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, str(program), *arguments],
            cwd=tmp_path,
            env=live.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=live.PATIENCE,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Callable[..., live.LiveServer]]:
    """Starts a program that makes a server and waits for it; it is stopped at the end."""
    servers: list[live.LiveServer] = []

    def start(text: str, *arguments: str) -> live.LiveServer:
        program = tmp_path / "service.py"
        program.write_text(textwrap.dedent(text), encoding="utf-8")
        command = [sys.executable, str(program), *arguments]
        server = live.launch(tmp_path, command)
        servers.append(server)
        return server

    with live.stopping(servers):
        yield start


@pytest.fixture
def certificate(tmp_path: Path) -> dict[str, str]:
    """A certificate for localhost and its key, made by openssl."""
    cert, key = tools.self_signed(tmp_path)
    return {"cert_file": str(cert), "key_file": str(key)}
