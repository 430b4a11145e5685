"""Reloads at random moments under every kind of load: not one request may fail."""

from __future__ import annotations

import random
import signal

import live
import pytest
from server.process.support import (
    Load,
    Service,
    answer,
    count,
    new_connections,
    slow_requests,
    uploads,
)

pytestmark = pytest.mark.forks

RELOADS = 30


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("engine", "broken"),
    [("eventlet", False), ("threads", False), ("patched", True)],
    ids=["eventlet", "threads", "patched-every-third-broken"],
)
def test_thirty_reloads_under_load_lose_no_request(
    service: Service, broken: bool
) -> None:
    server = service.start()
    valid = service.config.read_text()
    dice = random.Random(2015)
    load = Load()
    for _ in range(2):
        load.add("new connection", new_connections(server))
        load.add_keep_alive(server)
        load.add("slow", slow_requests(server, 0.3))
    load.add("upload", uploads(server, 4 << 20))
    with load:
        server.wait_for("the first answers", lambda: load.done > 10)
        for number in range(RELOADS):
            spoil = broken and number % 3 == 1
            service.write("nonsense\n" if spoil else valid)
            service.publish(f"version {number}")
            # The end of this reload: one that was under way before may end otherwise.
            end = "reload failed" if spoil else r"generation \d+ serves"
            before, done = count(server, end), load.done
            server.send(signal.SIGHUP)
            if dice.random() < 0.3:
                # One that comes while the first is under way.
                server.send(signal.SIGHUP)
            # A random moment, measured in requests and not in time.
            more = dice.randrange(1, 40)
            server.wait_for(
                "the reload and some answers",
                lambda: (count(server, end) > before and load.done >= done + more),
            )
        # No reload may still be on its way when the last one is judged.
        service.write(valid)
        service.publish("the last")
        server.send(signal.SIGHUP)
        server.wait_for(
            "the last version", lambda: answer(server)["version"] == "the last"
        )
    assert load.failures == []
    assert load.done > RELOADS * 5
    server.wait_for("two workers", lambda: len(server.worker_pids()) == 2)
    assert {answer(server)["version"] for _ in range(20)} == {"the last"}
    failed = count(server, "reload failed")
    assert failed >= (RELOADS // 3 if broken else 0)
    assert broken or not failed
    print(f"{load.done} requests, {count(server, 'serves, generation')} generations")
    assert live.is_alive(server.pid)
