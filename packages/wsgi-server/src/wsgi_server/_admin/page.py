"""The page: what the server does, for people, on a wall or a phone.

Made here and nowhere else: the browser asks once a second for the content again and puts it
in the place of the old one, and without scripts it loads the page anew.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib import resources
from typing import Any, Final

_FILES: Final = resources.files(__package__)
_STYLE: Final = (_FILES / "page.css").read_text("utf-8")
_SCRIPT: Final = (_FILES / "page.js").read_text("utf-8")

#: Cells of a row: a thread each, or a bucket of greenlets.
CELLS: Final = 64
#: Seconds from which a request is shown darker, and darkest.
AGES: Final = (0.1, 1.0)
#: Seconds without a beat after which a worker is shown as one that hangs.
HUNG: Final = 10.0


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


#: Nothing but what the page itself holds.
POLICY: Final = (
    f"default-src 'none'; style-src {_hash(_STYLE)}; script-src {_hash(_SCRIPT)}; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def render_page(content: str) -> str:
    """The whole page around its content."""
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width,initial-scale=1">'
        "<title>wsgi-server</title>"
        '<noscript><meta http-equiv=refresh content="2"></noscript>'
        f"<style>{_STYLE}</style></head><body><main>{content}</main>"
        f"<script>{_SCRIPT}</script></body></html>"
    )


def render_content(status: Mapping[str, Any]) -> str:
    """What changes, of the document that `documents.status` makes."""
    return "".join(
        (
            _header(status),
            _numbers(status),
            _scoreboard(status),
            "<div class=two><section>",
            _listeners(status),
            "</section><section>",
            _slow(status),
            "</section></div>",
            _events(status),
            "<footer>JSON: <a href=status>status</a> · Prometheus: "
            "<a href=metrics>metrics</a> · probes: <a href=livez>livez</a>, "
            "<a href=readyz>readyz</a>, <a href=startupz>startupz</a></footer>",
        )
    )


_COLOURS: Final = {
    "SERVING": "ok",
    "STARTING": "warn",
    "RELOADING": "warn",
    "DRAINING": "warn",
    "FAILED RELOAD": "bad",
    "FAILED START": "bad",
}


def _header(status: Mapping[str, Any]) -> str:
    server, ready = status["server"], status["ready"]
    phase, colour = status["phase"], _COLOURS[status["phase"]]
    word = phase
    if phase == "SERVING" and not ready["status"]:
        word, colour = "NOT READY", "bad"
    detail = ready["reason"] if word == "NOT READY" else status["detail"]
    alone = (
        ""
        if server["forks"]
        else " · one process serves and answers here: while its application holds the "
        "interpreter, so does it this page"
    )
    return (
        f'<header><h1 class={colour} data-title="{escape(word)}">{escape(word)}'
        f"<small>{escape(detail)}</small></h1>"
        f"<span>up {_duration(server['uptime'])}</span>"
        f"<span>generation {status['generation']}</span>{_missing(status)}"
        f"<span class=dim>wsgi-server {escape(server['version'])}, Python "
        f"{escape(server['python'])}, process {server['pid']}{alone}</span></header>"
    )


def _missing(status: Mapping[str, Any]) -> str:
    """How many workers are ready, where that is not as many as there should be."""
    counts = [service["workers"] for service in status["services"]]
    ready = sum(one["ready"] for one in counts)
    wanted = sum(one["wanted"] for one in counts)
    if ready >= wanted or status["phase"] != "SERVING":
        return ""
    return f"<span class=warn>{ready} of {wanted} workers ready</span>"


def _numbers(status: Mapping[str, Any]) -> str:
    now, past = status["now"], status["history"]
    error_share = now["errors"] / now["requests"] if now["requests"] else 0.0
    errors = "bad" if error_share >= 0.05 else "warn" if now["errors"] else ""
    slow = "bad" if (now["p99"] or 0) >= 5 else "warn" if (now["p99"] or 0) >= 1 else ""
    wait = now["queue_p95"] or 0
    full = "bad" if wait >= 1 else "warn" if wait >= 0.1 or now["busy"] >= 0.9 else ""
    return (
        "<section class=numbers aria-label=Now>"
        + _number(
            "",
            f"{now['requests']:.0f}",
            f"requests/s · {max(past['requests'], default=0):.0f} at most",
            past["requests"],
            "the last five minutes, as in each picture",
        )
        + _number(
            slow,
            _seconds(now["p95"]),
            f"p95 · p50 {_seconds(now['p50'])}, p99 {_seconds(now['p99'])}",
            past["p95"],
            "amber from a p99 of 1 s, red from 5 s",
        )
        + _number(
            errors,
            f"{now['errors']:.1f}",
            f"errors/s · {error_share:.1%} of requests",
            past["errors"],
            "amber from the first 5xx, red from 5 %",
        )
        + _number(
            full,
            f"{now['busy']:.0%}",
            f"of places busy · queue p95 {_seconds(now['queue_p95'])}",
            past["busy"],
            "amber from 90 % or a queue of 0.1 s, red from 1 s",
        )
        + "</section>"
    )


def _number(
    colour: str, value: str, what: str, past: Sequence[float | None], rule: str
) -> str:
    return (
        f'<div class="number {colour}"><b>{value}</b><p>{what}</p>{_sparkline(past)}'
        f"<p>{rule}</p></div>"
    )


def _sparkline(values: Sequence[float | None]) -> str:
    numbers = [value or 0.0 for value in values]
    top = max(numbers, default=0.0) or 1.0
    start = 300 - len(numbers)
    points = " ".join(
        f"{start + place},{40 - 38 * number / top:.1f}"
        for place, number in enumerate(numbers)
    )
    return (
        '<svg viewBox="0 0 300 42" preserveAspectRatio=none aria-hidden=true>'
        f'<polygon points="{start},41 {points} 300,41"/>'
        f'<polyline points="{points}"/></svg>'
    )


def _scoreboard(status: Mapping[str, Any]) -> str:
    # A service that is alone needs no name.
    named = len(status["services"]) > 1
    rows = "".join(_worker(row, named=named) for row in status["workers"])
    return (
        "<h2>Workers</h2><p class=hint>A cell is a thread, or a share of the greenlets. "
        "Empty: free. The darker, the longer its request runs (0.1 s, 1 s). The colour is "
        "the generation: a reload moves from one to the next. Normal: most are empty.</p>"
        f"<div class=rows>{rows or _nothing('no worker runs')}</div>"
    )


def _worker(row: Mapping[str, Any], *, named: bool) -> str:
    places = max(1, row["threads"])
    count = min(CELLS, places)
    ages = sorted(row["ages"], reverse=True)
    share = places / count
    shown = ages[:: max(1, round(share))][:count] if share > 1 else ages[:count]
    # Those that have begun since the last look are young.
    busy = min(count, max(len(shown), -(-row["threads_busy"] // max(1, round(share)))))
    shown += [0.0] * (busy - len(shown))
    cells = "".join(f"<i class=a{_shade(age)}></i>" for age in shown)
    cells += "<i></i>" * (count - busy)
    slow = "".join(
        f"<p class=wait>{one['seconds']:.0f} s: {escape(one['method'])} "
        f"{escape(one['path'])}</p>"
        for one in row["slow"]
    )
    facts = [f"process {row['pid']}", f"{row['requests']} requests"]
    if row["resident"] is not None:
        facts.append(f"{row['resident'] / 1048576:.0f} MiB")
    hung = row["beat_age"] > HUNG
    if hung:
        facts.append(f"<span class=bad>no beat for {row['beat_age']:.0f} s</span>")
    queued = f"<p class=wait>{row['queued']} wait</p>" if row["queued"] else ""
    name = f"{row['service'] if named else 'worker'} {row['number']}"
    colour = {"ready": "", "starting": "warn", "draining": "warn"}[row["state"]]
    return (
        f'<div class="row g{row["generation"] % 4}{" hung" * hung}" tabindex=0 id=w{row["pid"]}>'
        f"<div><i class=tag></i>{escape(name)} <span class={colour or 'dim'}>"
        f"{row['state']}</span><p>{', '.join(facts)}</p></div>"
        f"<div><div class=cells>{cells}</div>{queued}{slow}</div></div>"
    )


def _shade(age: float) -> int:
    return 1 + sum(age >= limit for limit in AGES)


def _listeners(status: Mapping[str, Any]) -> str:
    rows = []
    for service in status["services"]:
        for one in service["listeners"]:
            backlog = "-" if one["backlog"] is None else str(one["backlog"])
            rows.append(
                f"<tr><td>{escape(one['url'])}</td><td class=n>{backlog} of "
                f"{one['backlog_limit']}</td><td class=n>{_days(one['not_after'])}</td>"
            )
    return (
        "<h2>Listeners</h2><p class=hint>Normal: nobody waits to be accepted, and a "
        "certificate has weeks left.</p>"
        + _table(("address", "backlog", "certificate"), rows, "nothing listens")
    )


def _days(not_after: float | None) -> str:
    if not_after is None:
        return "-"
    days = (not_after - time.time()) / 86400
    colour = "bad" if days < 3 else "warn" if days < 14 else "ok"
    return f"<span class={colour}>{days:.0f} days</span>"


def _slow(status: Mapping[str, Any]) -> str:
    rows = [
        f"<tr><td>{escape(one['method'])} {escape(one['path'])}</td>"
        f"<td class=n>worker {one['worker']}</td><td class=n>{one['seconds']:.0f} s</td>"
        for one in status["slow"]
    ]
    return (
        "<h2>Slow requests now</h2><p class=hint>Those that run longer than "
        "slow_request_time; the log has their stacks. Normal: none.</p>"
        + _table(("request", "worker", "runs"), rows, "none")
    )


def _events(status: Mapping[str, Any]) -> str:
    colours = {"warning": "warn", "error": "bad"}
    rows = [
        f"<tr><td class=dim>{time.strftime('%H:%M:%S', time.localtime(one['time']))}"
        f"</td><td class={colours.get(one['level'], 'plain')}>{escape(one['text'])}</td>"
        for one in reversed(status["events"][-30:])
    ]
    return (
        "<h2>Events</h2><p class=hint>The last thirty, the newest first. Normal: starts "
        "and reloads that somebody asked for.</p>"
        + _table(("time", "what happened"), rows, "nothing yet")
    )


def _table(heads: Sequence[str], rows: Iterable[str], none: str) -> str:
    body = "".join(f"{row}</tr>" for row in rows)
    if not body:
        return f"<div class=rows>{_nothing(none)}</div>"
    head = "".join(
        f"<th{' class=n' if place and len(heads) == 3 else ''}>{name}</th>"
        for place, name in enumerate(heads)
    )
    return f"<div class=rows><table><tr>{head}</tr>{body}</table></div>"


def _nothing(text: str) -> str:
    return f"<div class=row><span class=dim>{text}</span></div>"


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value * 1000:.1f} ms" if value < 1 else f"{value:.2f} s"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
