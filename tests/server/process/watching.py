"""A live server with an admin side and a control socket, and what is asked of it."""

from __future__ import annotations

import contextlib
import http.client
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import live
from wsgi_server._command.client import Client


@dataclass
class Watched:
    """A live server with an admin side and a control socket."""

    server: live.LiveServer
    control: Client
    socket: Path

    @property
    def admin(self) -> tuple[str, int]:
        found = self.server.wait_for_log(r"admin: http://127\.0\.0\.1:(\d+)")
        return "127.0.0.1", int(found[1])

    def probe(self, path: str = "/readyz") -> tuple[int, str]:
        client = http.client.HTTPConnection(*self.admin, timeout=20)
        with contextlib.closing(client):
            client.request("GET", path)
            answer = client.getresponse()
            return answer.status, answer.read().decode().partition(":")[0]

    def page(self) -> str:
        """The status page."""
        client = http.client.HTTPConnection(*self.admin, timeout=20)
        with contextlib.closing(client):
            client.request("GET", "/")
            return client.getresponse().read().decode()

    def status(self) -> Any:
        return self.control.get("/status")

    def total(self, name: str, **labels: str) -> float:
        """The sum of the samples of `name` that have these labels."""
        return sum(
            float(sample.value)
            for sample in self.samples()
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def samples(self) -> list[Any]:
        """Those of one scrape."""
        # An extra: other tests of processes do without.
        from prometheus_client.parser import text_string_to_metric_families

        text = self.scrape()
        return [
            sample
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        ]

    def scrape(self) -> str:
        """The text of one."""
        client = http.client.HTTPConnection(*self.admin, timeout=20)
        with contextlib.closing(client):
            client.request("GET", "/metrics")
            return client.getresponse().read().decode()
