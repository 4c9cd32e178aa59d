"""The heads of an open model: methods behind a cut, gradients at it, and the plain way on to the scores."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx

from backlit_proto.errors import NotExplainable
from backlit_server.engine.backbones import Backbones
from backlit_server.engine.recent import Recent, in_words
from backlit_server.engine.rewritten import Rewritten
from backlit_server.engine.runtime import Session
from backlit_server.graph import (
    NARROW,
    SEEDINGS,
    Cut,
    Recipe,
    Seeded,
    both_ways,
    class_maps,
    common,
    cut,
    linear_weights,
    method_graph,
    narrowed,
    taken,
    together,
    with_outputs,
)
from backlit_server.methods import DEFAULT_METHOD
from backlit_server.methods.method import Method
from backlit_server.methods.profiles import DEFAULT_PROFILE, PROFILES
from backlit_server.story import HEAD

MOST_HEADS = 64  # methods at a layer, each with its parameters
MOST_SEEDED = 16  # gradients behind them, by table of rules and its parameters


@dataclass(frozen=True)
class Head:
    """A method behind the head of a cut, ready to run; `digest` is that of backbone and head together."""

    session: Session
    digest: str


class Heads:
    """The heads of a model, opened on first use; those opened first go first."""

    def __init__(self, model: Rewritten, backbones: Backbones) -> None:
        self._model = model
        self._graph, self._anatomy = model.graph, model.anatomy
        self._backbones = backbones
        self._seeded: Recent[tuple[str, str, str], Seeded] = Recent(MOST_SEEDED)
        self._heads: Recent[tuple[str, str | Method | tuple[Method, ...], str], Head] = Recent(MOST_HEADS)
        self._class_heads: Recent[tuple[str, Method, str], Head | None] = Recent(MOST_HEADS)

    @property
    def scores(self) -> str:
        """The tensor that heads lead to."""
        return self._anatomy.scores.name

    def of(self, cut: Cut, method: str, parameters: Mapping[str, Any], profile: str = DEFAULT_PROFILE) -> Head:
        """The method at this cut, as a profile computes it."""
        key = (cut.layer, PROFILES[profile].row(method), _key(parameters))
        if key not in self._heads:
            self._heads[key] = self._opened(cut, self.graph(cut, method, parameters, profile))
        return self._heads[key]

    def together(self, cut: Cut, methods: Sequence[tuple[str, Mapping[str, Any]]], profile: str) -> Head:
        """Several methods of common rules at this cut in one run; their outputs are named `<index>/<name>`."""
        rows = tuple(PROFILES[profile].row(method) for method, _ in methods)
        key = (cut.layer, rows, " ".join(_key(parameters) for _, parameters in methods))
        if key not in self._heads:
            recipes = [self.recipe(cut.layer, method, parameters, profile) for method, parameters in methods]
            rules = common(row.rules for row in rows)
            self._heads[key] = self._opened(cut, self._behind(cut, rules, together(recipes), {}))
        return self._heads[key]

    def both_ways(self, cut: Cut, method: str, parameters: Mapping[str, Any], profile: str) -> Head:
        """At a cut at the image, a forward pass that goes on to the map of one class, or to `grads` that make it up."""
        row = PROFILES[profile].row(method)
        of = row.rules if row.of_gradient else row
        key = (f"{cut.layer} and back", of, "" if row.of_gradient else _key(parameters))
        if key not in self._heads:
            recipe = self._raw(cut) if row.of_gradient else self.recipe(cut.layer, method, parameters, profile)
            head = self.seeded_at(cut, row.rules, parameters)
            made = both_ways(with_outputs(self._graph, [self.scores]), head, self.scores, recipe)
            session = self._model.open(made)
            self._heads[key] = Head(session, session.digest)
        return self._heads[key]

    def _opened(self, cut: Cut, graph: onnx.ModelProto) -> Head:
        session = self._open(graph)
        graphs = self._backbones.at(cut.layer).session.digest + session.digest
        return Head(session, hashlib.sha256(graphs.encode()).hexdigest())

    def for_classes(self, cut: Cut, row: Method, parameters: Mapping[str, Any]) -> Head | None:
        """A formula for all classes of one image in one run; None where each class takes a seed."""
        key = (cut.layer, row, _key(parameters))
        if key not in self._class_heads:
            view, linear = self._anatomy.view_of(cut.layer), self._linear(cut.layer)
            graph = class_maps(cut, Recipe(row.bound(parameters), row.needs, row.outputs, view, linear))
            session = self._open(graph) if graph else None
            self._class_heads[key] = Head(session, session.digest) if session else None
        return self._class_heads[key]

    def graph(
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
        """The graph of the gradients at a cut, whatever features they are asked of; refusals as of graph()."""
        return self._behind(replace(cut, vectors=()), rules, self._raw(cut), {})

    def _raw(self, cut: Cut) -> Recipe:
        """The gradients themselves, as maps."""
        return Recipe(lambda grads: grads, ("grads",), ("grads",), self._anatomy.view_of(cut.layer))

    def plain(self, cut: Cut) -> Session:
        """From the tensors that cross a cut to the scores."""
        key = (cut.layer, "scores", "")
        if key not in self._heads:
            session = self._open(cut.head)
            self._heads[key] = Head(session, session.digest)
        return self._heads[key].session

    def _open(self, graph: onnx.ModelProto) -> Session:
        session = self._model.open(graph)
        session.stage = HEAD
        return session

    def _behind(self, cut: Cut, rules: str, recipe: Recipe, parameters: Mapping[str, Any]) -> onnx.ModelProto:
        """The graph of a recipe behind the seeded head of a cut."""
        return method_graph(self.seeded_at(cut, rules, parameters), cut, self._anatomy.scores.name, recipe)

    def seeded_at(self, cut: Cut, rules: str, parameters: Mapping[str, Any]) -> Seeded:
        """The head of a cut with what leads from a seed to what formulas take; NotDifferentiable where nothing does."""
        scores, key = self._anatomy.scores.name, (cut.layer, rules, _key(taken(rules, parameters)))
        if key not in self._seeded:
            head = narrowed(cut.head, scores) if rules in NARROW else cut.head
            made = self.seeded(head, cut.layer, rules, parameters)
            self._seeded[key] = replace(made, model=self._model.light(made.model))
        return self._seeded[key]

    def seeded(self, head: onnx.ModelProto, layer: str, rules: str, parameters: Mapping[str, Any]) -> Seeded:
        given = taken(rules, {**parameters, "views": self._anatomy.views})
        return SEEDINGS[rules](head, layer, self._anatomy.scores.name, **given)

    def recipe(self, layer: str, method: str, parameters: Mapping[str, Any], profile: str = DEFAULT_PROFILE) -> Recipe:
        """What the graph room needs to know of a method at a layer."""
        row = PROFILES[profile].row(method)
        linear = self._linear(layer) if "weights" in row.needs else None
        if "weights" in row.needs and linear is None:
            raise NotExplainable(
                f"{method} needs global average pooling and one linear layer behind {layer!r}; here "
                f"{self._anatomy.head.explanation}. Use {DEFAULT_METHOD}, which is the same map where both apply"
            )
        return Recipe(row.bound(parameters), row.needs, row.outputs, self._anatomy.view_of(layer), linear)

    def _linear(self, layer: str) -> np.ndarray | None:
        """The weights behind global pooling; those of the default layer were found with the anatomy."""
        if layer == self._anatomy.default_layer:
            return self._anatomy.head.linear
        scores = self._anatomy.scores.name
        made = cut(self._graph, layer, scores, self._anatomy.batched)
        return linear_weights(made, self._anatomy.view_of(layer), scores)


def _key(parameters: Mapping[str, Any]) -> str:
    return repr(sorted((name, in_words(value)) for name, value in parameters.items())) if parameters else ""
