"""What a server counts, as a page of tables for people."""

import math
from collections.abc import Callable, Sequence

from backlit.metrics import Metrics, mean, quantile
from backlit.tables import plain

QUESTIONS, SECONDS, STAGES = "backlit_questions_total", "backlit_question_seconds", "backlit_stage_seconds"
STAGE_TITLES = ("queue", "prepare", "open", "backbone", "head", "method", "encode")
FOUND = ("hits", "misses")
GOOD = ("OK", "CANCELLED")
MB = 1 << 20

Row = tuple[str, ...]


def page(metrics: Metrics, seconds: float) -> str:
    """What was counted within so many seconds: in all, per model and method, per device, and what was refused."""
    parts = (_in_all(metrics, seconds), _asked(metrics, seconds), _devices(metrics), _refused(metrics))
    return "\n\n".join(part for part in parts if part) + "\n"


def _in_all(metrics: Metrics, seconds: float) -> str:
    def rate(name: str, **labels: str) -> float:
        return metrics[name].sum(**labels) / seconds

    images = metrics["backlit_batch_images"]
    words = (
        f"within {seconds:.0f} s",
        f"{rate(QUESTIONS):.1f} questions/s",
        f"{images.sum() / seconds:.1f} images/s",
        f"{metrics['backlit_questions_in_flight'].sum():.0f} in flight",
        f"{_number(mean(images), '.1f')} images a run",
        f"{rate('backlit_received_bytes_total') / MB:.2f} MB/s in",
        f"{rate('backlit_sent_bytes_total') / MB:.2f} MB/s out",
        f"{metrics['backlit_store_models'].sum():.0f} models stored",
    )
    return "  ".join(words)


def _asked(metrics: Metrics, seconds: float) -> str:
    """One line a model and method; times are milliseconds, those of the stages are means."""
    titles = ("MODEL", "METHOD", "/S", "P50", "P99", *(title.upper() for title in STAGE_TITLES), "FAILED")
    rows = [_line(metrics, seconds, *pair) for pair in metrics[QUESTIONS].values("model", "method")]
    rows = sorted((row for row in rows if row[2] != "0.0" or row[-1] != "0"), key=lambda row: -float(row[2]))
    return _right(titles, rows, left=2) if rows else "nothing was asked"


def _line(metrics: Metrics, seconds: float, model: str, method: str) -> Row:
    asked, stages = metrics[QUESTIONS], metrics[STAGES]
    counts = metrics[SECONDS].counts(model=model, method=method)
    total = asked.sum(model=model, method=method)
    good = sum(asked.sum(model=model, method=method, outcome=outcome) for outcome in GOOD)
    means = (mean(stages, model=model, method=method, stage=stage) for stage in STAGE_TITLES)
    times = (quantile(0.5, counts), quantile(0.99, counts), *means)
    return model, method, f"{total / seconds:.1f}", *map(_milliseconds, times), f"{total - good:.0f}"


def _devices(metrics: Metrics) -> str:
    """One line a device: its worker, and what that keeps."""
    rows = []
    for device, provider in metrics["backlit_worker_ready"].values("device", "provider"):

        def told(name: str, device: str = device, **labels: str) -> float:
            return metrics[name].sum(device=device, **labels)

        rows.append((device, provider, *(cell(told) for cell in DEVICE.values())))
    return _right(("DEVICE", "PROVIDER", *DEVICE), rows, left=2)


def _share(hits: float, misses: float) -> str:
    return f"{100 * hits / (hits + misses):.0f} %" if hits + misses else "-"


DEVICE: dict[str, Callable[[Callable[..., float]], str]] = {
    "READY": lambda told: "yes" if told("backlit_worker_ready") else "no",
    "STARTS": lambda told: f"{told('backlit_worker_starts_total'):.0f}",
    "QUESTIONS": lambda told: f"{told('backlit_worker_questions'):.0f}",
    "MODELS": lambda told: f"{told('backlit_cache_entries', kind='model'):.0f}",
    "SESSIONS": lambda told: f"{told('backlit_cache_entries', kind='session'):.0f}",
    "KEPT/MB": lambda told: f"{told('backlit_cache_bytes') / MB:.0f}",
    "REUSED": lambda told: _share(*(told(f"backlit_cache_{found}_total", kind="features") for found in FOUND)),
    "MEMORY/MB": lambda told: f"{told('backlit_worker_resident_bytes') / MB:.0f}",
}
"""What is told of a device, by the title of its column."""


def _refused(metrics: Metrics) -> str:
    """How often what was refused, the most frequent first."""
    calls = metrics["backlit_calls_total"]
    found = {outcome: calls.sum(outcome=outcome) for (outcome,) in calls.values("outcome") if outcome not in GOOD}
    some = sorted((-count, outcome) for outcome, count in found.items() if count)
    return "refused: " + ", ".join(f"{outcome} {-count:.0f}" for count, outcome in some) if some else ""


def _milliseconds(seconds: float) -> str:
    return _number(1000 * seconds, ".1f")


def _number(value: float, shape: str) -> str:
    return "-" if math.isnan(value) else format(value, shape)


def _right(titles: Row, rows: Sequence[Row], *, left: int) -> str:
    """A table whose first columns are words and the others numbers, which end below one another."""
    widths = [max(len(row[i]) for row in (titles, *rows)) for i in range(len(titles))]
    aligned = [
        tuple(cell if i < left else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True)))
        for row in (titles, *rows)
    ]
    return plain(aligned[0], aligned[1:])
