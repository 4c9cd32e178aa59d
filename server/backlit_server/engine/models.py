"""An open model: its anatomy, and sessions opened on first use."""

import functools
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from backlit_proto.errors import BadQuestion, NotExplainable
from backlit_server.engine.inputs import expected_image
from backlit_server.engine.recent import Recent, in_words
from backlit_server.engine.runtime import Runtime, Session
from backlit_server.engine.trial import batches
from backlit_server.graph import (
    NARROW,
    NEURONS,
    SEEDINGS,
    Cut,
    Recipe,
    Scores,
    Seeded,
    activation_of,
    annotate,
    as_neurons,
    canonical,
    class_maps,
    cut,
    examine,
    explained,
    linear_weights,
    method_graph,
    narrowed,
    pruned,
    scaled,
    shuffled,
    taken,
    transformer,
    with_outputs,
)
from backlit_server.methods import DEFAULT_METHOD, IMAGE, LAYER, METHODS, PENULTIMATE, TOKENS, Method
from backlit_server.methods.asking import Detections
from backlit_server.methods.profiles import DEFAULT_PROFILE, PROFILES

MOST_HEADS = 64  # methods at a layer, each with its parameters
MOST_SEEDED = 16  # gradients behind them, by table of rules and its parameters
MOST_SHUFFLED = 4  # models with shuffled weights, kept open likewise
MOST_SCORES = 8  # other tensors of a model that are explained and kept open; the one opened first goes first


@dataclass(frozen=True)
class Backbone:
    """The forward pass with the tensors that cross a cut among its outputs; no cut: just the scores.

    `by_anchor`: a detector of several scales has a cut for the anchors of each, besides the one for all.
    """

    session: Session
    cut: Cut | None
    by_anchor: tuple[tuple[range, Cut], ...] = ()


@dataclass(frozen=True)
class Head:
    """A method behind the head of a cut, ready to run; `digest` is that of backbone and head together."""

    session: Session
    digest: str


class OpenModel:
    """One model with the scores it explains: its anatomy and, by layer and method, its sessions.

    `folder` is where weights outside the file lie, `batch` what is already known of running images together, `scores`
    the tensor to explain ("": the default), or what is known of it.
    """

    def __init__(
        self,
        file: onnx.ModelProto,
        runtime: Runtime,
        folder: Path | None = None,
        batch: str = "",
        *,
        scores: str | Scores = "",
    ) -> None:
        self._open = partial(runtime.open, folder=folder)
        self._look = partial(OpenModel, runtime=runtime, folder=folder, batch=batch)
        self._explaining: Recent[tuple[str, str], OpenModel] = Recent(MOST_SCORES)
        self._shuffled: Recent[tuple[int, int], OpenModel] = Recent(MOST_SHUFFLED)
        self._batch = batch
        self._backbones: dict[str, Backbone] = {}
        self._together: dict[tuple[str, ...], tuple[Backbone, ...]] = {}
        self._seeded: Recent[tuple[str, str, str], Seeded] = Recent(MOST_SEEDED)
        self._heads: Recent[tuple[str, str | Method, str], Head] = Recent(MOST_HEADS)
        self._class_heads: Recent[tuple[str, Method, str], Head | None] = Recent(MOST_HEADS)
        graph = canonical(file)
        self.anatomy = examine(graph, scores)
        # What targets need beside the scores is computed by every forward pass anyway.
        self._graph = with_outputs(graph, self.anatomy.scores.beside)
        self.image = expected_image(self.anatomy)

    def explaining(self, scores: str, scale: str = "") -> "OpenModel":
        """The same model with another tensor as its scores ("": the default), and these on a scale ("": their own)."""
        own = not scores or scores == self.anatomy.scores.name
        if own and not scale:
            return self
        key = ("", scale) if own else (scores, "")
        if key not in self._explaining:
            graph, found = scaled(self._graph, self.anatomy.scores, scale) if own else (self._graph, scores)
            self._explaining[key] = self._look(graph, scores=found)
        found = self._explaining[key]
        return found if own else found.explaining("", scale)

    def shuffled(self, layers: int, seed: int) -> "OpenModel":
        """The same model with the weights of its last layers shuffled."""
        key = (layers, seed)
        if key not in self._shuffled:
            graph = shuffled(self._graph, self.anatomy.scores.name, layers, seed)
            self._shuffled[key] = self._look(graph, scores=self.anatomy.scores)
        return self._shuffled[key]

    def neurons(self, layer: str) -> "OpenModel":
        """The same model with the neurons of a layer, by tensor or node name, as its scores ("": the default layer)."""
        name = layer or self.anatomy.default_layer
        if not name:
            raise NotExplainable(f"this model has no layer to look at: {self.anatomy.default_layer_reason}")
        name = next((node.output[0] for node in self._graph.graph.node if node.name == name), name)
        if (name, NEURONS) not in self._explaining:
            about = as_neurons(self.explaining(name).anatomy.scores, self.anatomy.views.get(name))
            self._explaining[name, NEURONS] = self._look(self._graph, scores=about)
        return self._explaining[name, NEURONS]

    def backbone(self, method: str, layer: str) -> Backbone:
        """What a method needs of the forward pass, at a tensor or node by name ("": the default layer)."""
        row = METHODS[method]
        image = self._image(method) if row.needs_image else ""
        if row.at == IMAGE:
            layer = image if row.of == LAYER else self._at_image(method, layer, image)
        if row.at == TOKENS:
            layer = self._at_tokens(method, layer)
        if row.at == PENULTIMATE:
            layer = layer or self.anatomy.penultimate
        if Detections in row.asks and not self.anatomy.scores.task.boxes:
            raise NotExplainable(f"{method} follows boxes, and this model finds none: use rise")
        if "classes" in row.needs and not self._several_classes:
            raise NotExplainable(
                f"{method} compares classes, and an image has no scores of several: use {DEFAULT_METHOD}"
            )
        if not row.needs_layer:
            return self._whole
        if not (layer or self.anatomy.default_layer):
            raise NotExplainable(f"this model has no layer to look at: {self.anatomy.default_layer_reason}")
        if not layer and self.anatomy.levels:
            return self._of_levels
        return self.at(layer or self.anatomy.default_layer)

    @property
    def _several_classes(self) -> bool:
        shape = self.anatomy.scores.shape
        return len(shape) == 2 and shape[1] != 1

    def at(self, layer: str) -> Backbone:
        """The forward pass with what crosses the cut at a tensor or node, by name."""
        if layer not in self._backbones:
            made = cut(self._graph, layer, self.anatomy.scores.name, self.anatomy.batched)
            # Asked by the name of its node, a layer is the same tensor and shares its sessions.
            if made.layer not in self._backbones:
                self._backbones[made.layer] = self._before(made)
            self._backbones[layer] = self._backbones[made.layer]
        return self._backbones[layer]

    @functools.cached_property
    def blocks(self) -> list[Cut]:
        """The cuts at the last layer of each size."""
        layers = self.anatomy.last_of_scales
        if not layers:
            raise NotExplainable(f"this model has no layer to look at: {self.anatomy.default_layer_reason}")
        return [made for layer in layers if (made := self.at(layer).cut)]

    def _before(self, made: Cut) -> Backbone:
        """What makes the tensors that cross a cut: the plain forward pass, where they are the inputs themselves."""
        whole = {spec.name for spec in self.anatomy.inputs}.issuperset(made.crossing)
        return Backbone(self.plain if whole else self._open(made.backbone), made)

    def _image(self, method: str) -> str:
        """The input that is the image, for methods that look at it."""
        if self.image is None:
            raise NotExplainable(f"{method} looks at the image, and the model's input is not one image")
        return self.anatomy.inputs[0].name

    def _at_image(self, method: str, layer: str, image: str) -> str:
        if layer not in ("", image):
            raise BadQuestion(
                f"{method} looks at the image, not at a layer: leave out {layer!r}, or use {DEFAULT_METHOD}"
            )
        return image

    def _at_tokens(self, method: str, layer: str) -> str:
        """What the first attention reads."""
        if layer:
            raise BadQuestion(f"{method} looks at the attention of all blocks, not at a layer: leave out {layer!r}")
        return transformer(self._graph, self.anatomy.scores.name, self.anatomy.views).first

    def together(self, method: str, layers: tuple[str, ...]) -> tuple[Backbone, ...]:
        """What a method needs at several layers, by tensor or node name, of one forward pass."""
        row = METHODS[method]
        if row.at in (IMAGE, TOKENS) or not row.needs_layer:
            raise BadQuestion(
                f"{method} looks at no layer that can be chosen: leave out layers, or use {DEFAULT_METHOD}"
            )
        if layers not in self._together:
            cuts = [cut(self._graph, layer, self.anatomy.scores.name, self.anatomy.batched) for layer in layers]
            session = self._one_pass(cuts)
            self._together[layers] = tuple(Backbone(session, made) for made in cuts)
        return self._together[layers]

    def _one_pass(self, cuts: Sequence[Cut]) -> Session:
        """A forward pass with what crosses any of several cuts."""
        inputs = {spec.name for spec in self.anatomy.inputs}
        crossing = dict.fromkeys(name for made in cuts for name in made.crossing if name not in inputs)
        session = self._open(with_outputs(self._graph, [self.anatomy.scores.name, *crossing]))
        for made in cuts:
            self._backbones.setdefault(made.layer, Backbone(session, made))
        return session

    @functools.cached_property
    def _of_levels(self) -> Backbone:
        """The backbone of a detector of several scales: one forward pass, cut for all anchors and for those of each."""
        found, scores = self.anatomy, self.anatomy.scores.name
        layers = (found.default_layer, *found.last_layers)
        cuts = {layer: cut(self._graph, layer, scores, found.batched) for layer in layers}
        session = self._one_pass(list(cuts.values()))
        # Without rows that can be repeated, a head runs for the whole batch, whose images may be of different scales.
        if found.batch.dynamic and not all(made.rows_tile for made in cuts.values()):
            return Backbone(session, cuts[found.default_layer])
        by_anchor = tuple((level.anchors, cuts[level.layer.name]) for level in found.levels)
        return Backbone(session, cuts[found.default_layer], by_anchor)

    def head(self, cut: Cut, method: str, parameters: Mapping[str, Any], profile: str = DEFAULT_PROFILE) -> Head:
        """The method at this cut, as a profile computes it."""
        key = (cut.layer, PROFILES[profile].row(method), _key(parameters))
        if key not in self._heads:
            session = self._open(self.head_graph(cut, method, parameters, profile))
            graphs = self._backbones[cut.layer].session.digest + session.digest
            self._heads[key] = Head(session, hashlib.sha256(graphs.encode()).hexdigest())
        return self._heads[key]

    def class_head(self, cut: Cut, row: Method, parameters: Mapping[str, Any]) -> Head | None:
        """A formula for all classes of one image in one run; None where each class takes a seed."""
        key = (cut.layer, row, _key(parameters))
        if key not in self._class_heads:
            view, linear = self.anatomy.view_of(cut.layer), self._linear(cut.layer)
            graph = class_maps(cut, Recipe(row.bound(parameters), row.needs, row.outputs, view, linear))
            session = self._open(graph) if graph else None
            self._class_heads[key] = Head(session, session.digest) if session else None
        return self._class_heads[key]

    def head_graph(
        self, cut: Cut, method: str, parameters: Mapping[str, Any], profile: str = DEFAULT_PROFILE
    ) -> onnx.ModelProto:
        """The graph of a method at a cut; NotExplainable or NotDifferentiable where there can be none."""
        recipe = self.recipe(cut.layer, method, parameters, profile)
        return self._behind(cut, PROFILES[profile].row(method).rules, recipe, parameters)

    def gradients(self, cut: Cut, rules: str) -> Head:
        """d(seed . scores)/d(layer) as maps `grads`, by the rules of this name."""
        key = (cut.layer, "grads", rules)
        if key not in self._heads:
            session = self._open(self.gradient_graph(cut, rules))
            self._heads[key] = Head(session, session.digest)
        return self._heads[key]

    def gradient_graph(self, cut: Cut, rules: str) -> onnx.ModelProto:
        """The graph of the gradients at a cut; refusals as of head_graph."""
        recipe = Recipe(lambda grads: grads, ("grads",), ("grads",), self.anatomy.view_of(cut.layer))
        return self._behind(cut, rules, recipe, {})

    def plain_head(self, cut: Cut) -> Session:
        """From the tensors that cross a cut to the scores."""
        key = (cut.layer, "scores", "")
        if key not in self._heads:
            session = self._open(cut.head)
            self._heads[key] = Head(session, session.digest)
        return self._heads[key].session

    def _behind(self, cut: Cut, rules: str, recipe: Recipe, parameters: Mapping[str, Any]) -> onnx.ModelProto:
        """The graph of a recipe behind the seeded head of a cut."""
        scores, key = self.anatomy.scores.name, (cut.layer, rules, _key(taken(rules, parameters)))
        if key not in self._seeded:
            head = narrowed(cut.head, scores) if rules in NARROW else cut.head
            self._seeded[key] = self._with_seed(head, cut.layer, rules, parameters)
        return method_graph(self._seeded[key], cut, scores, recipe)

    def _with_seed(self, head: onnx.ModelProto, layer: str, rules: str, parameters: Mapping[str, Any]) -> Seeded:
        given = taken(rules, {**parameters, "views": self.anatomy.views})
        return SEEDINGS[rules](head, layer, self.anatomy.scores.name, **given)

    def recipe(self, layer: str, method: str, parameters: Mapping[str, Any], profile: str = DEFAULT_PROFILE) -> Recipe:
        """What the graph room needs to know of a method at a layer."""
        row = PROFILES[profile].row(method)
        linear = self._linear(layer) if "weights" in row.needs else None
        if "weights" in row.needs and linear is None:
            raise NotExplainable(
                f"{method} needs global average pooling and one linear layer behind {layer!r}; here "
                f"{self.anatomy.head.explanation}. Use {DEFAULT_METHOD}, which is the same map where both apply"
            )
        return Recipe(row.bound(parameters), row.needs, row.outputs, self.anatomy.view_of(layer), linear)

    @property
    def graph(self) -> onnx.ModelProto:
        """The whole model in the form that graph/ reads; not to be changed."""
        return self._graph

    def session(self, graph: onnx.ModelProto) -> Session:
        """A session of a graph that was made from this model."""
        return self._open(graph)

    @functools.cached_property
    def made_by(self) -> str:
        """The softmax or sigmoid whose result the scores are, "" where they are none's."""
        return activation_of(self._graph, self.anatomy.scores.name)

    @functools.cached_property
    def batching(self) -> tuple[bool, str]:
        """Whether several images go through in one run, found out by trying."""
        together, why = batches(self.anatomy, self.forward)
        return together, self._batch + why

    def forward(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """A plain forward pass: the model's outputs and the scores."""
        return self.plain.run(inputs)

    def explained(self, method: str, layer: str, parameters: Mapping[str, Any]) -> onnx.ModelProto:
        """The whole model as one file, with features, scores, seed and the heatmap of a method."""
        backbone = self.backbone(method, layer)
        if not (backbone.cut and METHODS[method].needs_seed):
            raise NotExplainable(f"{method} is no part of a file: its answer is a tensor of the model itself")
        at, scores = backbone.cut.layer, self.anatomy.scores.name
        row = METHODS[method]
        whole = self._with_seed(backbone.cut.backbone, at, row.rules, parameters)
        whole = explained(whole, scores, self.recipe(at, method, parameters))
        made = pruned(whole, {*(o.name for o in backbone.cut.backbone.graph.output), *row.outputs})
        return annotate(made, self._graph)

    def spatial(self, layer: str, features: np.ndarray) -> np.ndarray:
        """Features of a layer as maps: N, C, H, W."""
        return self.anatomy.view_of(layer).maps(features)

    def values(self, layer: str, features: np.ndarray, images: int) -> np.ndarray:
        """As spatial(); of a dense layer, which has one vector an image, each number is a map of one place."""
        vectors = features.ndim > 1 and len(features) == images and math.prod(features.shape[2:]) == 1
        if vectors and layer not in self.anatomy.views:
            return features.reshape(*features.shape[:2], 1, 1)
        return self.spatial(layer, features)

    def _linear(self, layer: str) -> np.ndarray | None:
        """The weights behind global pooling; those of the default layer were found with the anatomy."""
        if layer == self.anatomy.default_layer:
            return self.anatomy.head.linear
        scores = self.anatomy.scores.name
        made = cut(self._graph, layer, scores, self.anatomy.batched)
        return linear_weights(made, self.anatomy.view_of(layer), scores)

    @functools.cached_property
    def plain(self) -> Session:
        """The forward pass alone."""
        return self._open(with_outputs(self._graph, [self.anatomy.scores.name]))

    @property
    def _whole(self) -> Backbone:
        return Backbone(self.plain, None)


def _key(parameters: Mapping[str, Any]) -> str:
    return repr(sorted((name, in_words(value)) for name, value in parameters.items()))
