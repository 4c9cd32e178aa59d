"""One image that a method of many passes is asked about: ANSWERS has one row a kind of ask."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from backlit_proto.errors import BadQuestion
from backlit_server.engine.answers import Passes
from backlit_server.engine.findings import findings
from backlit_server.engine.models import OpenModel
from backlit_server.engine.runtime import Session
from backlit_server.engine.spreading import part_of, rows, spread
from backlit_server.engine.superpixels import superpixels
from backlit_server.engine.targets import Row
from backlit_server.graph import Cut
from backlit_server.graph.method import SEED
from backlit_server.graph.narrow import CLASSES
from backlit_server.graph.tiling import TARGETS, WHOLE
from backlit_server.methods.asking import (
    Ask,
    Blocks,
    Detections,
    Features,
    Gradients,
    HeadGradients,
    HeadScores,
    LayerGradients,
    Scores,
    Superpixels,
    batches,
)

Array = np.ndarray


@dataclass
class Sitting:
    """An image with all that is asked of it. `made` holds its own tensors, the model's inputs among them.

    `cut` is where the layer is, None for methods that need none. `batch`: how many images go into one run. `passes`
    and the digests of the graphs that ran grow with every answer.
    """

    model: OpenModel
    cut: Cut | None
    made: Mapping[str, Array]
    asked: Sequence[Row]
    batch: int
    passes: Passes = field(default_factory=lambda: Passes(forward=1))
    digests: dict[str, None] = field(default_factory=dict)

    def answer(self, ask: Ask) -> Any:
        return ANSWERS[type(ask)](self, ask)

    @property
    def image(self) -> str:
        """The input that is the image."""
        return self.model.anatomy.image

    @property
    def scores(self) -> str:
        return self.model.anatomy.scores.name

    @property
    def layer(self) -> str:
        assert self.cut is not None
        return self.cut.layer

    def maps(self, name: str) -> Array:
        """A tensor of the image as (1, channels, height, width), of whole numbers and halves as float32."""
        found = self.model.anatomy.view_of(name).maps(self.made[name])
        return found if found.dtype == np.float64 else found.astype(np.float32, copy=False)

    def native(self, name: str, maps: Array) -> Array:
        """Maps (n, channels, height, width) as the tensor has them; what it holds at no place stays the image's own."""
        own, view = self.made[name], self.model.anatomy.view_of(name)
        if own.dtype.kind in "ui":
            limits = np.iinfo(own.dtype)
            maps = np.rint(maps).clip(limits.min, limits.max)
        maps = maps.astype(own.dtype, copy=False)
        if sorted(view.roles) == sorted("NCHW"):
            return np.ascontiguousarray(maps.transpose(["NCHW".index(role) for role in view.roles]))
        places = view.maps(np.arange(own.size).reshape(own.shape)).ravel()
        rows = np.repeat(own.reshape(1, -1), len(maps), 0)
        rows[:, places] = maps.reshape(len(maps), -1)
        return rows.reshape(-1, *own.shape[1:])

    def given(self, name: str, array: Array) -> Array:
        """A parameter of this name that is an array, as images (n, channels, height, width)."""
        shape = self.made[self.image].shape[1:]
        if array.shape not in (shape, (len(array), *shape)):
            raise BadQuestion(
                f"{name} has the shape of the input {self.image!r}, {shape}; this array has the shape {array.shape}"
            )
        return self.model.anatomy.view_of(self.image).maps(array.reshape(-1, *shape))

    def repeated(self, name: str, count: int) -> Array:
        """The image's own tensor, so many times."""
        own = self.made[name]
        return np.repeat(own[None], count, 0).reshape(-1, *own.shape[1:])

    def crossing(self, cut: Cut, maps: Array) -> dict[str, Array]:
        """What crosses a cut, with maps (n, channels, height, width) for the layer; the rest is the image's own."""
        others = {name: self.repeated(name, len(maps)) for name in cut.crossing if name != cut.layer}
        return others | {cut.layer: self.native(cut.layer, maps)}

    def forward(self, session: Session, images: Array, names: Sequence[str]) -> dict[str, Array]:
        """Tensors of the forward pass of images (n, channels, height, width)."""
        self.passes += Passes(forward=len(images))
        self.digests[session.digest] = None
        runs = [self._forward(session, images[part]) for part in batches(len(images), self.batch)]
        return {name: np.concatenate([run[name] for run in runs]) for name in names}

    def _forward(self, session: Session, images: Array) -> dict[str, Array]:
        inputs = self.model.anatomy.inputs
        feeds = {i.name: self.repeated(i.name, len(images)) if i.batched else self.made[i.name] for i in inputs[1:]}
        feeds |= {self.image: self.native(self.image, images)}
        runs = spread(self.model, session, feeds, len(images), session.outputs)
        return rows(runs, slice(0, len(images)))

    def backward(self, cut: Cut, crossing: Mapping[str, Array], seeds: Array, rules: str = "") -> Array:
        """d(seed . scores)/d(layer) as maps, of images whose tensors cross a cut; seeds are images outer."""
        head = self.model.heads.gradients(cut, rules)
        self.digests[head.digest] = None
        images = len(crossing[cut.layer]) // len(self.made[cut.layer])
        targets = len(seeds) // images
        seeds = seeds.astype(self.made[self.scores].dtype)
        found = []
        for part in batches(images, max(1, self.batch // targets) if cut.rows_tile else 1):
            some = {name: part_of(array, part, images) for name, array in crossing.items()}
            rows = seeds[part.start * targets : part.stop * targets]
            found += _tiled(head.session, some, rows, targets) if cut.rows_tile else _apart(head.session, some, rows)
        return np.concatenate(found)


def _tiled(session: Session, crossing: Mapping[str, Array], seeds: Array, targets: int) -> list[Array]:
    feeds = {WHOLE + name: array for name, array in crossing.items()} | {TARGETS: np.array([targets])}
    return [_gradients_of(session, feeds, seeds)]


def _apart(session: Session, crossing: Mapping[str, Array], seeds: Array) -> list[Array]:
    """One run a seed, where the rows of one image cannot be repeated."""
    return [_gradients_of(session, crossing, seed[None]) for seed in seeds]


def _gradients_of(session: Session, feeds: Mapping[str, Array], seeds: Array) -> Array:
    given = {**feeds, SEED: seeds}
    if CLASSES in session.inputs:
        classes = np.flatnonzero(seeds.any(0)) if seeds.any() else np.array([0])
        given |= {CLASSES: classes, SEED: np.ascontiguousarray(seeds[:, classes])}
    return session.run({name: given[name] for name in session.inputs})["grads"]


def _scores(at: Sitting, ask: Scores) -> Array:
    return at.forward(at.model.plain, ask.images, [at.scores])[at.scores]


def _features(at: Sitting, ask: Features) -> Array:
    found = at.forward(at.model.backbones.at(at.layer).session, ask.images, [at.layer])
    return at.model.spatial(at.layer, found[at.layer])


def _gradients(at: Sitting, ask: Gradients) -> Array:
    at.passes += Passes(forward=len(ask.seeds), backward=len(ask.seeds))
    cut = at.model.backbones.at(at.image).cut
    assert cut is not None
    return at.backward(cut, at.crossing(cut, ask.images), ask.seeds, ask.rules)


def _layer_gradients(at: Sitting, ask: LayerGradients) -> Array:
    assert at.cut is not None
    at.passes += Passes(head=len(ask.seeds))
    crossing = at.forward(at.model.backbones.at(at.layer).session, ask.images, at.cut.crossing)
    return at.backward(at.cut, crossing, ask.seeds)


def _head_scores(at: Sitting, ask: HeadScores) -> Array:
    assert at.cut is not None
    at.passes += Passes(head=len(ask.features))
    session = at.model.heads.plain(at.cut)
    at.digests[session.digest] = None
    parts = batches(len(ask.features), at.batch if at.cut.rows_tile else 1)
    return np.concatenate([session.run(at.crossing(at.cut, ask.features[part]))[at.scores] for part in parts])


def _head_gradients(at: Sitting, ask: HeadGradients) -> Array:
    assert at.cut is not None
    at.passes += Passes(head=len(ask.seeds))
    return at.backward(at.cut, at.crossing(at.cut, ask.features), ask.seeds)


def _blocks(at: Sitting, ask: Blocks) -> list[tuple[Array, Array]]:
    """One pass forward and back a block, which is little beside what is done with them."""
    return [_block(at, cut, ask.seeds) for cut in at.model.backbones.blocks]


def _block(at: Sitting, cut: Cut, seeds: Array) -> tuple[Array, Array]:
    made = at.forward(at.model.backbones.at(cut.layer).session, at.maps(at.image), cut.crossing)
    there = replace(at, cut=cut, made={**at.made, **made}, passes=Passes())
    at.passes += Passes(head=len(seeds))
    return there.maps(cut.layer), there.backward(cut, made, seeds)


def _detections(at: Sitting, ask: Detections) -> tuple[Array, Array]:
    about = at.model.anatomy.scores
    made = at.forward(at.model.plain, ask.images, [about.name, about.task.boxes])
    return findings(about, made, at.made, at.asked[0], ask.images.shape[2:])


def _superpixels(at: Sitting, ask: Superpixels) -> Array:
    return superpixels(ask.image, ask.count, ask.compactness)


ANSWERS: dict[type, Callable[[Sitting, Any], Any]] = {
    Scores: _scores,
    Features: _features,
    Gradients: _gradients,
    LayerGradients: _layer_gradients,
    HeadScores: _head_scores,
    HeadGradients: _head_gradients,
    Blocks: _blocks,
    Detections: _detections,
    Superpixels: _superpixels,
}
