"""What is measured: each scenario is one load on servers that are set up for it."""

from __future__ import annotations

from dataclasses import dataclass

from contenders import Server
from crowds import Beside, Dripping, Idle
from loads import Load, Upload, Wrk

POST = """
wrk.method = "POST"
wrk.body = string.rep("x", 1024)
wrk.headers["Content-Type"] = "application/json"
"""


@dataclass(frozen=True)
class Scenario:
    """One load, how long it goes on, and how it is told."""

    name: str
    load: Load
    #: Of the servers that have them.
    threads: int = 64
    log: bool = False
    tls: bool = False
    #: MiB that one request moves: the rate is then told in MiB/s.
    mib: int | None = None
    #: A round lasts so many times the seconds that were asked for.
    stretch: int = 1

    def why_not(self, server: Server) -> str | None:
        """Why a server is left out; None where it takes part."""
        if not server.installed:
            return "not installed"
        if self.log and server.log is None:
            return "no access log"
        if self.tls and server.tls is None:
            return "no TLS"
        return server.unable.get(self.name)


HELLO = Wrk("/")
SCENARIOS = (
    Scenario("hello", HELLO),
    Scenario("log", HELLO, log=True),
    Scenario("post", Wrk("/echo", script=POST)),
    Scenario("connect", Wrk("/", ("-c32", "-H", "Connection: close"))),
    Scenario("nap", Wrk("/nap", ("-c200",))),
    # Nothing is answered in the first 100 ms: longer rounds, so that it does not show.
    Scenario("slow", Wrk("/slow", ("-c1000",)), threads=200, stretch=3),
    Scenario("stream", Wrk("/stream", ("-c8",)), mib=1),
    Scenario("upload", Upload(100), mib=100),
    Scenario("upload-chunked", Upload(100, chunked=True), mib=100),
    Scenario("tls", HELLO, tls=True),
    Scenario("idle", Beside(Idle(5000), HELLO)),
    Scenario("drip", Beside(Dripping(64), HELLO)),
)
