"""The engine: questions in, explanations out, one backbone run for all targets of an image."""

import math
import time
from collections.abc import Generator, Iterator, Sequence
from importlib import metadata
from pathlib import Path

import numpy as np

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadQuestion, NotExplainable
from backlit_server.engine.answers import Looked, Maker, Passes, respond
from backlit_server.engine.asking import asked_looks
from backlit_server.engine.causes import Ran, causes
from backlit_server.engine.choices import chosen_layer, explaining
from backlit_server.engine.combining import Combination, combined
from backlit_server.engine.frames import Frames, frames
from backlit_server.engine.inputs import checked, image_size, images_in, pieces
from backlit_server.engine.measuring import Bench, measured
from backlit_server.engine.models import Backbone, OpenModel
from backlit_server.engine.opening import Models
from backlit_server.engine.parting import parted
from backlit_server.engine.pictures import Recipe, prepare, recipe
from backlit_server.engine.questions import Question, Wording, read_question
from backlit_server.engine.runtime import Runtime, Session
from backlit_server.engine.target_kinds import rows, rows_of_images
from backlit_server.engine.targets import Row, narrow_seeds, seeds
from backlit_server.engine.views import views
from backlit_server.graph import Cut
from backlit_server.graph.method import SEED
from backlit_server.graph.narrow import CLASSES
from backlit_server.graph.tiling import TARGETS, WHOLE
from backlit_server.methods import IMAGE, LAYER

PACKAGES = ("backlit", "numpy", "onnx", "onnxruntime-gpu", "onnxruntime")
Tensors = dict[str, np.ndarray]
Answer = tuple[pb.ExplainResponse, Sequence[np.ndarray]]
HEAD_BYTES = 32 << 20  # of repeated features in one run of a head: more targets go in several runs


class Engine:
    """Answers questions on one device. `store` is the folder of uploaded models, `threads` those of the one pool."""

    def __init__(self, store: Path, device: str, threads: int) -> None:
        self.store = store
        self._runtime = Runtime(device, threads)
        self._models = Models(store, self._runtime)
        self.device = self._runtime.device
        self.provider = self._runtime.provider
        self.versions = _versions()

    def explain(
        self, request: pb.ExplainRequest, tensors: Sequence[np.ndarray]
    ) -> Generator[Answer | None, None, None]:
        """The answers as soon as they are ready, images outer, targets inner; heatmaps travel beside them.

        None between two passes of a method that takes many, so that others can have their turn. `question.model` is a
        digest; `tensors` are the data of the request's tensors in the order of tensors_in.
        """
        started = time.monotonic()
        question = read_question(request, tensors)
        end = started + question.wording.time_limit
        model = explaining(self._models.get(question.wording.model), question.wording)
        inputs, prepared = self._inputs(question, model)
        size = image_size(inputs, model.anatomy.inputs)
        frame = frames(question.pictures, prepared, size)
        versions, arithmetic = tuple(self.versions.items()), model.anatomy.arithmetic
        maker = Maker(question.wording, self.provider, versions, prepared, size, arithmetic)
        together = not question.wording.row.many_passes  # many passes fill their runs with one image
        turns = list(pieces(inputs, model.anatomy.inputs, lambda: together and model.batching[0]))
        for left, (first, feeds) in zip(range(len(turns), 0, -1), turns, strict=True):
            until = started + (end - started) / left
            bench = Bench(
                question.wording, model, feeds, lambda image, first=first: frame(first + image), prepared, _again
            )
            for looked in measured(self._looks(question, model, feeds, bench.frame, until), bench):
                yield from respond(looked, first, maker) if looked else (None,)
            started = time.monotonic()

    def interrupt(self) -> None:
        """Ends the run in progress, from any thread."""
        self._runtime.interrupt()

    def forget(self, digest: str) -> None:
        """Drops the sessions of a deleted model."""
        self._models.forget(digest)

    def _inputs(self, question: Question, model: OpenModel) -> tuple[Tensors, Recipe | None]:
        if question.inputs:
            return checked(question.inputs, model.anatomy.inputs), None
        if model.image is None:
            raise BadQuestion("the model's input is not one image: send float arrays by name instead of pictures")
        by = recipe(question.wording.preprocessing, model.image)
        return {model.anatomy.inputs[0].name: prepare(question.pictures, by, model.image)}, by

    def _looks(
        self, question: Question, model: OpenModel, feeds: Tensors, frame: Frames, until: float
    ) -> Iterator[Looked | None]:
        wording = question.wording
        parts = Combination(_backbones(wording, model), wording.versions, wording.fusion)
        made = feeds | parts.backbones[0].session.run(feeds)
        scores = model.anatomy.scores
        count, found = images_in(feeds, model.anatomy.inputs), made[scores.name]
        if not found.ndim or len(found) != count:
            raise NotExplainable(
                f"the scores {scores.name!r} of {count} images have the shape {found.shape}, whose first axis does not "
                "count images; export the model with a batch axis in its output"
            )
        images = views(made, scores, frame, wording.boxes)
        asked = (rows if wording.row.needs_seed else rows_of_images)(question.targets, images)
        yield from _seen(wording, model, parts, made, asked, until)


def _again(wording: Wording, model: OpenModel, feeds: Tensors, row: Row) -> np.ndarray:
    """The heatmap of a question for other inputs, those of one image, or by another model."""
    parts = Combination(_backbones(wording, model), wording.versions, wording.fusion)
    *_, last = _seen(wording, model, parts, feeds | parts.backbones[0].session.run(feeds), [row], math.inf)
    assert last is not None
    return last.heatmaps[0]


def _backbones(wording: Wording, model: OpenModel) -> Sequence[Backbone]:
    """One, or those of several layers in one session."""
    if wording.layers:
        return model.together(wording.method, wording.layers)
    return (model.backbone(wording.method, chosen_layer(wording, model.anatomy)),)


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
            yield from _through_head(wording, model, cut, tensors, chosen)
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


def _through_head(wording: Wording, model: OpenModel, cut: Cut, made: Tensors, asked: list[Row]) -> Iterator[Looked]:
    """The head, for as many rows at once as fit; where its rows cannot be repeated, for one target at a time."""
    head = model.head(cut, wording.method, wording.parameters, wording.profile)
    crossing = {name: made[name] for name in cut.crossing}
    scores = made[model.anatomy.scores.name]
    targets = len(asked) // len({row.image for row in asked})
    passes = PASSES[wording.row.at](targets, wording.row.forwards)
    for chosen, found in (_tiled if cut.rows_tile else _one_by_one)(head.session, crossing, asked, scores):
        heatmaps, guarded = found.pop("heatmap"), found.pop("guarded", np.zeros(len(chosen)))
        why = causes(Ran(model, cut, made, asked[0].image), wording.row, chosen, heatmaps)
        yield Looked(chosen, heatmaps, guarded, cut.layer, head.digest, passes, facts=found, causes=why)


PASSES = {
    LAYER: lambda targets, forwards: Passes(forward=1, head=targets * forwards),
    IMAGE: lambda targets, forwards: Passes(forward=1 + targets * forwards, backward=targets),
}
"""What an image takes whose scores came of a pass of their own, by where the method looks."""


def _tiled(
    session: Session, crossing: Tensors, asked: list[Row], scores: np.ndarray
) -> Iterator[tuple[list[Row], Tensors]]:
    """Runs of as many rows as HEAD_BYTES allow."""
    images = len(scores)
    row_bytes = sum(array.nbytes // images for array in crossing.values())
    for some, part in _portions(images, len(asked) // images, max(1, HEAD_BYTES // max(1, row_bytes))):
        feeds = {WHOLE + name: array[some] for name, array in crossing.items()}
        feeds[TARGETS] = np.array([(part.stop - part.start) // (some.stop - some.start)])
        yield asked[part], _run(session, feeds, asked[part], scores)


def _portions(images: int, targets: int, most: int) -> Iterator[tuple[slice, slice]]:
    """The images and the rows of each run: several images with all their targets, or one with some of them."""
    step = max(1, most // targets)
    for image in range(0, images, step):
        first, last = image * targets, min(image + step, images) * targets
        for row in range(first, last, most):
            yield slice(image, last // targets), slice(row, min(row + most, last))


def _one_by_one(
    session: Session, crossing: Tensors, asked: list[Row], scores: np.ndarray
) -> Iterator[tuple[list[Row], Tensors]]:
    """One run a target over the whole batch, put back into order: images outer, targets inner."""
    images = asked[-1].image - asked[0].image + 1
    targets = len(asked) // images
    runs = [_run(session, crossing, asked[target::targets], scores) for target in range(targets)]
    by_image = {name: np.stack([run[name] for run in runs], 1) for name in runs[0]}
    yield asked, {name: array.reshape(-1, *array.shape[2:]) for name, array in by_image.items()}


def _run(session: Session, feeds: Tensors, chosen: list[Row], scores: np.ndarray) -> Tensors:
    """A run of a head with these rows' seeds; a head that can do with the asked classes gets those alone."""
    if CLASSES in session.inputs:
        classes, made = narrow_seeds(chosen, scores.dtype)
        feeds = feeds | {CLASSES: classes, SEED: made}
    else:
        feeds = feeds | {SEED: seeds(chosen, scores.shape[1:], scores.dtype)}
    return session.run({name: feeds[name] for name in session.inputs})


def _versions() -> dict[str, str]:
    installed = {d.metadata["Name"]: d.version for d in metadata.distributions()}
    return {name: installed[name] for name in PACKAGES if name in installed}
