"""What the modules of a package import from it, read from their source.

Nothing is imported: a module that some system lacks the means for is read like any other,
and so is what a function imports when it is called.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Import:
    """What one module imports: a module of whatever package, or a name out of it."""

    importer: str
    target: str
    name: str | None
    line: int
    lazy: bool = False
    typing_only: bool = False

    def __str__(self) -> str:
        what = self.target if self.name is None else f"{self.target}.{self.name}"
        return f"{self.importer}:{self.line} imports {what}"


def module_names(root: Path) -> dict[str, Path]:
    """The modules of the package in this folder, by their full names."""
    names = {}
    for file in sorted(root.rglob("*.py")):
        parts = [root.name, *file.relative_to(root).with_suffix("").parts]
        if parts[-1] == "__init__":
            parts.pop()
        names[".".join(parts)] = file
    assert names, f"no modules under {root}"
    return names


def imports_of(root: Path) -> list[Import]:
    """Everything that the modules of a package import, with relative names resolved."""
    modules = module_names(root)
    return [
        found
        for name, file in modules.items()
        for found in _Reader(name, file, frozenset(modules)).read()
    ]


class _Reader:
    """Reads the imports of one module."""

    def __init__(self, name: str, file: Path, modules: frozenset[str]) -> None:
        self._name = name
        self._modules = modules
        self._package = name if file.stem == "__init__" else name.rpartition(".")[0]
        self._tree = ast.parse(file.read_text("utf-8"), str(file))

    def read(self) -> Iterator[Import]:
        return self._inside(self._tree, lazy=False, typing_only=False)

    def _inside(
        self, node: ast.AST, *, lazy: bool, typing_only: bool
    ) -> Iterator[Import]:
        for target, name in self._targets(node):
            line = getattr(node, "lineno", 0)
            yield Import(self._name, target, name, line, lazy, typing_only)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith(
            "TYPE_CHECKING"
        ):
            for then in node.body:
                yield from self._inside(then, lazy=lazy, typing_only=True)
            for other in node.orelse:
                yield from self._inside(other, lazy=lazy, typing_only=typing_only)
            return
        lazy = lazy or isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
        )
        for child in ast.iter_child_nodes(node):
            yield from self._inside(child, lazy=lazy, typing_only=typing_only)

    def _targets(self, node: ast.AST) -> Iterator[tuple[str, str | None]]:
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = self._resolve(node.module or "", node.level)
            for alias in node.names:
                # `from package import module` names the module, not the package.
                inner = f"{base}.{alias.name}"
                yield (inner, None) if inner in self._modules else (base, alias.name)
        elif isinstance(node, ast.Call) and node.args:
            function = ast.unparse(node.func).rpartition(".")[2]
            named = node.args[0]
            if (
                function in {"import_module", "__import__"}
                and isinstance(named, ast.Constant)
                and isinstance(named.value, str)
            ):
                name = named.value.lstrip(".")
                yield self._resolve(name, len(named.value) - len(name)), None

    def _resolve(self, name: str, level: int) -> str:
        if not level:
            return name
        parts = self._package.split(".")
        base = parts[: len(parts) - level + 1]
        return ".".join([*base, name] if name else base)


def circles(arrows: Iterable[tuple[str, str]]) -> list[list[str]]:
    """The groups of modules that reach one another, each sorted; none in a good house."""
    graph: dict[str, set[str]] = {}
    for source, target in arrows:
        if source != target:
            graph.setdefault(source, set()).add(target)
            graph.setdefault(target, set())
    reach = {name: _reachable(graph, name) for name in graph}
    found = {
        tuple(sorted(other for other in reach[name] if name in reach[other]))
        for name in graph
        if name in reach[name]
    }
    return [list(circle) for circle in sorted(found)]


def _reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting.extend(graph[name])
    return seen
