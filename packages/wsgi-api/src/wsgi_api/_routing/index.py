"""An index over routes: which of them can match a path, found segment by segment.

The index only narrows the choice. A route that consists of plain segments and whole
``{name}`` segments is decided here; every other one is confirmed by the regular
expression that Routes made for it, so that Routes alone says what a route means.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any, TypeAlias

from routes.route import Route

Piece: TypeAlias = "str | dict[str, str]"

# Methods that get their own tuple of routes at every leaf, besides those that some
# route names. Others are filtered on demand: the client makes them up.
_COMMON_METHODS = frozenset(
    {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"}
)

# Requirements that cannot match a slash, recognised by their letters; what is not
# recognised counts as one that can.
_CLASS_ITEM = r"(?:a-z|a-f|A-Z|A-F|0-9|\\[dw.\-]|[A-Za-z0-9_.])"
_SLASH_FREE = re.compile(
    rf"(?:[A-Za-z0-9_|()-]|\(\?:|\\[dw.\-]|\[{_CLASS_ITEM}+-?\]|[*+?]|\{{\d+(?:,\d*)?\}})+"
)


class Entry:
    """One route, as the index sees it."""

    __slots__ = ("exact", "fixed", "methods", "names", "prefix", "rank", "route")

    def __init__(self, route: Route, position: int) -> None:
        self.route = route
        self.prefix = _prefix(route)
        # Routes tries the longest literal beginning first, then the order of
        # connection (Mapper._match, since Routes 2.3).
        self.rank = (-len(self.prefix), position)
        conditions = route.conditions or {}
        self.methods: Any = conditions.get("method")
        self.names: tuple[tuple[str, int], ...] = ()
        self.fixed: dict[str, Any] = {}
        self.exact = set(conditions) <= {"method"}

    def accepts(self, method: str) -> bool:
        """Returns whether the conditions let a method through, as Routes asks it."""
        return self.methods is None or method in self.methods


class Leaf(dict["str | None", Sequence[Entry]]):
    """The routes that end at one place of the index, by method; all for ``None``.

    The first to try comes first.
    """

    __slots__ = ("entries",)

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[Entry] = []

    def finish(self, methods: Iterable[str]) -> None:
        """Sorts, once all routes are in."""
        self.entries.sort(key=attrgetter("rank"))
        self[None] = self.entries
        for method in methods:
            self[method] = self[method]

    def __missing__(self, method: str) -> Sequence[Entry]:
        return tuple(entry for entry in self.entries if entry.accepts(method))


class Node:
    """A place in the index: what may follow the segments that led here."""

    __slots__ = ("begun", "ends", "is_open", "literal", "rest", "whole")

    def __init__(self) -> None:
        self.literal: dict[str, Node] = {}
        self.whole: Node | None = None  # one {name} is the segment
        self.begun: dict[str, Node] = {}  # a segment that begins literally
        self.ends: Leaf | None = None  # the path ends here
        self.rest: Leaf | None = None  # whatever follows
        # Whether more than the next whole segment decides about the way on.
        self.is_open = False

    def leaves(self) -> Iterator[Leaf]:
        """Returns the leaves at this node and below."""
        for leaf in (self.ends, self.rest):
            if leaf is not None:
                yield leaf
        children = [*self.literal.values(), *self.begun.values()]
        if self.whole is not None:
            children.append(self.whole)
        for child in children:
            yield from child.leaves()


class Index:
    """The routes of a mapper, in a form whose lookup does not grow with their number.

    :param routes: in the order of connection
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self._root = Node()
        self._depth = 0
        self.entries = [Entry(route, n) for n, route in enumerate(routes)]
        for entry in self.entries:
            self._insert(entry)
        self.entries.sort(key=attrgetter("rank"))
        self.methods = frozenset(self._named_methods())
        for leaf in self._root.leaves():
            leaf.finish(self.methods | _COMMON_METHODS)
        # The whole paths that lead to their end by nothing but literal segments.
        self._literal = dict(_literal_ends(self._root))

    def find(
        self, path: str, method: str | None
    ) -> tuple[Sequence[Entry], Sequence[str]]:
        """Returns the routes that can match, in order, and the segments of the path.

        :param method: filters the routes; ``None`` does not
        """
        leaf = self._literal.get(path)
        if leaf is not None:
            return leaf[method], ()
        # One piece more than the longest route has: enough to know that it is longer.
        segments = path.split("/", self._depth)
        node = self._root
        for segment in segments:
            if node.is_open:
                return self._find_all(segments, method), segments
            child = node.literal.get(segment)
            if child is None:
                child = node.whole
                if child is None or not segment:
                    return (), segments
            elif node.whole is not None:
                return self._find_all(segments, method), segments
            node = child
        if node.is_open:
            return self._find_all(segments, method), segments
        leaf = node.ends
        return (() if leaf is None else leaf[method]), segments

    def _find_all(self, segments: Sequence[str], method: str | None) -> Sequence[Entry]:
        found: list[Leaf] = []
        _collect(self._root, segments, 0, found)
        entries = [entry for leaf in found for entry in leaf[method]]
        entries.sort(key=attrgetter("rank"))
        return entries

    def _insert(self, entry: Entry) -> None:
        route = entry.route
        if route.minimization:
            # Its end may be left out; only what stands before the last slash of the
            # literal beginning is certain.
            segments: list[list[Piece]] = [
                [part] for part in entry.prefix.split("/")[:-1]
            ]
            is_open = True
        else:
            segments, is_open = _segments(route)
        node, plain = self._walk(entry, segments)
        self._depth = max(self._depth, len(segments))
        if is_open:
            leaf = node.rest
            if leaf is None:
                leaf = node.rest = Leaf()
            node.is_open = True
        else:
            leaf = node.ends
            if leaf is None:
                leaf = node.ends = Leaf()
        entry.exact = entry.exact and plain and not is_open
        if entry.exact:
            taken = {name for name, _ in entry.names}
            entry.fixed = {
                key: value for key, value in route.defaults.items() if key not in taken
            }
        leaf.entries.append(entry)

    def _walk(self, entry: Entry, segments: list[list[Piece]]) -> tuple[Node, bool]:
        node = self._root
        plain = True
        names: dict[str, int] = {}
        for position, segment in enumerate(segments):
            first = segment[0]
            if len(segment) == 1 and isinstance(first, str):
                node = node.literal.setdefault(first, Node())
            elif len(segment) == 1 and _is_whole(entry.route, first):
                name = first["name"]  # type: ignore[index] # a dict, by _is_whole
                # A name that Routes refuses is left to Routes to refuse.
                plain = plain and name.isidentifier() and name not in names
                names[name] = position
                node.whole = node = node.whole or Node()
            else:
                plain = False
                begun = first if isinstance(first, str) else ""
                node.is_open = True
                node = node.begun.setdefault(begun, Node())
        entry.names = tuple(names.items())
        return node, plain

    def _named_methods(self) -> Iterator[str]:
        for entry in self.entries:
            if isinstance(entry.methods, str):
                yield entry.methods
            else:
                yield from entry.methods or ()


def _literal_ends(node: Node, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Leaf]]:
    if node.is_open:
        return
    if node.ends is not None:
        yield "/".join(path), node.ends
    # Beside a variable no literal segment decides alone.
    if node.whole is None:
        for segment, child in node.literal.items():
            yield from _literal_ends(child, (*path, segment))


def _collect(
    node: Node, segments: Sequence[str], position: int, found: list[Leaf]
) -> None:
    if node.rest is not None:
        found.append(node.rest)
    if position == len(segments):
        if node.ends is not None:
            found.append(node.ends)
        return
    segment = segments[position]
    child = node.literal.get(segment)
    if child is not None:
        _collect(child, segments, position + 1, found)
    if node.whole is not None and segment:
        _collect(node.whole, segments, position + 1, found)
    for begun, child in node.begun.items():
        if segment.startswith(begun):
            _collect(child, segments, position + 1, found)


def _prefix(route: Route) -> str:
    prefix = ""
    for part in route.routelist:
        if not isinstance(part, str):
            break
        prefix += part
    if route.minimization and not prefix.startswith("/"):
        prefix = "/" + prefix
    return prefix.rstrip("/")


def _segments(route: Route) -> tuple[list[list[Piece]], bool]:
    """Cuts a route at its slashes, as far as what follows cannot move them.

    Returns the segments and whether something else follows them.
    """
    segments: list[list[Piece]] = [[]]
    for part in route.routelist:
        if isinstance(part, str):
            first, *others = part.split("/")
            if first:
                segments[-1].append(first)
            segments.extend([other] if other else [] for other in others)
        elif _is_slash_free(route, part):
            segments[-1].append(part)
        else:
            # The segment that it is in has no certain end.
            return [_joined(segment) for segment in segments[:-1]], True
    return [_joined(segment) for segment in segments], False


def _joined(segment: list[Piece]) -> list[Piece]:
    if all(isinstance(piece, str) for piece in segment):
        return ["".join(piece for piece in segment if isinstance(piece, str))]
    return segment


def _is_slash_free(route: Route, part: dict[str, str]) -> bool:
    name = part["name"]
    if name == "controller":
        return False
    requirement = route.reqs.get(name)
    if requirement:
        return _SLASH_FREE.fullmatch(requirement) is not None
    return part["type"] in (":", ".", "{")


def _is_whole(route: Route, piece: Piece) -> bool:
    return (
        isinstance(piece, dict)
        and piece["type"] == ":"
        and not route.reqs.get(piece["name"])
    )
