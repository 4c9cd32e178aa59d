"""The engine: questions in, explanations out, one backbone run for all targets of an image."""

from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

import numpy as np

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadQuestion
from backlit_server.engine.answers import Looked, Maker, respond
from backlit_server.engine.inputs import checked, pieces
from backlit_server.engine.models import Backbone, Models, OpenModel
from backlit_server.engine.pictures import Recipe, prepare, recipe
from backlit_server.engine.questions import Question, read_question
from backlit_server.engine.runtime import Runtime
from backlit_server.engine.targets import Row, rows
from backlit_server.graph.method import ROWS, SEED, WHOLE
from backlit_server.methods import METHODS

PACKAGES = ("backlit", "numpy", "onnx", "onnxruntime-gpu", "onnxruntime")
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
    ) -> Iterator[tuple[pb.ExplainResponse, Sequence[np.ndarray]]]:
        """The answers as soon as they are ready, images outer, targets inner; heatmaps travel beside them.

        `question.model` is a digest; `tensors` are the data of the request's tensors in the order of tensors_in.
        """
        question = read_question(request, tensors)
        model = self._models.get(question.model)
        inputs, prepared = self._inputs(question, model)
        maker = Maker(question, model, self.provider, self.versions, prepared)
        for first, feeds in pieces(inputs, model.anatomy.inputs, lambda: model.batching[0]):
            for looked in self._looks(question, model, feeds):
                yield from respond(looked, first, maker)

    def interrupt(self) -> None:
        """Ends the run in progress, from any thread."""
        self._runtime.interrupt()

    def forget(self, digest: str) -> None:
        """Drops the sessions of a deleted model."""
        self._models.forget(digest)

    def _inputs(self, question: Question, model: OpenModel) -> tuple[dict[str, np.ndarray], Recipe | None]:
        if question.inputs:
            return checked(question.inputs, model.anatomy.inputs), None
        if model.image is None:
            raise BadQuestion("the model's input is not one image: send float arrays by name instead of pictures")
        by = recipe(question.preprocessing, model.image)
        return {model.anatomy.inputs[0].name: prepare(question.pictures, by, model.image)}, by

    def _looks(self, question: Question, model: OpenModel, feeds: dict[str, np.ndarray]) -> Iterator[Looked]:
        backbone = model.backbone(question.method, question.layer)
        made = backbone.session.run(feeds)
        scores = model.anatomy.scores
        asked = rows(question.targets, made[scores.name], made[scores.output], model.classes)
        if METHODS[question.method].needs_seed:
            yield from _through_head(question, model, backbone, made, asked)
        else:
            yield from _forward_only(question, model, backbone, made, asked)


def _forward_only(
    question: Question, model: OpenModel, backbone: Backbone, made: dict[str, np.ndarray], asked: list[Row]
) -> Iterator[Looked]:
    """One answer an image, whatever its targets: the map does not depend on them."""
    row = METHODS[question.method]
    layer = backbone.cut.layer if backbone.cut else ""
    tensors = {"scores": made[model.anatomy.scores.name]}
    if layer:
        tensors["features"] = model.spatial(layer, made[layer])
    heatmaps = row.formula(*(tensors[name] for name in row.needs), **question.parameters)
    first = {r.image: r for r in reversed(asked)}
    rows = [first[image] for image in range(len(heatmaps))]
    yield Looked(rows, heatmaps, np.zeros(len(rows)), layer, (backbone.session.digest,))


def _through_head(
    question: Question, model: OpenModel, backbone: Backbone, made: dict[str, np.ndarray], asked: list[Row]
) -> Iterator[Looked]:
    """The head, for as many rows at once as fit."""
    assert backbone.cut is not None
    head = model.head(backbone.cut, question.method, question.parameters)
    digests = (backbone.session.digest, head.session.digest)
    crossing = {name: made[name] for name in backbone.cut.crossing}
    for chosen, feeds in _runs(backbone.cut.rows_tile, crossing, asked):
        feeds[SEED] = np.stack([row.seed for row in chosen])
        found = head.session.run({name: feeds[name] for name in head.session.inputs})
        guarded = found.get("guarded", np.zeros(len(chosen)))
        yield Looked(chosen, found["heatmap"], guarded, backbone.cut.layer, digests)


def _runs(tile: bool, crossing: dict[str, np.ndarray], asked: list[Row]) -> Iterator[tuple[list[Row], dict]]:
    """The rows of each run of the head, and what it is fed besides the seeds."""
    images = max(row.image for row in asked) + 1
    if not tile:
        # The whole batch with one target each. Where the batch is one image, this is one row a run.
        for target in range(len(asked) // images):
            yield asked[target :: len(asked) // images], dict(crossing)
        return
    size = sum(array.nbytes for array in crossing.values()) // images
    step = max(1, HEAD_BYTES // max(1, size))
    for start in range(0, len(asked), step):
        chosen = asked[start : start + step]
        feeds = {WHOLE + name: array for name, array in crossing.items()}
        yield chosen, feeds | {ROWS: np.array([row.image for row in chosen])}


def _versions() -> dict[str, str]:
    installed = {d.metadata["Name"]: d.version for d in metadata.distributions()}
    return {name: installed[name] for name in PACKAGES if name in installed}
