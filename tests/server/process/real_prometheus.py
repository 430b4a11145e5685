"""A real Prometheus scrapes a real server, and counts what its clients count.

`nox -s observe` runs it. Prometheus comes from the system, and says itself where it listens.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import time
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import live
import pytest
import tools
from server.process.support import Load, both_engines
from server.process.watching import Watched

RULES = Path(__file__).parents[3] / "docs" / "howto" / "wsgi-server.rules.yml"
TIMES = 20
CLIENTS = 4
#: A request that ends otherwise than those before it has a histogram of its own.
SAMPLES_OF_A_KIND = 20
COUNTERS = (
    *("http_server_request_duration_seconds_count", "wsgi_server_reloads_total"),
    *("http_server_request_duration_seconds_bucket", "wsgi_server_worker_starts_total"),
    *("wsgi_server_worker_exits_total", "wsgi_server_worker_requests_total"),
    *("wsgi_server_worker_cpu_seconds_total", "wsgi_server_connections_accepted_total"),
    *(
        "wsgi_server_response_body_bytes_total",
        "wsgi_server_threads_busy_seconds_total",
    ),
)
REQUESTS = "sum(http_server_request_duration_seconds_count)"

CONFIGURATION = """\
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{rules}]
scrape_configs:
  - job_name: ours
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""

pytestmark = pytest.mark.timeout(300)


@dataclass
class Prometheus:
    """One that runs, asked over its own API."""

    port: int

    def get(self, path: str, **query: str) -> Any:
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        with contextlib.closing(client):
            client.request("GET", f"/api/v1/{path}?{urllib.parse.urlencode(query)}")
            answer = client.getresponse()
            body = answer.read()
            assert answer.status == 200, body
            return json.loads(body)["data"]

    def values(self, query: str) -> list[float]:
        """The value of each series that an expression gives now."""
        found = self.get("query", query=query)["result"]
        return [float(one["value"][1]) for one in found]

    def number(self, query: str) -> float:
        """The sum of them; 0 where there is none."""
        return sum(self.values(query))

    def faulty_rules(self) -> list[Any]:
        """The rules that could not be evaluated. Fails where none was loaded."""
        groups = self.get("rules")["groups"]
        assert groups
        rules = [rule for group in groups for rule in group["rules"]]
        return [rule for rule in rules if rule["health"] == "err"]

    def wait_for(self, query: str, holds: Callable[[float], bool]) -> float:
        """Waits until a scrape has brought a number for which `holds` is true."""
        seen = 0.0

        def look() -> bool:
            nonlocal seen
            seen = self.number(query)
            return holds(seen)

        try:
            live.wait_until(query, look)
        except AssertionError as exc:
            raise AssertionError(f"{exc}: it is {seen}") from None
        return seen

    def wait_for_scrape(self) -> None:
        """Waits for one that began from now on."""
        now = time.time()
        self.wait_for("timestamp(wsgi_server_generation)", lambda when: when > now)


@contextlib.contextmanager
def prometheus(folder: Path, target: int) -> Iterator[Prometheus]:
    """Starts one that scrapes this port of ours."""
    command = tools.need("prometheus")
    config, log = folder / "prometheus.yml", folder / "prometheus.log"
    config.write_text(CONFIGURATION.format(port=target, rules=RULES))
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(command, f"--config.file={config}"),
                f"--storage.tsdb.path={folder / 'tsdb'}",
                "--web.listen-address=127.0.0.1:0",
            ],
            stdout=output,
            stderr=output,
        )
    try:

        def port() -> int:
            text = log.read_text()
            assert process.poll() is None, text
            found = re.search(r'msg="Listening on" address=\S*:(\d+)', text)
            ready = "Server is ready to receive web requests" in text
            return int(found[1]) if found and ready else 0

        yield Prometheus(live.wait_until("Prometheus to be ready", port))
    finally:
        process.terminate()
        assert process.wait(live.PATIENCE) == 0


def client(connection: http.client.HTTPConnection) -> None:
    """The next request of a client that keeps its connection as long as it lasts."""
    try:
        connection.request("GET", "/turns")
        answer = connection.getresponse()
        answer.read()
    except (ConnectionError, http.client.HTTPException):
        # Its worker was killed. The next request opens a new connection.
        connection.close()
        raise
    assert answer.status == 200


@contextlib.contextmanager
def clients(server: live.LiveServer) -> Iterator[Load]:
    """Load on the server while the block runs."""
    load = Load()
    with contextlib.ExitStack() as closing:
        for number in range(CLIENTS):
            connection = closing.enter_context(contextlib.closing(server.client()))
            load.add(f"client {number}", partial(client, connection))
        with load:
            server.wait_for("the first answers", lambda: load.done > CLIENTS)
            yield load


def kill_a_worker(one: Watched) -> None:
    """Kills the oldest worker, and waits until its successor is ready."""
    rows = one.control.get("/workers")["workers"]
    victim = max(rows, key=lambda row: float(row["age"]))["pid"]
    os.kill(victim, signal.SIGKILL)

    def healed() -> bool:
        found = one.control.get("/workers")["workers"]
        ready = [row["pid"] for row in found if row["state"] == "ready"]
        return victim not in ready and len(ready) == 2

    one.server.wait_for("two ready workers again", healed)


@both_engines
def test_it_counts_what_clients_count(
    watched: Callable[..., Watched], tmp_path: Path
) -> None:
    """Twenty reloads hide nothing, twenty kills what was not written down yet."""
    one = watched("apps.exercise:app", "--workers", "2")
    with prometheus(tmp_path, one.admin[1]) as watcher:
        watcher.wait_for_scrape()
        answered = reloads_hide_nothing(one, watcher)
        samples = watcher.number("scrape_samples_scraped")
        kills_hide_what_was_not_written_down(one, watcher, answered)

        for name in COUNTERS:
            assert watcher.values(f"max(resets({name}[1h]))") == [0], name
        longest = watcher.number("max_over_time(scrape_duration_seconds[1h])")
        print(f"the longest scrape took {longest:.3f} s")
        assert watcher.values("min_over_time(up[1h])") == [1]
        assert watcher.number("scrape_samples_scraped") <= samples + SAMPLES_OF_A_KIND
        # The rules that we ship were evaluated every second, and saw the kills.
        dying = 'ALERTS{alertname="WsgiServerWorkersDie", alertstate="firing"}'
        watcher.wait_for(dying, lambda firing: firing == 1)
        assert [rule["lastError"] for rule in watcher.faulty_rules()] == []


def reloads_hide_nothing(one: Watched, watcher: Prometheus) -> int:
    """Returns how many requests were answered, which is what Prometheus counts."""
    with clients(one.server) as load:
        for turn in range(TIMES):
            one.control.post("/reload")
            # Several between two scrapes, and several scrapes between the first and the last.
            if turn % 4 == 0:
                watcher.wait_for_scrape()
    assert load.failures == []
    answered = load.done
    watcher.wait_for(REQUESTS, lambda total: total >= answered)
    watcher.wait_for_scrape()
    assert watcher.number(REQUESTS) == answered
    assert watcher.number("wsgi_server_generation") == 1 + TIMES
    accepted = 'wsgi_server_reloads_total{result="accepted"}'
    assert watcher.number(accepted) == TIMES
    retired = 'wsgi_server_worker_exits_total{reason="reload"}'
    watcher.wait_for(retired, lambda total: total == 2 * TIMES)
    return answered


def kills_hide_what_was_not_written_down(
    one: Watched, watcher: Prometheus, answered: int
) -> None:
    """`answered` is how many there were before."""
    with clients(one.server) as load:
        for turn in range(TIMES):
            done = load.done
            kill_a_worker(one)
            one.server.wait_for("answers", partial(has_done, load, done + 1))
            if turn % 4 == 0:
                watcher.wait_for_scrape()
    # A worker writes down what it has answered before it turns to something else: a kill
    # hides the last answer to each client, and no more. What was counted and did not reach
    # its client is a failure there.
    low = answered + load.done - TIMES * CLIENTS
    high = answered + load.done + len(load.failures)
    watcher.wait_for(REQUESTS, lambda total: total >= low)
    watcher.wait_for_scrape()
    total = watcher.number(REQUESTS)
    print(f"{total:.0f} counted, {answered + load.done} answered, {high} begun")
    assert low <= total <= high
    killed = 'wsgi_server_worker_exits_total{reason="signal"}'
    assert watcher.number(killed) == TIMES
    starts = watcher.number("wsgi_server_worker_starts_total")
    assert starts == 2 + 2 * TIMES + TIMES


def has_done(load: Load, number: int) -> bool:
    return load.done >= number
