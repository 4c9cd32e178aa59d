"""What a server counts, as it tells it: metrics by name, and what changed between two looks."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from backlit_proto import backlit_pb2 as pb

Counts = dict[float, int]
"""How often something was at most so large, by the bound; the last bound is infinity."""


@dataclass(frozen=True)
class Sample:
    """One combination of labels. Of a histogram `value` is the sum of what was observed, `counts` how often."""

    labels: Mapping[str, str]
    value: float
    counts: Counts


@dataclass(frozen=True)
class Metric:
    """Named as Prometheus knows it; `kind` is counter, gauge or histogram."""

    name: str
    help: str
    kind: str
    samples: tuple[Sample, ...]

    def among(self, labels: Mapping[str, str]) -> list[Sample]:
        """The samples that have all these labels."""
        return [sample for sample in self.samples if labels.items() <= sample.labels.items()]

    def sum(self, **labels: str) -> float:
        return math.fsum(sample.value for sample in self.among(labels))

    def counts(self, **labels: str) -> Counts:
        total: Counts = {}
        for sample in self.among(labels):
            for bound, count in sample.counts.items():
                total[bound] = total.get(bound, 0) + count
        return total

    def values(self, *names: str) -> list[tuple[str, ...]]:
        """The combinations of values that these labels have, in order."""
        return sorted({tuple(sample.labels.get(name, "") for name in names) for sample in self.samples})


Metrics = Mapping[str, Metric]


def read_metrics(response: pb.GetMetricsResponse) -> dict[str, Metric]:
    return {metric.name: _read(metric) for metric in response.metrics}


def since(now: Metrics, before: Metrics) -> dict[str, Metric]:
    """What was counted between two looks; of gauges what they are now."""
    return {name: _difference(metric, before.get(name)) for name, metric in now.items()}


def quantile(share: float, counts: Counts) -> float:
    """As Prometheus has it: evenly spread within a bucket, and the largest finite bound beyond; NaN of nothing."""
    total, (lower, below) = counts.get(math.inf, 0), (0.0, 0)
    for bound, count in sorted(counts.items()):
        if total and count >= share * total:
            inside = (share * total - below) / max(1, count - below)
            return lower if bound == math.inf else lower + (bound - lower) * inside
        lower, below = bound, count
    return math.nan


def mean(metric: Metric, **labels: str) -> float:
    """Of what was observed; NaN of nothing."""
    count = metric.counts(**labels).get(math.inf, 0)
    return metric.sum(**labels) / count if count else math.nan


def _read(metric: pb.Metric) -> Metric:
    kind = pb.Metric.Kind.Name(metric.kind).removeprefix("KIND_").lower()
    samples = (Sample(dict(s.labels), s.value, {b.bound: b.count for b in s.buckets}) for s in metric.samples)
    return Metric(metric.name, metric.help, kind, tuple(samples))


def _difference(now: Metric, before: Metric | None) -> Metric:
    if before is None or now.kind == "gauge":
        return now
    old = {frozenset(sample.labels.items()): sample for sample in before.samples}
    return Metric(now.name, now.help, now.kind, tuple(_more(now.samples, old)))


def _more(samples: Iterable[Sample], old: Mapping[frozenset, Sample]) -> Iterable[Sample]:
    for sample in samples:
        then = old.get(frozenset(sample.labels.items()))
        if then is None or then.value > sample.value:  # a counter that is smaller has begun anew
            yield sample
        else:
            counts = {bound: count - then.counts.get(bound, 0) for bound, count in sample.counts.items()}
            yield Sample(sample.labels, sample.value - then.value, counts)
