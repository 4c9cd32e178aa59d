"""What is counted of a server: one row a metric, and the registry that holds the numbers."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from backlit_server.methods import METHODS

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60)
IMAGES = (1, 2, 4, 8, 16, 32, 64, 128)
MOST_MODELS = 64  # that have series of their own: each adds some 200 a method
UNKNOWN, OTHER, SEVERAL = "unknown", "other", "several"


@dataclass(frozen=True)
class Row:
    """One metric: what it tells, the names of its labels and, of a histogram, the upper bounds of its buckets."""

    told: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = SECONDS


COUNTERS = {
    "backlit_calls_total": Row(
        "Calls that have ended; outcome is OK, CANCELLED or the reason of the refusal.", ("rpc", "outcome")
    ),
    "backlit_received_bytes_total": Row("Bytes of the messages that callers sent.", ("rpc",)),
    "backlit_sent_bytes_total": Row("Bytes of the messages that were sent to callers.", ("rpc",)),
    "backlit_questions_total": Row(
        "Questions that have ended, those of ExplainMany one by one; outcome as that of calls.",
        ("model", "method", "outcome"),
    ),
}
GAUGES = {
    "backlit_calls_in_flight": Row("Calls that have begun and not ended.", ("rpc",)),
    "backlit_questions_in_flight": Row("Questions that have begun and not ended."),
}
HISTOGRAMS = {
    "backlit_call_seconds": Row("From the beginning of a call to its end.", ("rpc",)),
    "backlit_question_seconds": Row(
        "From the arrival of a question to its last heatmap, of those that were answered.", ("model", "method")
    ),
    "backlit_stage_seconds": Row(
        "What a worker spent on a question, whether it answered or refused: stage is queue (waiting for its turn), "
        "prepare (pictures), open (sessions), backbone, head, method (all between them) or encode.",
        ("model", "method", "stage"),
    ),
    "backlit_batch_images": Row(
        "Images that went through a backbone in one run, of one question or of several.", ("model",), IMAGES
    ),
    "backlit_admission_seconds": Row(
        "What a child process took to examine, export or read a model.", ("work",), (0.5, 1, 2, 5, 10, 20, 60, 120)
    ),
}


class Metrics:
    """The numbers of one server; any thread may add to them. A label costs as many series as it has values."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._metrics: dict[str, Counter | Gauge | Histogram] = {
            **{n: Counter(n, r.told, r.labels, registry=self.registry) for n, r in COUNTERS.items()},
            **{n: Gauge(n, r.told, r.labels, registry=self.registry) for n, r in GAUGES.items()},
            **{
                n: Histogram(n, r.told, r.labels, registry=self.registry, buckets=r.buckets)
                for n, r in HISTOGRAMS.items()
            },
        }
        # By name and labels: prometheus_client looks for one under a lock, with every label made a string anew.
        self._series: dict[tuple[str, ...], Any] = {}
        self._models: set[str] = set()
        ProcessCollector(registry=self.registry)

    def count(self, name: str, *labels: str, amount: float = 1) -> None:
        self._one(name, *labels).inc(amount)

    def observe(self, name: str, value: float, *labels: str) -> None:
        self._one(name, *labels).observe(value)

    @contextmanager
    def present(self, name: str, *labels: str) -> Iterator[None]:
        """Counts one more while it lasts."""
        with self._one(name, *labels).track_inprogress():
            yield

    @contextmanager
    def timed(self, name: str, *labels: str) -> Iterator[None]:
        """Observes how long it lasts, however it ends."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.observe(name, time.monotonic() - started, *labels)

    def model(self, name: str, digest: str) -> str:
        """The label of a model: its name, or the beginning of its digest; OTHER where there are too many."""
        label = _label(name, digest)
        if label in self._models:
            return label
        if len(self._models) == MOST_MODELS:
            return OTHER
        self._models.add(label)
        return label

    def forget(self, name: str, digest: str) -> None:
        """Drops the series of a deleted model, which makes room for another."""
        label = _label(name, digest)
        self._models.discard(label)
        rows = COUNTERS | GAUGES | HISTOGRAMS
        for name, metric in self._metrics.items():
            if "model" in rows[name].labels:
                metric.remove_by_labels({"model": label})
        self._series.clear()

    def _one(self, *key: str) -> Any:  # a Counter, Gauge or Histogram
        """The series of a metric's name and labels."""
        found = self._series.get(key)
        if found is None:
            name, *labels = key
            metric = self._metrics[name]
            found = self._series[key] = metric.labels(*labels) if labels else metric
        return found


def _label(name: str, digest: str) -> str:
    return name or digest[:12]


def method_label(names: str) -> str:
    """The label of what was asked: one method of ours, or that it was several or none."""
    if " " in names:
        return SEVERAL
    return names if names in METHODS else UNKNOWN
