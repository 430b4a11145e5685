"""The examples in README and documentation run as they are pasted."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
_PAGES = sorted((ROOT / "docs" / "api").glob("*.md"))
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.stem)
def test_the_examples_of_a_page_run_one_after_the_other(page: Path) -> None:
    pytest.importorskip("jsonschema")
    pytest.importorskip("orjson")
    # Named, so that classes made in it have a module.
    names: dict[str, Any] = {"__name__": page.stem}
    for block in _BLOCK.findall(page.read_text("utf-8")):
        exec(compile(block, str(page), "exec"), names)


def test_there_are_examples() -> None:
    assert sum(len(_BLOCK.findall(page.read_text("utf-8"))) for page in _PAGES) > 10


def test_the_example_of_the_readme_runs(tmp_path: Path) -> None:
    readme = ROOT / "packages" / "wsgi-api" / "README.md"
    for block in _BLOCK.findall(readme.read_text("utf-8")):
        name = block.splitlines()[0].removeprefix("# ")
        (tmp_path / name).write_text(block)
    command = [sys.executable, "-W", "ignore", "try.py"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=60)
