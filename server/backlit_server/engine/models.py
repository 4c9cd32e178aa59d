"""An open model: its anatomy, and sessions opened on first use."""

import functools
import math
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadModel, BadQuestion, NotDifferentiable, NotExplainable
from backlit_server.engine.backbones import Backbones
from backlit_server.engine.heads import Heads
from backlit_server.engine.inputs import expected_image
from backlit_server.engine.precision import Tried, check, drift, halved
from backlit_server.engine.recent import Recent
from backlit_server.engine.recipes import GRAPH, recipe
from backlit_server.engine.rewritten import Rewritten
from backlit_server.engine.runtime import Opener, Session
from backlit_server.engine.trial import batches, joins, maps, sample
from backlit_server.execution import SINGLE, Drift
from backlit_server.graph import (
    NEURONS,
    Scores,
    activation_of,
    annotate,
    as_neurons,
    canonical,
    examine,
    explained,
    pruned,
    scaled,
    shuffled,
    with_outputs,
    with_pixels,
)
from backlit_server.methods import METHODS

MOST_SHUFFLED = 4  # models with shuffled weights that are kept open
MOST_PLANS = 64  # of what questions in the same words need
MOST_SCORES = 8  # other tensors of a model that are explained and kept open; the one opened first goes first


class OpenModel:
    """One model with the scores it explains: its graph as graph/ reads it, not to be changed; anatomy; sessions.

    `folder` is where weights outside the file lie, `batch` what is already known of running images together, `scores`
    the tensor to explain ("": the default), or what is known of it, and `forward` what becomes of graphs that only go
    forward. `drift` says how far that leads, None where nothing becomes of them.
    """

    def __init__(
        self,
        file: onnx.ModelProto,
        runtime: Opener,
        folder: Path | None = None,
        batch: str = "",
        *,
        scores: str | Scores = "",
        forward: Callable[[onnx.ModelProto], onnx.ModelProto] = lambda graph: graph,
    ) -> None:
        self.drift: Drift | None = None
        self._look = partial(OpenModel, runtime=runtime, folder=folder, batch=batch, forward=forward)
        self._explaining: Recent[tuple[str, str], OpenModel] = Recent(MOST_SCORES)
        self._shuffled: Recent[tuple[int, int], OpenModel] = Recent(MOST_SHUFFLED)
        self.plans: Recent[Hashable, Any] = Recent(MOST_PLANS)  # of questions, by their words: plans.py
        self._joins: dict[str, bool] = {}
        self._batch = batch
        graph = runtime.light(canonical(file))
        self.anatomy = examine(graph, scores)
        # What targets need beside the scores is computed by every forward pass anyway.
        self.graph = with_outputs(graph, self.anatomy.scores.beside)
        self.image = expected_image(self.anatomy)
        self._model = Rewritten(self.graph, self.anatomy, runtime, folder, forward)
        self.backbones = Backbones(self._model)
        self.heads = Heads(self._model, self.backbones)

    @property
    def plain(self) -> Session:
        """The forward pass alone."""
        return self._model.plain

    def explaining(self, scores: str, scale: str = "") -> "OpenModel":
        """The same model with another tensor as its scores ("": the default), and these on a scale ("": their own)."""
        own = not scores or scores == self.anatomy.scores.name
        if own and not scale:
            return self
        key = ("", scale) if own else (scores, "")
        if key not in self._explaining:
            graph, found = scaled(self.graph, self.anatomy.scores, scale) if own else (self.graph, scores)
            self._explaining[key] = self._look(graph, scores=found)
        found = self._explaining[key]
        return found if own else found.explaining("", scale)

    def shuffled(self, layers: int, seed: int) -> "OpenModel":
        """The same model with the weights of its last layers shuffled."""
        key = (layers, seed)
        if key not in self._shuffled:
            graph = shuffled(self.graph, self.anatomy.scores.name, layers, seed)
            self._shuffled[key] = self._look(graph, scores=self.anatomy.scores)
        return self._shuffled[key]

    def neurons(self, layer: str) -> "OpenModel":
        """The same model with the neurons of a layer, by tensor or node name, as its scores ("": the default layer)."""
        name = layer or self.anatomy.default_layer
        if not name:
            raise NotExplainable(f"this model has no layer to look at: {self.anatomy.default_layer_reason}")
        name = next((node.output[0] for node in self.graph.graph.node if node.name == name), name)
        if (name, NEURONS) not in self._explaining:
            about = as_neurons(self.explaining(name).anatomy.scores, self.anatomy.views.get(name))
            self._explaining[name, NEURONS] = self._look(self.graph, scores=about)
        return self._explaining[name, NEURONS]

    def at(self, precision: str) -> "OpenModel":
        """The same model in a precision; NotExplainable, with the reason, where half precision does not carry it."""
        if precision == SINGLE:
            return self
        if isinstance(self._half, str):
            raise NotExplainable(self._half)
        return self._half

    @functools.cached_property
    def _half(self) -> "OpenModel | str":
        """In half precision, or why not."""
        try:
            check(self.anatomy.arithmetic, self.graph)
            half = self._look(self.graph, scores=self.anatomy.scores, forward=halved)
            half.batching = self.batching  # rounding is no reason to run images one by one
            half.drift = drift(self._tried(), half._tried())
        except (BadModel, BadQuestion, NotExplainable) as error:
            return f"half precision does not carry this model: {error}; ask in single precision"
        return half

    def _tried(self) -> Tried:
        """Scores of made-up images, and maps where there are any."""
        feeds = sample(self.anatomy, 2 if self.batching[0] else 1, seed=3)
        scores = self.forward(feeds)[self.anatomy.scores.name]
        try:
            return Tried(scores, maps(self.backbones, self.heads, feeds))
        except (NotExplainable, NotDifferentiable):
            return Tried(scores, None)

    def session(self, graph: onnx.ModelProto) -> Session:
        """A session of a graph that was made from this model."""
        return self._model.open(graph)

    @functools.cached_property
    def made_by(self) -> str:
        """The softmax or sigmoid whose result the scores are, "" where they are none's."""
        return activation_of(self.graph, self.anatomy.scores.name)

    @functools.cached_property
    def batching(self) -> tuple[bool, str]:
        """Whether several images go through in one run, found out by trying."""
        together, why = batches(self.anatomy, self.forward)
        return together, self._batch + why

    def joins(self, session: Session) -> bool:
        """Whether images of several questions may share a run of this forward pass, found out by trying."""
        if session.digest not in self._joins:
            self._joins[session.digest] = self.batching[0] and joins(self.anatomy, session.run)
        return self._joins[session.digest]

    def forward(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """A plain forward pass: the model's outputs and the scores."""
        return self.plain.run(inputs)

    def explained(self, method: str, layer: str, parameters: Mapping[str, Any]) -> onnx.ModelProto:
        """The whole model as one file, with features, scores, seed and the heatmap of a method."""
        backbone = self.backbones.of(method, layer)
        if not (backbone.cut and METHODS[method].needs_seed):
            raise NotExplainable(f"{method} is no part of a file: its answer is a tensor of the model itself")
        at, scores = backbone.cut.layer, self.anatomy.scores.name
        row = METHODS[method]
        whole = self.heads.seeded(backbone.cut.backbone, at, row.rules, parameters)
        whole = explained(whole, scores, self.heads.recipe(at, method, parameters))
        outputs = {o.name for o in backbone.cut.backbone.graph.output}.difference(backbone.cut.vectors)
        made = pruned(whole, {*outputs, *row.outputs})
        return annotate(made, self.graph)

    def taking_pictures(self, graph: onnx.ModelProto, declared: pb.Preprocessing) -> onnx.ModelProto:
        """A graph that was made from this model, with pictures in place of its image."""
        if self.image is None:
            raise NotExplainable("the model's input is not one image, so its file cannot take pictures")
        by = recipe(declared, self.image, GRAPH)
        return with_pixels(graph, self.anatomy.image, by, self.image)

    def spatial(self, layer: str, features: np.ndarray) -> np.ndarray:
        """Features of a layer as maps: N, C, H, W."""
        return self.anatomy.view_of(layer).maps(features)

    def values(self, layer: str, features: np.ndarray, images: int) -> np.ndarray:
        """As spatial(); of a dense layer, which has one vector an image, each number is a map of one place."""
        vectors = features.ndim > 1 and len(features) == images and math.prod(features.shape[2:]) == 1
        if vectors and layer not in self.anatomy.views:
            return features.reshape(*features.shape[:2], 1, 1)
        return self.spatial(layer, features)
