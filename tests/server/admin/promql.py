"""Which series an expression of PromQL asks for, so that a file can be held to the code.

It knows as much of the language as our rules and dashboard use; promtool checks the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r'(?P<string>"(?:[^"\\]|\\.)*")|(?P<duration>\[[^\]]*\])|(?P<name>[a-zA-Z_:][\w:]*)'
    r"|(?P<number>\d[\w.]*)|(?P<sign>=~|!~|!=|==|<=|>=|[-+*/%^<>=(){},])|(?P<blank>\s+)"
)
_WORDS = frozenset({"and", "or", "unless", "bool", "offset"})
_GROUPINGS = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})


@dataclass
class Asked:
    """What one expression names."""

    #: Each metric with the matchers behind it: label, operator, value.
    metrics: list[tuple[str, list[tuple[str, str, str]]]] = field(default_factory=list)
    #: Labels that it groups or joins by.
    labels: set[str] = field(default_factory=set)


def asked(expression: str) -> Asked:
    """What `expression` names. Raises `ValueError` for what is not understood."""
    found = Asked()
    tokens = list(_tokens(expression))
    at = 0
    while at < len(tokens):
        kind, text = tokens[at]
        follows = tokens[at + 1][1] if at + 1 < len(tokens) else ""
        if kind == "name" and text in _GROUPINGS:
            end = tokens.index(("sign", ")"), at)
            found.labels |= {word for sort, word in tokens[at:end] if sort == "name"}
            found.labels -= _GROUPINGS
            at = end
        elif kind == "name" and text not in _WORDS and not _is_call(tokens, at):
            end = tokens.index(("sign", "}"), at) if follows == "{" else at
            found.metrics.append((text, list(_matchers(tokens[at + 2 : end]))))
            at = end
        at += 1
    return found


def _is_call(tokens: list[tuple[str, str]], at: int) -> bool:
    """Whether the name there is that of a function or an aggregation."""
    follows = tokens[at + 1][1] if at + 1 < len(tokens) else ""
    return follows == "(" or follows in ("by", "without")


def _matchers(tokens: list[tuple[str, str]]) -> Iterator[tuple[str, str, str]]:
    while tokens:
        (sort, label), (_, operator), (kind, value) = tokens[:3]
        if sort != "name" or kind != "string":
            raise ValueError(f"no matcher: {tokens[:3]}")
        yield label, operator, value[1:-1]
        tokens = tokens[4:]


def _tokens(expression: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(expression):
        match = _TOKEN.match(expression, at)
        if match is None:
            raise ValueError(f"not understood: {expression[at:]!r}")
        at = match.end()
        if match.lastgroup not in ("blank", "duration"):
            yield str(match.lastgroup), match.group()
