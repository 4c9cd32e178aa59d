"""MetricsService: the metrics of the registry as messages, for whoever may call the server."""
# ruff: noqa: N802 - the contract names the methods

import asyncio
from collections.abc import Iterator, Sequence
from itertools import groupby

import grpc
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Sample

from backlit_proto import backlit_pb2 as pb
from backlit_proto import backlit_pb2_grpc as services

Context = grpc.aio.ServicerContext


class MetricsService(services.MetricsServiceServicer):
    """Tells what the metrics port shows."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    async def GetMetrics(self, request: pb.GetMetricsRequest, context: Context) -> pb.GetMetricsResponse:
        return await asyncio.to_thread(lambda: pb.GetMetricsResponse(metrics=_metrics(self._registry)))


def _metrics(registry: CollectorRegistry) -> Iterator[pb.Metric]:
    for metric in registry.collect():
        kind, read = KINDS[metric.type]
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        yield pb.Metric(name=name, help=metric.documentation, kind=kind, samples=read(metric))


def _numbers(metric: Metric) -> Iterator[pb.Sample]:
    for sample in metric.samples:
        if not sample.name.endswith("_created"):
            yield pb.Sample(labels=sample.labels, value=sample.value)


def _distributions(metric: Metric) -> Iterator[pb.Sample]:
    """One sample a combination of labels: the library has one a bucket, then one for the number and one for the sum."""
    for _, samples in groupby(metric.samples, _labels):
        yield _distribution(list(samples))


def _distribution(samples: Sequence[Sample]) -> pb.Sample:
    buckets = [pb.Bucket(bound=float(s.labels["le"]), count=int(s.value)) for s in samples if "le" in s.labels]
    (total,) = (s.value for s in samples if s.name.endswith("_sum"))
    return pb.Sample(labels=_labels(samples[0]), value=total, buckets=buckets)


def _labels(sample: Sample) -> dict[str, str]:
    return {name: value for name, value in sample.labels.items() if name != "le"}


KINDS = {
    "counter": (pb.Metric.KIND_COUNTER, _numbers),
    "gauge": (pb.Metric.KIND_GAUGE, _numbers),
    "histogram": (pb.Metric.KIND_HISTOGRAM, _distributions),
}
"""By the library's own word: the kind, and how its samples are read."""
