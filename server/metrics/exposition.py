"""Reports of processes as prometheus-client families, and those as text: Prometheus's own format, or OpenMetrics if asked.

Loaded when the first scrape comes, in a thread: it takes longer to import than a gateway may hold up its sockets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.utils import floatToGoString

from server.metrics.catalog import COMMON, METRICS, Metric
from server.metrics.reports import Report, Sample, merged

NODE_DIGITS: Final = 12
"""Of a node's id as ``sangha status`` shows it: enough to tell nodes apart, and a third less to send."""

Labelled = tuple[tuple[str, ...], Sample]


class Reports(Collector):
    """The collector: one family for each metric of the catalog that anybody reports."""

    def __init__(self, reports: Iterable[Report]) -> None:
        self._found: dict[str, list[Labelled]] = {}
        for report in reports:
            common = report.process, report.process.partition("/")[0], report.node[:NODE_DIGITS]
            for sample in merged(report.samples):
                self._found.setdefault(sample.name, []).append(((*common, *sample.labels), sample))

    def collect(self) -> Iterator[Family]:
        """In the catalog's order."""
        for name, metric in METRICS.items():
            if name in self._found:
                yield family(metric, self._found[name])


def family(metric: Metric, found: Iterable[Labelled]) -> Family:
    """All samples of one metric."""
    labels = (*COMMON, *metric.labels)
    if metric.type == "histogram":
        made = HistogramMetricFamily(metric.name, metric.help, labels=labels)
        for values, sample in found:
            made.add_metric(values, buckets(metric.bounds, sample.counts), sample.value)
        return made
    of_type = CounterMetricFamily if metric.type == "counter" else GaugeMetricFamily
    single: CounterMetricFamily | GaugeMetricFamily = of_type(metric.name, metric.help, labels=labels)
    for values, sample in found:
        single.add_metric(values, sample.value)
    return single


def buckets(bounds: tuple[float, ...], counts: Iterable[int]) -> list[tuple[str, float]]:
    """Cumulated, as Prometheus has them."""
    named = [*map(floatToGoString, bounds), "+Inf"]
    return [(bound, float(count)) for bound, count in zip(named, accumulate(counts), strict=True)]


def render(reports: Iterable[Report], accept: str) -> tuple[bytes, Mapping[str, str]]:
    """The body and its headers, in the format that ``accept`` prefers."""
    encode, content_type = choose_encoder(accept)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Reports(reports))
    return encode(registry), {"Content-Type": content_type}
