"""The admin side over a server that behaves as one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from server.admin.support import Admin, running


@pytest.fixture
def admin() -> Iterator[Admin]:
    # Not tmp_path: the path of a Unix socket is short.
    with (
        tempfile.TemporaryDirectory(prefix="admin-") as folder,
        running(Path(folder, "s"), hosts=["ops.example"]) as found,
    ):
        yield found
