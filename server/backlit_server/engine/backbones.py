"""The forward passes of an open model: with what crosses the cut at each layer that was asked for."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from backlit_proto.errors import BadQuestion, NotExplainable, NotForThisModel
from backlit_server.engine.inputs import expected_image
from backlit_server.engine.recent import Recent
from backlit_server.engine.rewritten import Rewritten
from backlit_server.engine.runtime import Session
from backlit_server.graph import Cut, cut, transformer, with_outputs
from backlit_server.methods import DEFAULT_METHOD, METHODS
from backlit_server.methods.asking import Detections
from backlit_server.methods.method import IMAGE, LAYER, PENULTIMATE, TOKENS

MOST_LAYERS = 128  # names of layers whose graphs are kept
MOST_TOGETHER = 16  # sets of layers likewise


@dataclass(frozen=True, eq=False)
class Backbone:
    """The forward pass with the tensors that cross a cut among its outputs; no cut: just the scores.

    `by_anchor`: a detector of several scales has a cut for the anchors of each, besides the one for all.
    """

    open: Callable[[], Session]
    cut: Cut | None
    by_anchor: tuple[tuple[range, Cut], ...] = ()

    @functools.cached_property
    def session(self) -> Session:
        """Opened on first use: what only asks where a cut lies need not wait for it."""
        return self.open()


class Backbones:
    """The backbones of a model, opened on first use."""

    def __init__(self, model: Rewritten) -> None:
        self._model = model
        self._graph, self._anatomy = model.graph, model.anatomy
        self._open: Recent[str, Backbone] = Recent(MOST_LAYERS)
        self._together: Recent[tuple[str, ...], tuple[Backbone, ...]] = Recent(MOST_TOGETHER)

    def of(self, method: str, layer: str) -> Backbone:
        """What a method needs of the forward pass, at a tensor or node by name ("": the default layer)."""
        row = METHODS[method]
        image = self._image(method) if row.needs_image else ""
        if row.at == IMAGE:
            layer = image if row.of == LAYER else self._at_image(method, layer, image)
        if row.at == TOKENS:
            layer = self._at_tokens(method, layer)
        if row.at == PENULTIMATE:
            layer = layer or self._anatomy.penultimate
        if Detections in row.asks and not self._anatomy.scores.task.boxes:
            raise NotForThisModel(f"{method} follows boxes, and this model finds none: use rise")
        if "classes" in row.needs and not self._several_classes:
            raise NotForThisModel(
                f"{method} compares classes, and an image has no scores of several: use {DEFAULT_METHOD}"
            )
        if not row.needs_layer:
            return self._whole
        if not (layer or self._anatomy.default_layer):
            raise NotExplainable(f"this model has no layer to look at: {self._anatomy.default_layer_reason}")
        if not layer and self._anatomy.levels:
            return self._of_levels
        return self.at(layer or self._anatomy.default_layer)

    @property
    def _several_classes(self) -> bool:
        shape = self._anatomy.scores.shape
        return len(shape) == 2 and shape[1] != 1

    def at(self, layer: str) -> Backbone:
        """The forward pass with what crosses the cut at a tensor or node, by name."""
        if layer not in self._open:
            made = cut(self._graph, layer, self._anatomy.scores.name, self._anatomy.batched)
            # Asked by the name of its node, a layer is the same tensor and shares its sessions.
            if made.layer not in self._open:
                self._open[made.layer] = self._before(made)
            self._open[layer] = self._open[made.layer]
        return self._open[layer]

    @functools.cached_property
    def blocks(self) -> list[Cut]:
        """The cuts at the last layer of each size."""
        layers = self._anatomy.last_of_scales
        if not layers:
            raise NotExplainable(f"this model has no layer to look at: {self._anatomy.default_layer_reason}")
        return [made for layer in layers if (made := self.at(layer).cut)]

    def _before(self, made: Cut) -> Backbone:
        """What makes the tensors that cross a cut: the plain forward pass, where they are the inputs themselves."""
        whole = {spec.name for spec in self._anatomy.inputs}.issuperset(made.crossing)
        return Backbone(self._plain if whole else functools.partial(self._model.forward, made.backbone), made)

    def _image(self, method: str) -> str:
        """The input that is the image, for methods that look at it."""
        if expected_image(self._anatomy) is None:
            raise NotExplainable(f"{method} looks at the image, and the model's input is not one image")
        return self._anatomy.image

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
        return transformer(self._graph, self._anatomy.scores.name, self._anatomy.views).first

    def together(self, method: str, layers: tuple[str, ...]) -> tuple[Backbone, ...]:
        """What a method needs at several layers, by tensor or node name, of one forward pass."""
        row = METHODS[method]
        if row.at in (IMAGE, TOKENS) or not row.needs_layer:
            raise BadQuestion(
                f"{method} looks at no layer that can be chosen: leave out layers, or use {DEFAULT_METHOD}"
            )
        if layers not in self._together:
            cuts = [cut(self._graph, layer, self._anatomy.scores.name, self._anatomy.batched) for layer in layers]
            opened = self._one_pass(cuts)
            self._together[layers] = tuple(Backbone(opened, made) for made in cuts)
        return self._together[layers]

    def _one_pass(self, cuts: Sequence[Cut]) -> Callable[[], Session]:
        """What opens a forward pass with what crosses any of several cuts: one session for all of them."""
        inputs = {spec.name for spec in self._anatomy.inputs}
        crossing = dict.fromkeys(name for made in cuts for name in made.given if name not in inputs)
        graph = with_outputs(self._graph, [self._anatomy.scores.name, *crossing])
        opened = functools.cache(lambda: self._model.forward(graph))
        for made in cuts:
            if made.layer not in self._open:
                self._open[made.layer] = Backbone(opened, made)
        return opened

    @functools.cached_property
    def _of_levels(self) -> Backbone:
        """The backbone of a detector of several scales: one forward pass, cut for all anchors and for those of each."""
        found, scores = self._anatomy, self._anatomy.scores.name
        layers = (found.default_layer, *found.last_layers)
        cuts = {layer: cut(self._graph, layer, scores, found.batched) for layer in layers}
        opened = self._one_pass(list(cuts.values()))
        # Without rows that can be repeated, a head runs for the whole batch, whose images may be of different scales.
        if found.batch.dynamic and not all(made.rows_tile for made in cuts.values()):
            return Backbone(opened, cuts[found.default_layer])
        by_anchor = tuple((level.anchors, cuts[level.layer.name]) for level in found.levels)
        return Backbone(opened, cuts[found.default_layer], by_anchor)

    @property
    def _whole(self) -> Backbone:
        return Backbone(self._plain, None)

    def _plain(self) -> Session:
        return self._model.plain
