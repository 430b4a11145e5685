"""The parts of the documentation's pages that are made of results: between two comments.

`<!-- results: NAME -->` opens a part, `<!-- end -->` closes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from contenders import EVENTLET, THREADS
from running import HERE

Data = Mapping[str, Any]
DOCS = HERE.parents[1] / "docs"
PAGES = (DOCS / "server/benchmarks.md", DOCS / "api/benchmarks.md")
PART = re.compile(r"(<!-- results: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
#: Ratios nearer to one than this are told as level.
LEVEL = 0.03


def write(data: Data) -> None:
    """Puts what there are results for into the pages."""
    for page in PAGES:
        page.write_text(filled(page.read_text("utf-8"), data), "utf-8")
        print(page)


def filled(text: str, data: Data) -> str:
    """A page's text with its parts made anew, where there are results for them."""
    return PART.sub(lambda found: _part(found, data), text)


def _part(found: re.Match[str], data: Data) -> str:
    opening, name, closing = found.groups()
    lines = [*PARTS[name](data)]
    return "\n".join([opening, *lines, "", closing]) if lines else found[0]


def circumstances(data: Data) -> Iterator[str]:
    """Where, when and with what."""
    if "scenarios" not in data:
        return
    known = data["circumstances"]
    versions = ", ".join(f"{k} {v}" for k, v in known["versions"].items())
    yield (
        f"Measured on {known['date']} at revision `{known['revision']}`: {known['cpus']} "
        f"virtual cores of {known['cpu']}, Linux {known['kernel']}, Python "
        f"{known['python']}. Versions: {versions}."
    )
    if data.get("note"):
        yield ""
        yield f"**{data['note']}**"


def standing(data: Data) -> Iterator[str]:
    """Each scenario beside the fastest of the others."""
    if "scenarios" not in data:
        return
    yield (
        "**Bold is behind**: the fastest of the others answers more requests a second, or "
        "takes less CPU time for each."
    )
    yield ""
    yield "| scenario | fastest of the others | eventlet engine | by CPU | threads engine | by CPU |"
    yield "| --- | --- | ---: | ---: | ---: | ---: |"
    for name, scenario in data.get("scenarios", {}).items():
        seen = scenario["servers"]
        others = {k: v for k, v in seen.items() if not k.startswith("wsgi-server")}
        if not others:
            continue
        best = max(others, key=lambda k: others[k]["rate"])
        cells = [name, best]
        for engine in (EVENTLET, THREADS):
            ours = next((v for k, v in seen.items() if k.startswith(engine)), None)
            if ours is None:
                cells += ["-", "-"]
                continue
            cells.append(_times(ours["rate"], others[best]["rate"]))
            cells.append(_times(others[best]["cpu"], ours["cpu"]))
        yield _row(cells)


def pictures(data: Data) -> Iterator[str]:
    """All servers in all scenarios."""
    if "scenarios" not in data:
        return
    yield _picture(
        "Requests a second of each server beside the eventlet engine", "rates"
    )
    yield ""
    yield _picture("CPU time that each server takes for a request", "costs")
    yield ""
    yield _picture(
        "Requests for a second of CPU time, every server and scenario", "matrix"
    )


def _picture(told: str, name: str, folder: str = "speed") -> str:
    return f"![{told}]({folder}/{name}.svg)"


def _times(one: float | None, other: float | None) -> str:
    if not one or not other:
        return "-"
    ratio = one / other
    return f"**{ratio:.2f}x**" if ratio < 1 - LEVEL else f"{ratio:.2f}x"


def scenarios(data: Data) -> Iterator[str]:
    """A table for each scenario, folded."""
    for name, scenario in data.get("scenarios", {}).items():
        per = scenario["mib"] or 1
        unit = "MiB" if scenario["mib"] else "request"
        columns = [
            *("server", f"{unit}s/s", f"CPU µs/{unit}", "p99 ms", "p99.9 ms"),
            *("errors", "eventlet engine is", "threads engine is"),
        ]
        seen = scenario["servers"]
        ours = [
            next((v for k, v in seen.items() if k.startswith(engine)), None)
            for engine in (EVENTLET, THREADS)
        ]
        yield from _fold(f"{name}: {scenario['load']}")
        yield _row(columns)
        yield _row(["---", *["---:"] * (len(columns) - 1)])
        for server, one in sorted(seen.items(), key=lambda item: -item[1]["rate"]):
            yield _row(
                [
                    server,
                    _number(one["rate"] * per, 0),
                    _number(one["cpu"] and one["cpu"] / per, 1),
                    _number(one["p99"], 2),
                    _number(one["p999"], 2),
                    str(one["errors"]),
                    *(
                        _number(own and one["rate"] and own["rate"] / one["rate"], 2)
                        for own in ours
                    ),
                ]
            )
        if scenario["left out"]:
            absent = (f"{who} ({why})" for who, why in scenario["left out"].items())
            yield ""
            yield f"Left out: {'; '.join(absent)}."
        yield from _unfold()


def tails(data: Data) -> Iterator[str]:
    """Latencies under a load that does not wait."""
    if "tails" not in data:
        return
    yield _picture(
        "Median, p99 and p99.9 of each server at two shares of its top", "tails"
    )
    yield ""
    yield from _fold("latencies at half and at four fifths of the top rate")
    yield "| server | of its top | asked/s | answered/s | p50 ms | p99 ms | p99.9 ms | generator late ms |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for row in data["tails"].values():
        star = "" if row["honest"] else "\\*"
        yield _row(
            [
                row["server"] + star,
                f"{row['share']:.0%}",
                *(_number(row[k], 0) for k in ("asked", "rate")),
                *(_number(row[k], 2) for k in ("p50", "p99", "p999", "late")),
            ]
        )
    if not all(row["honest"] for row in data["tails"].values()):
        yield ""
        yield "\\* The generator could not keep up: the figures are in part its own."
    yield from _unfold()


def footprint(data: Data) -> Iterator[str]:
    """Memory and times."""
    if "footprint" not in data:
        return
    yield _picture("Memory of the supervisor with two and with eight workers", "memory")
    yield ""
    yield from _fold("memory, start and reload")
    yield "| application | server | workers | preloaded | PSS MiB | first answer s | reload s |"
    yield "| --- | --- | ---: | --- | ---: | ---: | ---: |"
    for row in data["footprint"].values():
        yield _row(
            [
                *(row["app"], row["server"], str(row["workers"])),
                "yes" if row["preload"] else "no",
                _number(row["mib"], 1),
                *(_number(row[k], 2) for k in ("start", "reload")),
            ]
        )
    yield from _unfold()


def floors(data: Data) -> Iterator[str]:
    """What the project has asked of itself, and what was seen."""
    if "floors" not in data:
        return
    yield from _fold("floors: what has to hold, and what was seen")
    yield "| scenario | server | floor | seen | by CPU | met |"
    yield "| --- | --- | --- | ---: | ---: | --- |"
    words = {True: "yes", False: "**no**", None: "not measured"}
    for row in data["floors"].values():
        yield _row(
            [
                *(row["scenario"], row["server"], row["floor"]),
                *(_number(row[k], 2) for k in ("seen", "by CPU")),
                words[row["met"]],
            ]
        )
    yield from _unfold()


def layer(data: Data) -> Iterator[str]:
    """What a request costs in the request layer."""
    rows = data.get("layer", {})
    if not rows:
        return
    yield _picture("CPU time of a request", "layer", "../server/speed")
    yield ""
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    yield _row(["request", *(f"{n}, µs" for n in names), "ratios to wsgi_api"])
    yield _row(["---", *["---:"] * len(names), "---"])
    for title, row in rows.items():
        first = row[names[0]]
        ratios = ", ".join(f"{n} {row[n] / first:.2f}" for n in names[1:] if n in row)
        yield _row([title, *(_number(row.get(n), 1) for n in names), ratios])


def _fold(title: str) -> Iterator[str]:
    yield from ("<details>", f"<summary>{title}</summary>", "")


def _unfold() -> Iterator[str]:
    yield from ("", "</details>", "")


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


PARTS: dict[str, Callable[[Data], Iterator[str]]] = {
    "circumstances": circumstances,
    "standing": standing,
    "pictures": pictures,
    "scenarios": scenarios,
    "tails": tails,
    "footprint": footprint,
    "floors": floors,
    "layer": layer,
}
