"""Real services: started by a command of theirs or of ours, and stopped at the end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import live
import pytest

#: Seconds for a service to load: some take ten of a processor's.
LOADING: Final = 120.0
#: Where the commands and the files of the services are installed.
PREFIX: Final = Path(sys.prefix)

Launch = Callable[..., live.LiveServer]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    """A function that starts a command and waits until it listens.

    The command is a name in the environment, or `PYTHON` and a file.
    """
    servers: list[live.LiveServer] = []

    def start(*command: str, env: Mapping[str, str] | None = None) -> live.LiveServer:
        server = live.launch(tmp_path, _full(command), env=env, patience=LOADING)
        servers.append(server)
        return server

    with live.stopping(servers):
        yield start


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A function that runs a command, as that of `launch`, to its end."""

    def call(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            _full(command),
            cwd=tmp_path,
            env=live.environment(),
            capture_output=True,
            text=True,
            timeout=LOADING,
            check=False,
        )

    return call


def _full(command: tuple[str, ...]) -> list[str]:
    name, *args = command
    return [str(PREFIX / "bin" / name), *args]


@pytest.fixture(autouse=True)
def _no_files_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith("OS_")]:
        monkeypatch.delenv(name)
