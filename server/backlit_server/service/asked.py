"""One question from its arrival to its end: what is counted of it, and what its trace shows."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from backlit_proto.errors import BacklitError, InternalError
from backlit_server.service.logs import CALL
from backlit_server.service.metrics import UNKNOWN, Metrics
from backlit_server.service.tracing import UNTRACED, Span
from backlit_server.story import Story

OK, CANCELLED = "OK", "CANCELLED"
LEFT = asyncio.CancelledError, GeneratorExit


@dataclass
class Asked:
    """What is known so far: the labels it is counted under, and what the worker tells of it in the end."""

    model: str = UNKNOWN
    method: str = UNKNOWN
    story: Story = field(default_factory=Story)

    def hear(self, story: Story) -> None:
        self.story = story


@contextmanager
def asked(metrics: Metrics) -> Iterator[Asked]:
    """Counts a question, however it ends, under what has become known of it by then."""
    one, started, ended = Asked(), time.monotonic(), (OK, OK)
    try:
        with metrics.present("backlit_questions_in_flight"):
            yield one
    except BaseException as error:
        ended = outcome(error)
        raise
    finally:
        # As soon as the caller has been answered: nobody has to wait for it.
        call, at = CALL.get(), time.monotonic()
        span = call.span if call else UNTRACED
        asyncio.get_running_loop().call_soon(_ended, one, metrics, span, (started, at), ended)


def outcome(error: BaseException) -> tuple[str, str]:
    """How what raised this ended: the word it is counted under, and the gRPC status."""
    if isinstance(error, BacklitError):
        return error.reason(), error.code
    return (CANCELLED, CANCELLED) if isinstance(error, LEFT) else (InternalError.reason(), InternalError.code)


def _ended(one: Asked, metrics: Metrics, call: Span, lasted: tuple[float, float], ended: tuple[str, str]) -> None:
    metrics.count("backlit_questions_total", one.model, one.method, ended[0])
    if ended[0] == OK:
        metrics.observe("backlit_question_seconds", lasted[1] - lasted[0], one.model, one.method)
    _measure(one, metrics)
    _trace(one, call, lasted, ended)


def _measure(one: Asked, metrics: Metrics) -> None:
    for name, stage in one.story.stages.items():
        metrics.observe("backlit_stage_seconds", stage.seconds, one.model, one.method, name)
    for images, runs in one.story.runs.items():
        for _ in range(runs):
            metrics.observe("backlit_batch_images", images, one.model)


def _trace(one: Asked, call: Span, lasted: tuple[float, float], ended: tuple[str, str]) -> None:
    span = call.child("question", lasted[0], model=one.model, method=one.method)
    for name, stage in one.story.stages.items():
        span.child(name, stage.first, seconds=stage.seconds).end(stage.last)
    reason, code = ended
    span.end(lasted[1], code, outcome=reason)
