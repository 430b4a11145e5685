"""The reader of imports finds each kind of them, and so does the search for circles."""

from __future__ import annotations

from pathlib import Path

import pytest
from import_graph import Import, circles, imports_of


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("import house.attic", ("house.attic", None)),
        ("import house.attic as above", ("house.attic", None)),
        ("from house.attic import box", ("house.attic", "box")),
        ("from house import attic", ("house.attic", None)),
        ("from house import key", ("house", "key")),
        ("from .. import attic", ("house.attic", None)),
        ("from ..attic import box", ("house.attic", "box")),
        ("from . import stairs", ("house.cellar.stairs", None)),
        ("from .stairs import step", ("house.cellar.stairs", "step")),
        ("import_module('house.attic')", ("house.attic", None)),
        ("importlib.import_module('..attic', __package__)", ("house.attic", None)),
        ("__import__('eventlet')", ("eventlet", None)),
    ],
)
@pytest.mark.parametrize(
    ("around", "lazy", "typing_only"),
    [
        ("{}", False, False),
        ("def later():\n    {}", True, False),
        ("if TYPE_CHECKING:\n    {}", False, True),
        ("if typing.TYPE_CHECKING:\n    {}", False, True),
        ("if TYPE_CHECKING:\n    pass\nelse:\n    {}", False, False),
        ("try:\n    {}\nexcept ImportError:\n    raise", False, False),
        ("class Door:\n    async def open(self):\n        {}", True, False),
    ],
)
def test_every_way_to_import_is_seen(
    tmp_path: Path,
    line: str,
    expected: tuple[str, str | None],
    around: str,
    lazy: bool,
    typing_only: bool,
) -> None:
    root = tmp_path / "house"
    (root / "cellar").mkdir(parents=True)
    for name in ("__init__", "attic", "cellar/__init__", "cellar/stairs"):
        (root / f"{name}.py").touch()
    (root / "cellar" / "lamp.py").write_text(around.format(line))
    found = [one for one in imports_of(root) if one.importer == "house.cellar.lamp"]
    (one,) = found
    assert (one.target, one.name) == expected
    assert (one.lazy, one.typing_only) == (lazy, typing_only)


def test_a_package_resolves_its_relative_imports_from_itself(tmp_path: Path) -> None:
    root = tmp_path / "house"
    root.mkdir()
    (root / "__init__.py").write_text("from .attic import box")
    (root / "attic.py").touch()
    assert imports_of(root) == [Import("house", "house.attic", "box", 1)]


@pytest.mark.parametrize(
    ("arrows", "expected"),
    [
        ("", []),
        ("ab bc ac", []),
        ("aa ab", []),
        ("ab ba", [["a", "b"]]),
        ("ab bc ca cd", [["a", "b", "c"]]),
        ("ab ba cd dc bc", [["a", "b"], ["c", "d"]]),
    ],
)
def test_a_circle_is_found_with_all_that_is_in_it(
    arrows: str, expected: list[list[str]]
) -> None:
    assert circles((arrow[0], arrow[1]) for arrow in arrows.split()) == expected
