"""The pages promise nothing that no test holds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from wsgi_server._process.main_process import SIGNALS

HERE = Path(__file__).parent
DOCS = HERE.parents[2] / "docs"
PAGES = DOCS / "server"
NAMED = re.compile(r"`(test_\w+)`")


@pytest.mark.parametrize("page", ["signals-and-generations.md", "systemd.md"])
def test_every_test_that_the_page_names_exists(page: str) -> None:
    named = set(NAMED.findall((PAGES / page).read_text()))
    written = {
        name
        for path in HERE.parent.rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    assert len(named) > 5
    assert named <= written


def test_every_promise_names_its_test() -> None:
    """An item of a list is a promise, and so is a section without a list."""
    page = (PAGES / "signals-and-generations.md").read_text()
    promises = re.findall(r"^- .*(?:\n  .*)*", page, re.MULTILINE)
    promises += [s for s in page.split("\n## ")[1:] if "\n- " not in s]
    assert len(promises) > 30
    assert [promise for promise in promises if not NAMED.search(promise)] == []


@pytest.mark.parametrize(
    "page", ["server/signals-and-generations.md", "reference/exit-statuses.md"]
)
def test_the_page_explains_every_signal(page: str) -> None:
    table = (DOCS / page).read_text()
    explained = {name for row in _first_cells(table) for name in row.split("`, `")}
    names = {signum.name.removeprefix("SIG") for signum in SIGNALS}
    # The end of a child is between the server and the system.
    assert explained == names - {"CHLD"}


def _first_cells(page: str) -> list[str]:
    return re.findall(r"^\| `([A-Z`, 0-9]+)` \|", page, re.MULTILINE)
