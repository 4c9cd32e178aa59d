"""Several layers, or several versions of an image, looked at and made one map a row."""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from backlit_proto.errors import BadQuestion, NotExplainable
from backlit_server.engine.answers import Looked, Passes
from backlit_server.engine.backbones import Backbone
from backlit_server.engine.models import OpenModel
from backlit_server.engine.verdicts import OK
from backlit_server.engine.versions import AVERAGED, Version
from backlit_server.graph.reading.tasks import DETECTION, SEGMENTATION
from backlit_server.methods.fusing import fused

Tensors = dict[str, np.ndarray]
Look = Callable[[Backbone, Tensors, float], Iterator[Looked | None]]
"""Maps of the rows asked for, at a backbone's layer, of an image whose tensors are given, until a time."""


@dataclass(frozen=True)
class Combination:
    """Where one map a row comes from: a layer or more, in a forward pass of each version of the image."""

    backbones: Sequence[Backbone]
    versions: Sequence[Version]
    fusion: str

    @property
    def trivial(self) -> bool:
        return len(self.backbones) == len(self.versions) == 1


def combined(model: OpenModel, parts: Combination, made: Tensors, look: Look, until: float) -> Iterator[Looked | None]:
    """One map a row: of each layer the mean over the versions, of several layers what their fusion makes of them.

    On the way, of a method that tells what it knows, the same of the layers and versions that were looked at so far.
    None between passes, so that others can have their turn. All backbones share a session; `made` are the tensors of
    the image as it is, which is the first version.
    """
    _check(model, parts)
    found: list[list[Looked]] = [[] for _ in parts.backbones]
    left = every = len(parts.versions) * len(parts.backbones)
    for version in parts.versions:
        tensors = made if version == Version() else _again(model, parts.backbones[0], version, made)
        for layer, backbone in enumerate(parts.backbones):
            now = time.monotonic()
            for looked in _whole(look(backbone, tensors, now + (until - now) / left)):
                back = looked and replace(looked, heatmaps=version.back(looked.heatmaps))
                if back is None or back.progress < 1:
                    yield back and _so_far(found, layer, back, parts.fusion, every)
                else:
                    found[layer].append(back)
            left -= 1
    yield _one(found, parts.fusion)


def _check(model: OpenModel, parts: Combination) -> None:
    about = model.anatomy.scores
    if len(parts.versions) > 1 and (model.image is None or about.task.kind in (DETECTION, SEGMENTATION)):
        raise NotExplainable(
            "augmentation smoothing flips the image, which needs an input that is one image, and scores that belong to "
            f"no place of it; the scores {about.name!r} are those of a {about.task.kind}"
        )


def _again(model: OpenModel, backbone: Backbone, version: Version, made: Tensors) -> Tensors:
    """The tensors of another version of the image."""
    inputs = model.anatomy.inputs
    image = inputs[0].name
    feeds = {spec.name: made[spec.name] for spec in inputs}
    feeds[image] = version.of(made[image], model.anatomy.view_of(image).roles.index("W"))
    return feeds | backbone.session.run(feeds)


def _whole(looks: Iterator[Looked | None]) -> Iterator[Looked | None]:
    """What is known on the way, and in the end all that is found in several runs as one."""
    finals = []
    for looked in looks:
        if looked is None or looked.progress < 1:
            yield looked
        else:
            finals.append(looked)
    first = finals[0]
    rows = [row for one in finals for row in one.rows]
    heatmaps, guarded = (np.concatenate(a) for a in zip(*((one.heatmaps, one.guarded) for one in finals), strict=True))
    why = [cause for one in finals for cause in one.causes]
    yield replace(first, rows=rows, heatmaps=heatmaps, guarded=guarded, causes=why, facts={})


def _so_far(found: Sequence[Sequence[Looked]], layer: int, looked: Looked, fusion: str, every: int) -> Looked | None:
    """What is known while a layer is looked at, of `every` looks in all; None where it is about some rows alone."""
    whole = [one for layers in found for one in layers]
    if whole and len(whole[0].rows) != len(looked.rows):
        return None
    known = [[*ones, looked] if k == layer else ones for k, ones in enumerate(found)]
    progress = (len(whole) + looked.progress) / every
    return replace(_one([ones for ones in known if ones], fusion), progress=progress, causes=())


def _one(found: Sequence[Sequence[Looked]], fusion: str) -> Looked:
    """One of several, layers outer, versions inner. What each of them found out beside its map is left out."""
    every = [one for versions in found for one in versions]
    means = [np.mean([one.heatmaps for one in versions], 0) for versions in found]
    steps: tuple[str, ...] = (AVERAGED,) if len(found[0]) > 1 else ()
    heatmaps, largest = means[0], 0
    if len(means) > 1:
        if heatmaps.ndim != 3:
            raise BadQuestion(
                "maps of single channels cannot be made one over several layers: ask for a layer at a time"
            )
        heatmaps, fusing = fused(means, fusion)
        steps, largest = (*steps, *fusing), int(np.argmax([maps[0].size for maps in means]))
    runs_shared = Passes(forward=len(found[0]) - len(every))  # the first layer is looked at in each version
    why = [one.causes for one in every if one.progress == 1]
    return replace(
        every[0],
        heatmaps=heatmaps,
        guarded=np.sum([one.guarded for one in every], 0),
        layer=found[largest][0].layer,
        graph_digest=hashlib.sha256("".join(one.graph_digest for one in every).encode()).hexdigest(),
        passes=sum((one.passes for one in every), runs_shared),
        short=any(one.short for one in every),
        causes=[same[0] if len(set(same)) == 1 else OK for same in zip(*why, strict=True)],
        layers=tuple(versions[0].layer for versions in found) if len(means) > 1 else (),
        steps=steps,
    )
