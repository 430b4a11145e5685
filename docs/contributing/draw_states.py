"""Draws the states of a connection from their table: `nox -s docs` keeps the picture true.

    python docs/contributing/draw_states.py FILE

Each state is a box with one line for each way out of it; the line runs to a lane of its own
at the right and from there to the state that follows. The ways that every state has, to
being closed, are told once and not drawn.
"""

from __future__ import annotations

import sys
from html import escape
from pathlib import Path
from typing import NamedTuple

from wsgi_server._connection.state import TRANSITIONS, State

MARGIN = 16
LINE = 18
GAP = 14
BOX = 440
LABELS = 170
LANE = 11
FIRST_LANE = MARGIN + BOX + LABELS

STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2933; }
.paper { fill: #fbfbf8; stroke: #c9ced6; }
.box { fill: #e8eef6; stroke: #51627a; }
.name { font-weight: 600; }
.way { fill: none; stroke: #51627a; stroke-width: 1.2; }
.back { stroke: #a2551b; }
.head { fill: #51627a; }
.head.back { fill: #a2551b; stroke: none; }
"""


class Box(NamedTuple):
    """Where a state stands in the picture."""

    top: int
    height: int


def boxes() -> dict[State, Box]:
    """One below the other, in the order of the table, each as high as it has ways out."""
    placed, top = {}, MARGIN
    for state, following in TRANSITIONS.items():
        height = LINE * max(1, len(following)) + 8
        placed[state] = Box(top, height)
        top += height + GAP
    return placed


def drawing() -> str:
    """The picture as SVG, on a ground of its own: readable on light pages and on dark."""
    placed = boxes()
    ways = [(a, b, why) for a, after in TRANSITIONS.items() for b, why in after.items()]
    # The farther a way goes, the farther right: shorter ones do not cross its lane.
    order = sorted(range(len(ways)), key=lambda i: _distance(placed, ways[i]))
    lane_of = {way: FIRST_LANE + LANE * number for number, way in enumerate(order)}
    entries = dict.fromkeys(placed, 0)
    parts = []
    for number, (source, target, why) in enumerate(ways):
        row = list(TRANSITIONS[source]).index(target)
        start = placed[source].top + 4 + LINE * row + LINE // 2
        entries[target] += 1
        end = placed[target].top - GAP + 3 + 3 * (entries[target] % 4)
        parts += _way(start, end, lane_of[number], why)
    width = FIRST_LANE + LANE * len(ways) + MARGIN
    last = list(placed.values())[-1]
    height = last.top + last.height + MARGIN
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" role="img">',
            "<title>The states of a connection and the ways between them</title>",
            f"<style>{STYLE}</style>",
            f'<rect class="paper" width="{width}" height="{height}" rx="6"/>',
            *parts,
            *(line for state, box in placed.items() for line in _box(state, box)),
            "</svg>\n",
        ]
    )


def _distance(placed: dict[State, Box], way: tuple[State, State, str]) -> int:
    return abs(placed[way[0]].top - placed[way[1]].top)


def _box(state: State, box: Box) -> list[str]:
    middle = box.top + box.height // 2 + 5
    return [
        f'<rect class="box" x="{MARGIN}" y="{box.top}" width="{BOX}" '
        f'height="{box.height}" rx="4"/>',
        f'<text x="{MARGIN + 10}" y="{middle}"><tspan class="name">{state.name}</tspan> '
        f"{escape(str(state.value))}</text>",
    ]


def _way(start: int, end: int, lane: int, why: str) -> list[str]:
    left = MARGIN + BOX
    kind = "way back" if end < start else "way"
    head = "head back" if end < start else "head"
    return [
        f'<path class="{kind}" d="M{left} {start}H{lane}V{end}H{left - 24}V{end + 6}"/>',
        f'<path class="{head}" d="M{left - 24} {end + 9}l-4 -7h8z"/>',
        f'<text x="{left + 8}" y="{start - 3}">{escape(why)}</text>',
    ]


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(drawing(), "utf-8")
