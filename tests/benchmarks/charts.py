"""Pictures and tables of the documentation, from a JSON file of results.

    python tests/benchmarks/charts.py [FILE]

Pictures have no background and grey letters, so that they can be read on light and on dark
pages; colours are those of Okabe and Ito, which the colour-blind tell apart, and everything
that has a colour has a shape as well.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from math import log2
from pathlib import Path
from typing import Any

import matplotlib as mpl
import tables
from contenders import EVENTLET, THREADS
from matplotlib import pyplot
from results import COMMITTED
from running import HERE

Data = Mapping[str, Any]
Row = dict[str, Mapping[str, Any]]
PICTURES = HERE.parents[1] / "docs/server/speed"
INK = "#7d7d7d"
#: Colour and shape of whom the pictures show; the matrix shows all.
STYLES = {
    EVENTLET: ("#0072B2", "D"),
    THREADS: ("#56B4E9", "s"),
    "granian": ("#D55E00", "o"),
    "uWSGI threads": ("#009E73", "^"),
    "bjoern": ("#CC79A7", "v"),
    "gunicorn gthread": ("#E69F00", "P"),
    "eventlet.wsgi": (INK, "X"),
}
WIDTH = 8.0
STYLE = {
    "svg.fonttype": "none",
    # The same picture for the same figures.
    "svg.hashsalt": "wsgi-stack",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "legend.framealpha": 0.0,
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    **dict.fromkeys(
        (
            *("text.color", "axes.edgecolor", "axes.labelcolor", "axes.titlecolor"),
            *("xtick.color", "ytick.color", "grid.color"),
        ),
        INK,
    ),
}


def main() -> int:
    """Draws and writes all of it."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else COMMITTED
    data = json.loads(path.read_text())
    PICTURES.mkdir(exist_ok=True)
    with mpl.rc_context(STYLE):
        for part, draw in (
            ("scenarios", draw_rates),
            ("scenarios", draw_costs),
            ("scenarios", draw_matrix),
            ("tails", draw_tails),
            ("footprint", draw_memory),
            ("layer", draw_layer),
        ):
            if data.get(part):
                draw(data)
    tables.write(data)
    return 0


def _save(figure: Any, name: str) -> None:
    path = PICTURES / f"{name}.svg"
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    pyplot.close(figure)
    # matplotlib ends lines with blanks.
    lines = [line.rstrip() for line in path.read_text().splitlines()]
    path.write_text("\n".join(lines) + "\n")
    print(path)


def of(name: str, servers: Row) -> Mapping[str, Any] | None:
    """The figures of a server, by itself or with the framework that goes with it."""
    for found, seen in servers.items():
        if found == name or found.startswith(f"{name} + "):
            return seen
    return None


def _dots(
    data: Data,
    title: str,
    value: Callable[[Mapping[str, Any], Mapping[str, Any]], float | None],
) -> Any:
    """A line for each scenario with a mark for each server, on a logarithmic scale."""
    names = [
        name
        for name, scenario in data["scenarios"].items()
        if of(EVENTLET, scenario["servers"])
    ][::-1]
    figure, axes = pyplot.subplots(figsize=(WIDTH, 1.6 + 0.34 * len(names)))
    for server, (colour, shape) in STYLES.items():
        places, values = [], []
        for place, name in enumerate(names):
            servers = data["scenarios"][name]["servers"]
            ours, seen = of(EVENTLET, servers), of(server, servers)
            if ours is None or seen is None:
                continue
            shown = value(seen, ours)
            if shown:
                places.append(place)
                values.append(shown)
        axes.scatter(
            values, places, s=42, c=colour, marker=shape, label=server, zorder=3
        )
    axes.set_yticks(range(len(names)), names)
    axes.set_xscale("log")
    axes.grid(axis="x", alpha=0.35, which="both")
    axes.set_title(title, loc="left")
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.45, -0.1), ncols=4, handletextpad=0.1
    )
    return figure, axes


def _ratio(one: float | None, other: float | None) -> float | None:
    return one / other if one and other else None


def _plain(axis: Any, values: Sequence[float], form: Callable[[float], str]) -> None:
    axis.set_major_locator(mpl.ticker.FixedLocator(values))
    axis.set_minor_locator(mpl.ticker.NullLocator())
    axis.set_major_formatter(mpl.ticker.FuncFormatter(lambda x, _: form(x)))


def draw_rates(data: Data) -> None:
    """How many times as many requests as the eventlet engine."""
    figure, axes = _dots(
        data,
        f"Requests a second, {EVENTLET} = 1; further right is faster",
        lambda seen, ours: _ratio(seen["rate"], ours["rate"]),
    )
    axes.axvline(1, color=STYLES[EVENTLET][0], linewidth=1)
    axes.set_xlim(0.02, 6)
    _plain(axes.xaxis, (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5), lambda x: f"{x:g}")
    _save(figure, "rates")


def draw_costs(data: Data) -> None:
    """CPU time of the server."""
    figure, axes = _dots(
        data,
        "CPU time of the server for a request, further left is cheaper",
        lambda seen, ours: seen["cpu"],
    )
    _plain(
        axes.xaxis,
        (10, 100, 1_000, 10_000, 100_000),
        lambda x: f"{x:g} µs" if x < 1000 else f"{x / 1000:g} ms",
    )
    _save(figure, "costs")


def draw_matrix(data: Data) -> None:
    """Every server in every scenario, by CPU time, beside the eventlet engine."""
    scenarios = {
        name: scenario["servers"]
        for name, scenario in data["scenarios"].items()
        if of(EVENTLET, scenario["servers"])
    }
    servers: list[str] = list(STYLES)
    for seen in scenarios.values():
        for name in seen:
            plain = name.partition(" + ")[0]
            if plain not in servers:
                servers.append(plain)
    figure, axes = pyplot.subplots(
        figsize=(WIDTH + 1, 1.2 + 0.36 * len(scenarios)),
    )
    grid = []
    for row, seen in enumerate(scenarios.values()):
        ours = of(EVENTLET, seen) or {}
        line = []
        for column, name in enumerate(servers):
            one = of(name, seen)
            ratio = _ratio(ours.get("cpu"), one["cpu"] if one else None)
            line.append(float("nan") if ratio is None else log2(ratio))
            if ratio is not None:
                text = f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"
                dark = abs(log2(ratio)) > 2.0
                colour = "#ffffff" if dark else "#202020"
                axes.text(
                    *(column, row, text),
                    ha="center",
                    va="center",
                    color=colour,
                    fontsize=8,
                )
        grid.append(line)
    axes.imshow(grid, cmap="PuOr_r", vmin=-4, vmax=4, aspect="auto")
    axes.set_xticks(range(len(servers)), servers, rotation=40, ha="right")
    axes.set_yticks(range(len(scenarios)), list(scenarios))
    axes.spines[:].set_visible(False)
    axes.set_title(
        f"Requests for a second of CPU time, {EVENTLET} = 1: orange does more, violet less",
        loc="left",
    )
    _save(figure, "matrix")


def draw_tails(data: Data) -> None:
    """Latencies at half and at four fifths of what a server can do."""
    found: dict[str, list[Data]] = {}
    for row in data["tails"].values():
        found.setdefault(f"{row['share']:.0%} of its top rate", []).append(row)
    figure, panels = pyplot.subplots(
        1, len(found), figsize=(WIDTH, 3.4), sharey=True, squeeze=False
    )
    kinds = ("p50", "p99", "p999")
    for axes, (title, rows) in zip(panels[0], found.items(), strict=True):
        for row in rows:
            colour, shape = STYLES.get(row["server"], (INK, "."))
            axes.plot(
                range(len(kinds)),
                [row[kind] for kind in kinds],
                color=colour,
                marker=shape,
                linestyle="-" if row["honest"] else ":",
                label=row["server"],
            )
        axes.set_yscale("log")
        axes.set_xticks(range(len(kinds)), ["median", "p99", "p99.9"])
        axes.set_title(title, loc="left")
        axes.grid(axis="y", alpha=0.35)
    panels[0][0].set_ylabel("milliseconds")
    _plain(
        panels[0][0].yaxis,
        (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 1000),
        lambda y: f"{y:g}",
    )
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=4)
    _save(figure, "tails")


def draw_memory(data: Data) -> None:
    """What supervisor and workers weigh, loaded apart and preloaded."""
    rows = list(data["footprint"].values())
    panels = sorted(
        {(r["app"], r["workers"]) for r in rows}, key=lambda p: (p[0] != "hello", p[1])
    )
    servers = list(dict.fromkeys(r["server"] for r in rows))[::-1]
    figure, all_axes = pyplot.subplots(
        1, len(panels), figsize=(WIDTH + 1, 2.6), sharey=True, squeeze=False
    )
    for axes, (app, workers) in zip(all_axes[0], panels, strict=True):
        for preload, height, alpha in ((False, 0.18, 1.0), (True, -0.18, 0.5)):
            for row in rows:
                if (row["app"], row["workers"], row["preload"]) != (
                    *(app, workers),
                    preload,
                ):
                    continue
                place = servers.index(row["server"]) + height
                axes.barh(
                    place,
                    row["mib"],
                    0.34,
                    color=STYLES[row["server"]][0],
                    alpha=alpha,
                    hatch="//" if preload else "",
                    edgecolor=INK,
                    linewidth=0.4,
                )
                axes.text(row["mib"], place, f" {row['mib']:.0f}", va="center", size=7)
        axes.set_title(f"{app}, {workers} workers", loc="left", size=9)
        axes.margins(x=0.2)
        axes.set_yticks(range(len(servers)), servers)
    figure.text(0.1, -0.04, "MiB (PSS); hatched: loaded once, before the fork", size=9)
    _save(figure, "memory")


def draw_layer(data: Data) -> None:
    """What a request takes in the request layer, and in others."""
    rows = data["layer"]
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    styles = (*list(STYLES.values())[:2], ("#E69F00", "P"), ("#D55E00", "o"))
    figure, axes = pyplot.subplots(figsize=(WIDTH, 1.2 + 0.36 * len(rows)))
    places = range(len(rows))[::-1]
    for name, (colour, shape) in zip(names, styles, strict=False):
        values = [row.get(name) for row in rows.values()]
        axes.scatter(values, places, s=42, c=colour, marker=shape, label=name, zorder=3)
    axes.set_yticks(places, list(rows))
    axes.set_xscale("log")
    _plain(axes.xaxis, (5, 10, 20, 50, 100, 200), lambda x: f"{x:g} µs")
    axes.grid(axis="x", alpha=0.35)
    axes.set_title("CPU time of a request, further left is cheaper", loc="left")
    axes.legend(loc="upper center", bbox_to_anchor=(0.4, -0.12), ncols=4)
    _save(figure, "layer")


if __name__ == "__main__":
    sys.exit(main())
