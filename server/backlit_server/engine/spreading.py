"""A forward pass of several images, spread over the threads: each takes as many images as the others, for itself."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from backlit_server.engine.inputs import alone
from backlit_server.engine.models import OpenModel
from backlit_server.engine.runtime import Session

Tensors = Mapping[str, np.ndarray]
Runs = Sequence[tuple[int, Tensors]]
"""How many images each run took, and what it made of them, one behind the other."""


def spread(model: OpenModel, session: Session, feeds: Tensors, images: int, here: Collection[str]) -> Runs:
    """A forward pass of images that may share a run. Those left over, which are too few, share the threads of one."""
    each, left = divmod(images, session.lanes)
    if not each or session.lanes == 1 or not model.joins(session):
        return [(images, session.forward(feeds, here))]
    inputs, spread_out = model.anatomy.inputs, images - left
    shares = [alone(feeds, inputs, first, each) for first in range(0, spread_out, each)]
    runs = [(each, made) for made in session.side_by_side(shares)]
    if left:
        runs.append((left, session.forward(alone(feeds, inputs, spread_out, left), here)))
    return runs


def rows(runs: Runs, images: slice) -> dict[str, np.ndarray]:
    """What was made of some of the images."""
    found, first = [], 0
    for count, made in runs:
        some = slice(max(images.start - first, 0), min(images.stop - first, count))
        if some == slice(0, count):
            found.append(made)
        elif some.start < some.stop:
            found.append({name: part_of(array, some, count) for name, array in made.items()})
        first += count
    return dict(found[0]) if len(found) == 1 else {name: np.concatenate([f[name] for f in found]) for name in found[0]}


def part_of(array: np.ndarray, part: slice, images: int) -> np.ndarray:
    """The rows of a tensor that belong to some of its images."""
    each = len(array) // images
    return array[part.start * each : part.stop * each]
