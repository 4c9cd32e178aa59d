"""The engine: questions in, explanations out, one backbone run for all targets of an image."""

import functools
import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import numpy as np

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import NotExplainable
from backlit_server.engine.answers import Looked, Maker, Passes, respond
from backlit_server.engine.asking import asked_looks
from backlit_server.engine.backbones import Backbone
from backlit_server.engine.causes import Ran, causes
from backlit_server.engine.choices import chosen_layer, explaining
from backlit_server.engine.combining import Combination, combined
from backlit_server.engine.features import Features
from backlit_server.engine.frames import frames
from backlit_server.engine.inputs import image_size, images_in, pieces
from backlit_server.engine.joining import Pass, Run, run_together
from backlit_server.engine.measuring import Bench, measured
from backlit_server.engine.models import OpenModel
from backlit_server.engine.opening import Models
from backlit_server.engine.parting import parted
from backlit_server.engine.pictures import Pictures
from backlit_server.engine.questions import Question, Wording, read_question
from backlit_server.engine.runtime import PRECISE, Runtime
from backlit_server.engine.stacks import Stack, class_head, product, respond_stack, stacked
from backlit_server.engine.target_kinds import rows, rows_of_images
from backlit_server.engine.targets import Row
from backlit_server.engine.through_head import through_head
from backlit_server.engine.views import View, views
from backlit_server.engine.warming import warm_up
from backlit_server.execution import Computed, Execution
from backlit_server.graph import PictureRecipe
from backlit_server.keeping import Keeping

PACKAGES = ("backlit", "numpy", "onnx", "onnxruntime-gpu", "onnxruntime")
Tensors = dict[str, np.ndarray]
Answer = tuple[pb.ExplainResponse, Sequence[np.ndarray]]


class Engine:
    """Answers questions on one device. `store` is the folder of uploaded models, `threads` those of the one pool."""

    def __init__(
        self, store: Path, device: str, threads: int, execution: Execution = PRECISE, keeping: Keeping | None = None
    ) -> None:
        self.store = store
        self._runtime = Runtime(device, threads, execution)
        self._pictures = Pictures(self._runtime, execution.max_picture_megapixels)
        keeping = keeping or Keeping()
        self._models, self._preload = Models(store, self._runtime, keeping), keeping.preload
        self._features = Features(self._models.budget)
        self.device = self._runtime.device
        self.provider = self._runtime.provider
        self.versions = _versions()
        self._computed = Computed(self.device, self.provider, execution)

    def explain(
        self, request: pb.ExplainRequest, tensors: Sequence[np.ndarray]
    ) -> Generator[Answer | Pass | None, None, None]:
        """The answers as soon as they are ready, images outer, targets inner; heatmaps travel beside them.

        None between two passes of a method that takes many, so that others can have their turn; a Pass before the
        backbone runs, so that others can share the run. `question.model` is a digest; `tensors` are the data of the
        request's tensors in the order of tensors_in.
        """
        started = time.monotonic()
        question = read_question(request, tensors)
        end = started + question.wording.time_limit
        stored, computed = self._at(question.wording)
        model = explaining(stored, question.wording)
        inputs, prepared = yield from self._pictures.inputs(question, model)
        size = image_size(inputs, model.anatomy.inputs)
        frame = frames(question.pictures, prepared, size)
        versions, arithmetic = tuple(self.versions.items()), model.anatomy.arithmetic
        maker = Maker(question.wording, computed, versions, prepared, size, arithmetic)
        each = question.each
        together = not any(one.wording.row.many_passes for one in each)  # many passes fill their runs with one image
        turns = list(pieces(inputs, model.anatomy.inputs, lambda: together and model.batching[0]))
        left = len(turns) * len(each)
        for first, feeds in turns:
            run = Run(
                model, question.wording.model, feeds, lambda image, first=first: frame(first + image), self._features
            )
            for one in each:
                until, by = started + (end - started) / left, replace(maker, wording=one.wording)
                parts = _parts(one.wording, model)
                yield from run.needing(parts.backbones[0].session)
                for looked in _found(one, parts, run, prepared, until):
                    yield from TELL[type(looked)](looked, first, replace(by, reused=run.reused))
                started, left = time.monotonic(), left - 1

    def run(self, passes: Sequence[Pass]) -> None:
        """Makes passes of one kind together; those whose images cannot share a run are left for their questions.

        So are all where answers are to be the same to the last bit, which then may not depend on who else is asking.
        """
        if not self._runtime.execution.deterministic:
            run_together(passes)

    def warm_up(self) -> Iterator[None]:
        """Makes ready for the models used last, a step at a time, for whenever nobody asks."""
        return warm_up(self._models, self.explain, self._preload)

    def interrupt(self) -> None:
        """Ends the run in progress, from any thread."""
        self._runtime.interrupt()

    def forget(self, digest: str) -> None:
        """Drops the sessions of a deleted model."""
        self._models.forget(digest)

    def _at(self, wording: Wording) -> tuple[OpenModel, Computed]:
        """The model that is asked about, in the precision that is asked for, and how it computes."""
        precision = wording.precision or self._runtime.execution.precision
        model = self._models.get(wording.model).at(precision)
        return model, self._computed.at(precision, model.drift)


def _found(
    question: Question, parts: Combination, run: Run, prepared: PictureRecipe | None, until: float
) -> Iterator[Looked | Stack | None]:
    """What one method finds in these images."""
    if question.every_class:
        return _stacks(question, parts, run, until)
    bench = Bench(question.wording, run.model, run.feeds, run.frame, prepared, _again, until)
    # What is measured leaves its half of the time to the measures.
    mapped = (time.monotonic() + until) / 2 if question.wording.measures else until
    return measured(functools.partial(_looks, question, parts, run, mapped), bench)


def _looks(question: Question, parts: Combination, run: Run, until: float) -> Iterator[Looked | None]:
    """The maps of all targets of these images."""
    model, made = run.model, _forward(parts, run)
    asked = _asked(question, views(made, model.anatomy.scores, run.frame, question.wording.boxes))
    return _seen(question.wording, model, parts, made, asked, until)


def _stacks(question: Question, parts: Combination, run: Run, until: float) -> Iterator[Stack | None]:
    """The maps of all classes of these images: in one run an image where the head is linear, else by a seed a class."""
    model, made = run.model, _forward(parts, run)
    images = views(made, model.anatomy.scores, run.frame, question.wording.boxes)
    head = class_head(question.wording, model, parts.backbones[0]) if parts.trivial else None
    if head is not None:
        return product(head, question.wording, Ran(model, parts.backbones[0].cut, made), images)
    looks = _seen(question.wording, model, parts, made, _asked(question, images), until)
    return stacked(looks, model.anatomy.scores, question.wording)


def _forward(parts: Combination, run: Run) -> Tensors:
    """All tensors of the forward pass of these images."""
    made, anatomy = run.forward(parts.backbones[0].session), run.model.anatomy
    scores = anatomy.scores
    count, found = images_in(run.feeds, anatomy.inputs), made[scores.name]
    if not found.ndim or len(found) != count:
        raise NotExplainable(
            f"the scores {scores.name!r} of {count} images have the shape {found.shape}, whose first axis does not "
            "count images; export the model with a batch axis in its output"
        )
    return made


def _asked(question: Question, images: Iterator[View]) -> list[Row]:
    return (rows if question.wording.row.needs_seed else rows_of_images)(question.targets, images)


def _again(wording: Wording, model: OpenModel, feeds: Tensors, row: Row) -> Iterator[Looked | None]:
    """The looks of a question for other inputs, those of one image, or by another model."""
    parts = _parts(wording, model)
    return _seen(wording, model, parts, feeds | parts.backbones[0].session.run(feeds), [row], math.inf)


def _parts(wording: Wording, model: OpenModel) -> Combination:
    """The layers that are looked at, and in which versions of an image."""
    return Combination(_backbones(wording, model), wording.versions, wording.fusion)


def _backbones(wording: Wording, model: OpenModel) -> Sequence[Backbone]:
    """One, or those of several layers in one session."""
    if wording.layers:
        return model.backbones.together(wording.method, wording.layers)
    return (model.backbones.of(wording.method, chosen_layer(wording, model.anatomy)),)


def _seen(
    wording: Wording, model: OpenModel, parts: Combination, made: Tensors, asked: list[Row], until: float
) -> Iterator[Looked | None]:
    """The maps of these rows, whose images' tensors `made` are."""

    def look(backbone: Backbone, made: Tensors, until: float) -> Iterator[Looked | None]:
        return _look(wording, model, backbone, made, asked, until)

    if parts.trivial:
        return look(parts.backbones[0], made, until)
    return combined(model, parts, made, look, until)


def _look(
    wording: Wording, model: OpenModel, backbone: Backbone, made: Tensors, asked: list[Row], until: float
) -> Iterator[Looked | None]:
    """The maps of these rows at one layer, whose images' tensors `made` are."""
    row = wording.row
    if row.many_passes:
        yield from _many_passes(wording, model, backbone, made, asked, until)
    elif row.needs_seed:
        for cut, some, chosen in parted(backbone, asked):
            tensors = {name: made[name][some] for name in (model.anatomy.scores.name, *cut.crossing)}
            yield from through_head(wording, model, cut, tensors, chosen)
    else:
        yield from _forward_only(wording, model, backbone, made, asked)


def _many_passes(
    wording: Wording, model: OpenModel, backbone: Backbone, made: Tensors, asked: list[Row], until: float
) -> Iterator[Looked | None]:
    """One image, and all its targets of one cut in the same passes."""
    parts = parted(backbone, asked) if backbone.cut else [(None, ..., asked)]
    for cut, _, some in parts:
        yield from asked_looks(wording, model, cut, made, some, until)


def _forward_only(
    wording: Wording, model: OpenModel, backbone: Backbone, made: Tensors, asked: list[Row]
) -> Iterator[Looked]:
    """One answer an image, whatever its targets: the map does not depend on them."""
    row = wording.row
    layer = backbone.cut.layer if backbone.cut else ""
    tensors = {"scores": made[model.anatomy.scores.name]}
    if layer:
        tensors["features"] = model.values(layer, made[layer], len(tensors["scores"]))
    with np.errstate(all="ignore"):  # the status says what overflows
        heatmaps = row.formula(*(tensors[name] for name in row.needs), **wording.parameters)
    first = {r.image: r for r in reversed(asked)}
    rows = [first[image] for image in range(len(heatmaps))]
    why = causes(Ran(model, backbone.cut, made), row, rows, heatmaps)
    yield Looked(rows, heatmaps, np.zeros(len(rows)), layer, backbone.session.digest, Passes(forward=1), causes=why)


TELL: dict[type, Callable[..., Iterable[Answer | None]]] = {
    Looked: respond,
    Stack: respond_stack,
    type(None): lambda looked, first_image, maker: (None,),
}
"""The answers to what was found by one run."""


def _versions() -> dict[str, str]:
    installed = {d.metadata["Name"]: d.version for d in metadata.distributions()}
    return {name: installed[name] for name in PACKAGES if name in installed}
