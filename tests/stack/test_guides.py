"""The guides name tests that there are."""

from __future__ import annotations

import re

import pages


def test_every_test_that_the_guide_names_exists() -> None:
    page = (pages.ROOT / "docs/stack/from-glance.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", page))
    written = {
        name
        for path in (pages.ROOT / "tests").rglob("*.py")
        for name in re.findall(r"(?m)^def (test_\w+)", path.read_text(encoding="utf-8"))
    }

    assert len(named) > 10
    assert named <= written
