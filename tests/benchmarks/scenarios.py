"""What is measured: each scenario is one load on servers that are set up for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bursts import Bursts
from contenders import SERVERS
from crowds import Beside, Dripping, Idle
from loads import Load, Upload, Wrk
from running import Server, Setup
from services import (
    EXAMPLE,
    GLANCE,
    HEAT,
    prepare_example,
    prepare_glance,
    prepare_heat,
)
from stacks import STACKS

POST = """
wrk.method = "POST"
wrk.body = string.rep("x", 1024)
wrk.headers["Content-Type"] = "application/json"
"""


PLAIN = Setup()


@dataclass(frozen=True)
class Scenario:
    """One load, how long it goes on, and how it is told."""

    name: str
    load: Load
    setup: Setup = PLAIN
    #: MiB that one request moves: the rate is then told in MiB/s.
    mib: int | None = None
    #: A round lasts so many times the seconds that were asked for.
    stretch: int = 1

    #: Who takes part.
    servers: Sequence[Server] = SERVERS
    #: What they find in their folder.
    prepare: Callable[[Path], None] | None = None

    def why_not(self, server: Server) -> str | None:
        """Why a server is left out; None where it takes part."""
        return server.why_not(self.setup) or server.unable.get(self.name)


HELLO = Wrk("/")
VARIED = Wrk(traffic="varied")
SCENARIOS = (
    Scenario("hello", HELLO),
    Scenario("log", HELLO, Setup(log=True)),
    Scenario("post", Wrk("/echo", script=POST)),
    Scenario("connect", Wrk("/", ("-c32", "-H", "Connection: close"))),
    Scenario("nap", Wrk("/nap", ("-c200",))),
    # Nothing is answered in the first 100 ms: longer rounds, so that it does not show.
    Scenario("slow", Wrk("/slow", ("-c1000",)), Setup(threads=200), stretch=3),
    Scenario("stream", Wrk("/stream", ("-c8",)), mib=1),
    Scenario("upload", Upload(100), mib=100),
    Scenario("upload-chunked", Upload(100, chunked=True), mib=100),
    Scenario("tls", HELLO, Setup(tls=True)),
    Scenario("idle", Beside(Idle(5000), HELLO)),
    Scenario("drip", Beside(Dripping(64), HELLO)),
    Scenario("varied", VARIED),
    Scenario("unique", Wrk(traffic="unique")),
    Scenario("varied-log", VARIED, Setup(log=True)),
    Scenario("varied-tls", VARIED, Setup(tls=True)),
    Scenario("varied-proxy", VARIED, Setup(trusting=True)),
    Scenario("mixed", Wrk(traffic="mixed")),
    Scenario("burst", Bursts(500)),
    Scenario("stack", Wrk(traffic="stack"), servers=STACKS),
    Scenario(
        "example", Wrk(traffic="example"), servers=EXAMPLE, prepare=prepare_example
    ),
    Scenario("glance", Wrk(traffic="glance"), servers=GLANCE, prepare=prepare_glance),
    Scenario("heat", Wrk(traffic="heat"), servers=HEAT, prepare=prepare_heat),
)
