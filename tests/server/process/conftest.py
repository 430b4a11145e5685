"""The service that the process tests start."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import live
import pytest
from server.process.support import Service
from server.process.watching import Watched
from wsgi_server._command.client import Client

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


@pytest.fixture
def watched(
    live_server: Callable[..., live.LiveServer], control: Path
) -> Callable[..., Watched]:
    """A function that starts a server with an admin side, as `live_server` does."""

    def start(app: str = "apps.exercise:app", *args: str, **kw: Any) -> Watched:
        server = live_server(
            app,
            *("--admin-bind", "127.0.0.1:0", "--control-socket", str(control)),
            *args,
            **kw,
        )
        return Watched(server, Client(str(control)), control)

    return start


@pytest.fixture
def control() -> Iterator[Path]:
    """Where a control socket may be: its path is short."""
    with tempfile.TemporaryDirectory(prefix="ctl-") as folder:
        yield Path(folder, "s")
