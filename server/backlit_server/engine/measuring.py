"""Finished heatmaps measured: a measure is driven as a method of many passes is, by passes of its own."""

import contextlib
import math
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadQuestion, NotExplainable
from backlit_server.engine.answers import Looked
from backlit_server.engine.asking import images_at_once
from backlit_server.engine.frames import Frames
from backlit_server.engine.inputs import alone
from backlit_server.engine.models import OpenModel
from backlit_server.engine.probabilities import probability_of
from backlit_server.engine.questions import AskedMeasure, Wording
from backlit_server.engine.recipes import black, recipe
from backlit_server.engine.sitting import Sitting
from backlit_server.engine.targets import Row, seeds
from backlit_server.graph import PictureRecipe
from backlit_server.methods.asking import drive
from backlit_server.methods.head_probing import of_targets
from backlit_server.methods.measures import MEASURES
from backlit_server.methods.measures.measuring import Effort, Heatmaps, Measured, ShuffledHeatmap, Subject

Array = np.ndarray
Tensors = dict[str, Array]
Look = Callable[[], Iterator[Looked | None]]
"""Begins to make the maps of a question."""
UNFINISHED = Measured(math.nan)


@dataclass(frozen=True)
class Bench:
    """What measures are made with. `feeds` are the model's inputs of all images of the run, `frame` tells where each
    lies in what was sent, `prepared` how a picture became the input; `again` is the question asked again, of a model
    with the inputs of one image, for one row. At the time `until` no measure gets another answer.
    """

    wording: Wording
    model: OpenModel
    feeds: Tensors
    frame: Frames
    prepared: PictureRecipe | None
    again: Callable[[Wording, OpenModel, Tensors, Row], Iterator[Looked | None]]
    until: float

    def black(self) -> Array:
        """What the model takes where a picture is black."""
        image, declared = self.model.image, self.wording.preprocessing
        assert image is not None
        if not (self.prepared or declared):
            raise BadQuestion(
                "nobody said which values of these arrays are black: send pictures, declare how pictures are prepared "
                "for this model, or fill with zero, mean or blur"
            )
        return black(self.prepared or recipe(declared, image), image)


def measured(look: Look, bench: Bench) -> Iterator[Looked | None]:
    """The looks of a question, the finished ones with what is measured of them; None after each further pass."""
    if bench.wording.measures and bench.model.image is None:
        raise NotExplainable("measures hide parts of the image, and the model's input is not one image")
    for looked, seconds in timed(look):
        if looked is None or looked.progress < 1 or not bench.wording.measures:
            yield looked
        elif looked.heatmaps.ndim != len(("row", "height", "width")):
            raise BadQuestion(f"{bench.wording.method} gives no single heatmap, so there is nothing to measure")
        else:
            found = []
            for number in range(len(looked.rows)):
                found.append((yield from _of_one(looked, number, seconds, bench)))  # noqa: PERF401 - no comprehension can yield
            yield replace(looked, measurements=found)


def timed(look: Look) -> Iterator[tuple[Looked | None, float]]:
    """Each look with the seconds of this thread's time that a row of it took: others may have their turn between."""
    started = time.perf_counter()
    looks = look()
    spent = time.perf_counter() - started
    while True:
        started = time.perf_counter()
        try:
            looked = next(looks)
        except StopIteration:
            return
        spent += time.perf_counter() - started
        yield looked, spent / len(looked.rows) if looked else 0
        spent = 0.0 if looked and looked.progress == 1 else spent


def _of_one(looked: Looked, number: int, seconds: float, bench: Bench) -> Generator[None, None, list[pb.Measurement]]:
    """All that is measured of one row."""
    row = looked.rows[number]
    feeds = alone(bench.feeds, bench.model.anatomy.inputs, row.image)
    sitting = Sitting(bench.model, None, feeds | bench.model.forward(feeds), [row], images_at_once(bench.model, feeds))
    subject, answer = _subject(looked, number, seconds, sitting, bench), _answering(sitting, row, bench)
    found = []
    for asked in bench.wording.measures:
        told = UNFINISHED
        with contextlib.suppress(OutOfTimeError):
            for said in drive(MEASURES[asked.name].measure(subject, **asked.parameters), answer):
                if isinstance(said, Measured):
                    told = said
                else:
                    yield None
        found.append(_message(asked, told, bench.wording))
    return found


def _subject(looked: Looked, number: int, seconds: float, sitting: Sitting, bench: Bench) -> Subject:
    scores = sitting.made[sitting.scores]
    (seed,) = seeds(sitting.asked, scores.shape[1:], scores.dtype)
    ratings: dict[str, Callable[[Array, Array], Array]] = {
        "probability": probability_of(bench.model.anatomy.scores),
        "score": of_targets,
    }
    passes = looked.passes
    return Subject(
        heatmap=looked.heatmaps[number],
        image=sitting.maps(sitting.image),
        seed=seed,
        scores=scores,
        rated=lambda scores, score: ratings[score](scores, seed[None])[:, 0],
        black=bench.black,
        located=lambda box: tuple(bench.frame(looked.rows[number].image).to_input(np.array(box)).tolist()),
        batch=sitting.batch,
        effort=Effort(passes.forward, passes.backward, passes.head, seconds),
    )


class OutOfTimeError(Exception):
    """What a measure gets instead of an answer when the time of its question is over."""


def _answering(sitting: Sitting, row: Row, bench: Bench) -> Callable[[Any], Array]:
    """Heatmaps by asking the question again, of other images or of another model; the rest as for methods.

    Measures that ask for nothing are made whatever the time; the others end with OutOfTimeError before their next pass.
    """
    first = row._replace(image=0)

    def feeds(image: Array) -> Tensors:
        return {sitting.image: sitting.native(sitting.image, image[None])}

    def heatmap(model: OpenModel, image: Array) -> Array:
        last = None
        for last in bench.again(bench.wording, model, feeds(image), first):  # noqa: B007 - the last is wanted
            in_time()
        assert last is not None
        return last.heatmaps[0]

    def in_time() -> None:
        if time.monotonic() >= bench.until:
            raise OutOfTimeError

    answers: dict[type, Callable[[Any], Array]] = {
        Heatmaps: lambda ask: np.stack([heatmap(bench.model, image) for image in ask.images]),
        ShuffledHeatmap: lambda ask: heatmap(bench.model.shuffled(ask.layers, ask.seed), ask.image[0])[None],
    }

    def answer(ask: Any) -> Array:
        in_time()
        return answers.get(type(ask), sitting.answer)(ask)

    return answer


def _message(asked: AskedMeasure, found: Measured, wording: Wording) -> pb.Measurement:
    told = pb.Measurement(name=asked.name, value=found.value, facts=found.facts, curve=found.curve)
    told.unfinished = found is UNFINISHED
    told.parameters.update({k: list(v) if isinstance(v, tuple) else v for k, v in asked.parameters.items()})
    told.target_choice = ", ".join(_choice(target) for target in wording.targets) or "top 1"
    return told


def _choice(target: pb.Target) -> str:
    """How a target was chosen, in words."""
    kind = target.WhichOneof("kind") or ""
    value = getattr(target, kind)
    return f"{CHOICES.get(kind, kind)} {value}" if isinstance(value, int | str) else CHOICES.get(kind, kind)


CHOICES = {"class_index": "class", "class_name": "class", "top": "top"}
