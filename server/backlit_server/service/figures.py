"""What is looked up at the moment somebody asks for the metrics: the store, the workers, what a worker holds."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from backlit_server.service.metrics import Row
from backlit_server.service.neighbours import Pool
from backlit_server.store import Store

SECONDS = 5.0  # that a look may take; the workers answer in a thread of their own, whatever they are at

FIGURES = {
    "backlit_uptime_seconds": Row("Since the server started."),
    "backlit_store_bytes": Row("Bytes of the stored models and of uploads that are not finished."),
    "backlit_store_models": Row("Models in the store."),
    "backlit_worker_ready": Row("Workers of a device that are ready: 1, or 0 while it starts.", ("device", "provider")),
    "backlit_worker_starts_total": Row("Worker processes that became ready on a device.", ("device",)),
    "backlit_worker_questions": Row("Questions that wait for the worker of a device or keep it busy.", ("device",)),
    "backlit_worker_resident_bytes": Row("Memory that the worker's process takes.", ("device",)),
    "backlit_cache_entries": Row("What a worker keeps open for the next questions.", ("device", "kind")),
    "backlit_cache_bytes": Row("What all of it is counted with.", ("device",)),
    "backlit_cache_limit_bytes": Row("How much that may be.", ("device",)),
    "backlit_cache_hits_total": Row("How often something was there.", ("device", "kind")),
    "backlit_cache_misses_total": Row("How often something had to be made.", ("device", "kind")),
    "backlit_cache_evictions_total": Row("How often something had to go to make room.", ("device", "kind")),
}
"""Those whose names end in _total only grow while a worker lives; the others are what is there at present."""


@dataclass(frozen=True, eq=False)  # the registry keeps it as a key
class Figures(Collector):
    """Looks when it is asked, in any thread but that of the event loop the workers belong to."""

    store: Store
    pool: Pool
    loop: asyncio.AbstractEventLoop
    started: float = field(default_factory=time.monotonic)

    def describe(self) -> Iterable[Metric]:
        return [_family(name) for name in FIGURES]

    def collect(self) -> Iterable[Metric]:
        families, found = {name: _family(name) for name in FIGURES}, Counter[tuple]()
        for name, *labels, value in (*self._here(), *self._working()):
            found[name, *labels] += value  # several workers may share a device
        for (name, *labels), value in found.items():
            families[name].add_metric(labels, value)
        return families.values()

    def _here(self) -> Iterable[tuple]:
        models, size = self.store.extent()
        yield "backlit_uptime_seconds", time.monotonic() - self.started
        yield "backlit_store_models", models
        yield "backlit_store_bytes", size

    def _working(self) -> Iterable[tuple]:
        for device in self.pool.devices:
            yield "backlit_worker_ready", device.name, device.provider, float(device.ready)
            yield "backlit_worker_starts_total", device.name, device.starts
        looking = asyncio.run_coroutine_threadsafe(self.pool.figures(), self.loop)
        for device, figures in looking.result(SECONDS):
            for name, *rest in figures:
                yield name, device, *rest


def _family(name: str) -> CounterMetricFamily | GaugeMetricFamily:
    row, kind = FIGURES[name], CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
    return kind(name, row.told, labels=row.labels)
