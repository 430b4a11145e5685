"""The rules and the dashboard that users download ask for what the server has."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import tools
import yaml  # type: ignore[import-untyped]
from prometheus_client import CollectorRegistry, ProcessCollector
from server.admin.promql import asked
from wsgi_server._admin.metrics import METRICS

DOCS = Path(__file__).parents[3] / "docs"
RULES = DOCS / "howto" / "wsgi-server.rules.yml"
DASHBOARD = DOCS / "howto" / "wsgi-server.dashboard.json"
GUIDE = (DOCS / "howto" / "alert.md").read_text("utf-8")

#: Minutes that series go on, and the one that is looked at.
LAST, LOOK = 150, 130
DAY = 86400


def rules() -> Iterator[Mapping[str, Any]]:
    for group in yaml.safe_load(RULES.read_text("utf-8"))["groups"]:
        yield from group["rules"]


def records() -> set[str]:
    return {rule["record"] for rule in rules() if "record" in rule}


def alerts() -> set[str]:
    return {rule["alert"] for rule in rules() if "alert" in rule}


def panels(found: Any) -> Iterator[Mapping[str, Any]]:
    """The panels, also those within rows."""
    for panel in found["panels"]:
        yield panel
        yield from panel.get("panels", ())


def shown() -> Iterator[tuple[str, str]]:
    """The title and the expression of each query of the dashboard."""
    board = json.loads(DASHBOARD.read_text("utf-8"))
    for panel in panels(board):
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for annotation in board["annotations"]["list"]:
        if "expr" in annotation:
            yield annotation["name"], annotation["expr"]


def variables() -> Iterator[str]:
    """The queries behind the choices on top of the dashboard."""
    for variable in json.loads(DASHBOARD.read_text("utf-8"))["templating"]["list"]:
        if variable["type"] == "query":
            text = variable["query"]["query"]
            found = re.fullmatch(r"label_values\((.*), (\w+)\)", text)
            assert found is not None, text
            yield f"count by ({found[2]}) ({found[1]})"


def plain(expression: str) -> str:
    """An expression of the dashboard with Grafana's own variables filled in."""
    return expression.replace("$__rate_interval", "5m").replace("$__range", "1h")


def known() -> dict[str, dict[str, Any]]:
    """Every series that a scrape can have, by name: the labels and their values."""
    found: dict[str, dict[str, Any]] = {}
    for metric in METRICS:
        labels = {label.name: label.values for label in metric.labels}
        if metric.kind == "histogram":
            found[f"{metric.name}_bucket"] = {**labels, "le": "a bound"}
            found[f"{metric.name}_count"] = found[f"{metric.name}_sum"] = labels
        else:
            found[metric.name] = labels
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    found |= {sample.name: {} for f in registry.collect() for sample in f.samples}
    # Prometheus adds these.
    added = dict.fromkeys(("job", "instance", "service"), "any")
    return {name: {**labels, **added} for name, labels in found.items()}


def check(expression: str, series: Mapping[str, Mapping[str, Any]]) -> None:
    """Fails where an expression names what there is not."""
    found = asked(expression)
    assert found.metrics, expression
    labels = set()
    for name, matchers in found.metrics:
        assert name in series, f"{name} in {expression}"
        labels |= set(series[name])
        for label, operator, value in matchers:
            assert label in series[name], f"{label} of {name}"
            values = series[name][label]
            if not isinstance(values, str) and not value.startswith("$"):
                for one in value.split("|") if "~" in operator else [value]:
                    assert one in values, f"{label}={one} of {name}"
    assert found.labels <= labels, expression


@pytest.mark.parametrize(
    "rule", list(rules()), ids=lambda r: r.get("alert") or r["record"]
)
def test_a_rule_asks_for_what_there_is(rule: Mapping[str, Any]) -> None:
    series = known()
    common = {"job": "any", "instance": "any", "service": "any"}
    series |= dict.fromkeys([*records(), "up"], common)
    check(rule["expr"], series)
    if "alert" in rule:
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert set(rule["annotations"]) == {"summary", "description"}


@pytest.mark.parametrize(("title", "expression"), list(shown()))
def test_the_dashboard_asks_for_what_there_is(title: str, expression: str) -> None:
    check(plain(expression), known())


def test_the_choices_of_the_dashboard_ask_for_what_there_is() -> None:
    queries = list(variables())
    assert queries
    for query in queries:
        check(query, known())


def test_the_dashboard_shows_what_it_can() -> None:
    """Every metric stands somewhere, or is named here with the reason."""
    elsewhere = {
        # Sums are of use where somebody wants a mean.
        *("http_server_request_duration_seconds_sum",),
        *("wsgi_server_request_queue_duration_seconds_sum",),
        "wsgi_server_request_queue_duration_seconds_count",
    }
    named = {name for _, query in shown() for name, _ in asked(plain(query)).metrics}
    ours = {name for name in known() if not name.startswith("process_")}
    assert ours - elsewhere <= named


@pytest.mark.parametrize(
    "wrong",
    [
        "rate(wsgi_server_request_total[5m])",
        'wsgi_server_workers{state="asleep"}',
        'wsgi_server_worker_exits_total{reason=~"crash|boredom"}',
        "sum by (client) (wsgi_server_workers)",
        'wsgi_server_workers{colour="red"}',
    ],
)
def test_what_there_is_not_is_found(wrong: str) -> None:
    with pytest.raises(AssertionError):
        check(wrong, known())


def test_promtool_accepts_the_rules_and_every_query(tmp_path: Path) -> None:
    promtool = tools.need("promtool")
    queries = [plain(query) for _, query in shown()]
    every = tmp_path / "queries.yml"
    made = [{"record": "a", "expr": q, "labels": {"n": q}} for q in queries]
    every.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": made}]}))
    for file in (RULES, every):
        run = subprocess.run(
            [promtool, "check", "rules", str(file)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stdout + run.stderr


DURATION = "http_server_request_duration_seconds"
QUEUE = "wsgi_server_request_queue_duration_seconds"
CERTIFICATE = "wsgi_server_tls_certificate_not_after_timestamp_seconds"


def requests(errors: int) -> dict[str, str]:
    """A hundred requests a minute, of which some are errors."""
    return {
        f'{DURATION}_count{{http_response_status_code="200"}}': f"0+{100 - errors}x{LAST}",
        f'{DURATION}_count{{http_response_status_code="500"}}': f"0+{errors}x{LAST}",
        "wsgi_server_info": f"1x{LAST}",
    }


def took(name: str, bound: float, above: float) -> dict[str, str]:
    """Requests of which all are above one bound, and below the next."""
    return {
        f'{name}_bucket{{le="{bound}"}}': f"0+0x{LAST}",
        f'{name}_bucket{{le="{above}"}}': f"0+100x{LAST}",
        f'{name}_bucket{{le="+Inf"}}': f"0+100x{LAST}",
        "wsgi_server_info": f"1x{LAST}",
    }


def growing(name: str, by: float) -> dict[str, str]:
    return {name: f"0+{by}x{LAST}"}


def steady(**values: float) -> dict[str, str]:
    return {
        f"wsgi_server_{name}": f"{value}+0x{LAST}" for name, value in values.items()
    }


def workers(ready: int) -> dict[str, str]:
    return {
        'wsgi_server_workers{state="ready"}': f"{ready}+0x{LAST}",
        **steady(workers_wanted=4),
    }


EXITS = 'wsgi_server_worker_exits_total{reason="crash"}'
OVERLOAD = 'wsgi_server_requests_rejected_total{reason="overload"}'
#: What each alert is raised by, and what comes close to it and raises none.
CASES: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "WsgiServerDown": (
        {
            "up": f"1x{LOOK - 10} 0x{LAST}",
            "wsgi_server_info": f"1x{LOOK - 10} _x{LAST}",
        },
        # Of another program.
        {"up": f"0x{LAST}"},
    ),
    "WsgiServerNoWorkerReady": (workers(0), workers(4)),
    "WsgiServerWorkersMissing": (workers(3), workers(4)),
    "WsgiServerWorkersDie": (growing(EXITS, 1), growing(EXITS, 0.1)),
    "WsgiServerWorkerHangs": (
        {'wsgi_server_worker_beat_age_seconds{worker="1"}': f"0+60x{LAST}"},
        {'wsgi_server_worker_beat_age_seconds{worker="1"}': f"29+0x{LAST}"},
    ),
    "WsgiServerErrors": (requests(6), requests(4)),
    "WsgiServerSlow": (took(DURATION, 5, 7.5), took(DURATION, 2.5, 5)),
    "WsgiServerQueueGrows": (took(QUEUE, 0.1, 0.25), took(QUEUE, 0.05, 0.1)),
    "WsgiServerSaturated": (
        steady(threads=64, threads_busy=60),
        steady(threads=64, threads_busy=57),
    ),
    "WsgiServerOverloaded": (growing(OVERLOAD, 1), growing(OVERLOAD, 0)),
    "WsgiServerBacklogFills": (
        steady(listen_backlog=2100, listen_backlog_limit=4096),
        steady(listen_backlog=2000, listen_backlog_limit=4096),
    ),
    "WsgiServerRequestTimeouts": (
        growing("wsgi_server_request_timeouts_total", 1),
        growing("wsgi_server_request_timeouts_total", 0),
    ),
    "WsgiServerReloadFailed": (
        steady(config_last_reload_successful=0),
        steady(config_last_reload_successful=1),
    ),
    "WsgiServerCertificateEnds": (
        {CERTIFICATE: f"{14 * DAY}+0x{LAST}"},
        {CERTIFICATE: f"{15 * DAY}+0x{LAST}"},
    ),
    "WsgiServerCertificateEndsNow": (
        {CERTIFICATE: f"{2 * DAY}+0x{LAST}"},
        {CERTIFICATE: f"{15 * DAY}+0x{LAST}"},
    ),
    "WsgiServerAccessLinesLost": (
        growing("wsgi_server_access_log_lines_dropped_total", 1),
        growing("wsgi_server_access_log_lines_dropped_total", 0),
    ),
}
#: What comes with an alert because it is worse than another.
BESIDES = {
    "WsgiServerNoWorkerReady": {"WsgiServerWorkersMissing"},
    "WsgiServerCertificateEndsNow": {"WsgiServerCertificateEnds"},
}


def test_each_alert_is_raised_by_its_cause_and_only_then(tmp_path: Path) -> None:
    """One server for each case, and all alerts look at all of them."""
    promtool = tools.need("promtool")
    assert set(CASES) == alerts()
    series, expected = [], []
    severity = {r["alert"]: r["labels"]["severity"] for r in rules() if "alert" in r}
    for alert, (bad, good) in CASES.items():
        for instance, found in ((alert, bad), (f"not {alert}", good)):
            for name, values in found.items():
                head, _, labels = name.rstrip("}").partition("{")
                labels = f'{labels},instance="{instance}",job="a"'.lstrip(",")
                series.append({"series": f"{head}{{{labels}}}", "values": values})
        extra = {'worker="1"'} if "WorkerHangs" in alert else set()
        for one in {alert, *BESIDES.get(alert, ())}:
            labels = ", ".join(
                [
                    *(f'alertname="{one}"', 'alertstate="firing"', 'job="a"'),
                    *(f'instance="{alert}"', f'severity="{severity[one]}"'),
                    *extra,
                    *(['reason="overload"'] if "Overloaded" in one else []),
                ]
            )
            expected.append({"labels": f"ALERTS{{{labels}}}", "value": 1})
    test = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": series,
                "promql_expr_test": [
                    {
                        "expr": 'ALERTS{alertstate="firing"}',
                        "eval_time": f"{LOOK}m",
                        "exp_samples": expected,
                    }
                ],
            }
        ],
    }
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump(test))
    run = subprocess.run(
        [promtool, "test", "rules", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_guide_explains_every_alert() -> None:
    assert set(re.findall(r"^\| `(Wsgi\w+)`", GUIDE, re.M)) == alerts()
