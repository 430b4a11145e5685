"""The pages promise nothing that no test holds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PAGES = HERE.parents[2] / "docs" / "server"


@pytest.mark.parametrize("page", ["signals-and-generations.md", "systemd.md"])
def test_every_test_that_the_page_names_exists(page: str) -> None:
    named = set(re.findall(r"`(test_\w+)`", (PAGES / page).read_text()))
    written = {
        name
        for path in HERE.parent.rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    assert len(named) > 5
    assert named <= written
