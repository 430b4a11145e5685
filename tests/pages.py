"""The code that pages of the documentation show, for tests that run it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def blocks(page: str, language: str = "python") -> list[str]:
    """The blocks of a language on a page, which is a path from the root."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", text)


def block(page: str, containing: str, language: str = "python") -> str:
    """The one block on a page with `containing` in it."""
    (found,) = [each for each in blocks(page, language) if containing in each]
    return found
