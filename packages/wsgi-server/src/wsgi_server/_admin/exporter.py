"""The `State` as Prometheus reads it, by the collector classes of prometheus-client.

The library is the extra `metrics`, imported at the first scrape and given a registry of its
own: what an application registers with it, in whatever process, is none of ours.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from wsgi_server._scoreboard.totals import Histogram

from .metrics import METRICS, Metric, Seen
from .state import State

INSTALL: Final = "pip install 'wsgi-server[metrics]'"


class MetricsMissing(Exception):
    """prometheus-client is not installed; the text says how to install it."""


class Exporter:
    """Renders what `state` returns, anew at each scrape.

    Raises `MetricsMissing` when it is made.
    """

    def __init__(self, state: Callable[[], State]) -> None:
        try:
            import prometheus_client
            import prometheus_client.core
            import prometheus_client.exposition
        except ImportError as exc:
            raise MetricsMissing(INSTALL) from exc
        self._state = state
        self._core: Any = prometheus_client.core
        self._exposition: Any = prometheus_client.exposition
        self._registry: Any = prometheus_client.CollectorRegistry()
        prometheus_client.ProcessCollector(registry=self._registry)
        self._registry.register(self)

    def render(self, accept: str, accept_encoding: str) -> tuple[bytes, dict[str, str]]:
        """The body and the fields of an answer, in the form that the client accepts."""
        encoder, kind = self._exposition.choose_encoder(accept)
        body: bytes = encoder(self._registry)
        headers = {"Content-Type": str(kind), "Vary": "Accept, Accept-Encoding"}
        if self._exposition.gzip_accepted(accept_encoding):
            body = gzip.compress(body, 1)
            headers["Content-Encoding"] = "gzip"
        return body, headers

    def describe(self) -> Iterator[Any]:
        """For the registry: nothing is known before the first scrape."""
        return iter(())

    def collect(self) -> Iterator[Any]:
        """For the registry: the families with the samples of this moment."""
        state = self._state()
        seen = [
            Seen(state, one, [w for w in state.workers if w.service == one.name])
            for one in state.services
        ]
        for metric in METRICS:
            if metric.per_service:
                yield self._family(metric, seen, named=len(seen) > 1)
            else:
                yield self._family(metric, seen[:1], named=False)

    def _family(self, metric: Metric, seen: Sequence[Seen], *, named: bool) -> Any:
        labels = [label.name for label in metric.labels]
        if named:
            labels.insert(0, "service")
        if metric.kind == "info":
            family = self._core.InfoMetricFamily(
                metric.name.removesuffix("_info"), metric.help
            )
        else:
            kind = getattr(self._core, f"{metric.kind.title()}MetricFamily")
            family = kind(metric.name, metric.help, labels=labels)
        for one in seen:
            for values, value in metric.samples(one):
                shown = [one.service.name, *values] if named else list(values)
                if isinstance(value, Histogram):
                    family.add_metric(shown, _cumulated(value), value.sum)
                elif metric.kind == "info":
                    family.add_metric([], dict(zip(labels, shown, strict=True)))
                else:
                    family.add_metric(shown, value)
        return family


def _cumulated(histogram: Histogram) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    below = 0
    for bound, have in zip(histogram.bounds, histogram.buckets, strict=False):
        below += have
        found.append((str(bound), below))
    found.append(("+Inf", histogram.count))
    return found
