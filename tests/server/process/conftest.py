"""The service that the process tests start."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import live
import pytest
from server.process.support import Service

HERE = Path(__file__).parent


@pytest.fixture
def engine() -> str:
    """One form, where the process layer alone matters; see `both_engines`."""
    return "eventlet"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where the service's files are."""
    return tmp_path


@pytest.fixture
def service(home: Path, engine: str) -> Iterator[Service]:
    """A service with two workers on a port of the kernel's choice."""
    shutil.copy(HERE / "application.py", home)
    it = Service(home, engine)
    it.configure(
        bind_host="127.0.0.1",
        bind_port=0,
        workers=2,
        access_log="",
        graceful_timeout=10,
        engine=live.engine_of(engine),
    )
    with live.stopping(it.servers):
        yield it
