"""Writes the page of all metrics from their table: `nox -s docs` compares it with that."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector
from wsgi_server._admin.metrics import METRICS, Label, Metric
from wsgi_server._scoreboard.counts import DURATION_BOUNDS, QUEUE_BOUNDS

HEAD = """\
# Metrics

What `/metrics` of `admin_bind` and of the control socket shows, made from the table in the code
(`docs/reference/list_metrics.py`). [Watch and steer](../howto/watch.md) says how to switch it on,
[Alert on it](../howto/alert.md) what to do with it.

Counters and histograms outlive workers and reloads: none goes back before the server itself ends.
No label grows with time, clients or paths. Where one process tree has several services each series of a
service has the label `service`. OpenMetrics gives the same under the same names.
"""
BOUNDS = {
    "http_server_request_duration_seconds": DURATION_BOUNDS,
    "wsgi_server_request_queue_duration_seconds": QUEUE_BOUNDS,
}
#: By the end of a name, the longest first.
UNITS = {
    "_timestamp_seconds": "seconds since the epoch",
    "_seconds": "seconds",
    "_bytes": "bytes",
}


def main(path: Path) -> None:
    """Writes the page to `path`."""
    path.write_text("\n".join(page()), "utf-8")


def page() -> Iterator[str]:
    """The lines of the page."""
    yield HEAD
    yield "| metric | type | what it says |"
    yield "| --- | --- | --- |"
    for metric in METRICS:
        yield f"| [`{metric.name}`](#{metric.name}) | {metric.kind} | {metric.help} |"
    for metric in METRICS:
        yield from section(metric)
    yield "\n## process_*\n"
    yield "Of the supervisor, as Prometheus defines them, where the system has `/proc`:\n"
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    for family in registry.collect():
        total = "_total" if family.type == "counter" else ""
        yield f"- `{family.name}{total}`, {family.type}: {family.documentation}"
    yield ""


def section(metric: Metric) -> Iterator[str]:
    """What there is to say about one."""
    yield f"\n## {metric.name}\n"
    unit = unit_of(metric)
    yield f"{metric.help}\n"
    yield f"- type: {metric.kind}{f', in {unit}' if unit else ''}"
    yield f"- moves: {metric.moves}"
    if metric.name in BOUNDS:
        yield f"- upper bounds: {', '.join(f'{b:g}' for b in BOUNDS[metric.name])}"
    for label in metric.labels:
        yield f"- label `{label.name}`: {values_of(label)}"
    if not metric.per_service:
        yield "- one for the whole server, whatever it serves"


def unit_of(metric: Metric) -> str:
    """What it is measured in; empty for what is counted."""
    name = metric.name.removesuffix("_total")
    return next((unit for end, unit in UNITS.items() if name.endswith(end)), "")


def values_of(label: Label) -> str:
    """What a label can be."""
    if isinstance(label.values, str):
        return label.values
    return ", ".join(f"`{value}`" for value in label.values)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
