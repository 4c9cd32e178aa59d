"""Rows through the head of a cut: as many at once as fit, or one target at a time."""

from collections.abc import Iterator, Sequence

import numpy as np

from backlit_server.engine.answers import Looked, Passes
from backlit_server.engine.causes import Ran, causes
from backlit_server.engine.heads import Head
from backlit_server.engine.models import OpenModel
from backlit_server.engine.questions import Wording
from backlit_server.engine.runtime import Session
from backlit_server.engine.targets import Row, narrow_seeds, seeds
from backlit_server.graph import Cut, apart
from backlit_server.graph.method import SEED
from backlit_server.graph.narrow import CLASSES
from backlit_server.graph.tiling import TARGETS, WHOLE
from backlit_server.methods.method import IMAGE, LAYER, TOKENS

Tensors = dict[str, np.ndarray]
HEAD_BYTES = 32 << 20  # of repeated features in one run of a head: more targets go in several runs


def through_head(
    wordings: Sequence[Wording], model: OpenModel, cut: Cut, made: Tensors, asked: list[Row]
) -> Iterator[list[Looked]]:
    """What each of these methods, which can share a head, finds in a run: as many rows at once as fit.

    Where rows cannot be repeated, it is one target at a time.
    """
    head = _head(model, cut, wordings)
    crossing = {name: made[name] for name in cut.given}
    scores = made[model.anatomy.scores.name]
    targets = len(asked) // len({row.image for row in asked})
    ran = Ran(model, cut, made, asked[0].image)
    for chosen, found in (_tiled if cut.rows_tile else _one_by_one)(head.session, crossing, asked, scores):
        each = zip(wordings, apart(found, len(wordings)), strict=True)
        passes = [PASSES[one.row.at](targets, one.row.forwards) for one in wordings]
        yield [looked(one, ran, head, chosen, tensors, cost) for (one, tensors), cost in zip(each, passes, strict=True)]


def _head(model: OpenModel, cut: Cut, wordings: Sequence[Wording]) -> Head:
    first = wordings[0]
    if first.row.of_gradient:
        return model.heads.gradients(cut, first.row.rules)
    if len(wordings) == 1:
        return model.heads.of(cut, first.method, first.parameters, first.profile)
    return model.heads.together(cut, [(one.method, one.parameters) for one in wordings], first.profile)


def looked(wording: Wording, ran: Ran, head: Head, chosen: list[Row], found: Tensors, passes: Passes) -> Looked:
    """What a run of a method's graph found: its outputs by name, a map for each of these rows among them."""
    row = wording.row
    found = _formed(wording, ran, chosen, found["grads"]) if row.of_gradient else found
    heatmaps, guarded = found.pop("heatmap"), found.pop("guarded", np.zeros(len(chosen)))
    why = causes(ran, row, chosen, heatmaps)
    assert ran.cut is not None
    return Looked(chosen, heatmaps, guarded, ran.cut.layer, head.digest, passes, facts=found, causes=why)


def _formed(wording: Wording, ran: Ran, chosen: list[Row], grads: np.ndarray) -> Tensors:
    """A formula of the image and its gradients, on arrays: one graph makes these for whatever is told of them."""
    row, given = wording.row, {"grads": grads}
    assert ran.cut is not None
    if "features" in row.needs:
        images = ran.model.spatial(ran.cut.layer, ran.made[ran.cut.layer])
        given["features"] = images[[one.image - ran.first for one in chosen]]
    return {"heatmap": row.bound(wording.parameters)(**{name: given[name] for name in row.needs})}


PASSES = {
    LAYER: lambda targets, forwards: Passes(forward=1, head=targets * forwards),
    TOKENS: lambda targets, forwards: Passes(forward=1, head=targets * forwards),
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
