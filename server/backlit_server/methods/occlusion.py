"""Perturbation place by place: what the model says of an image of which one patch is hidden."""

from typing import Annotated

import numpy as np

from backlit_proto.errors import BadQuestion
from backlit_server.methods.asking import Outcome, Partial, Scores, Steps, batches
from backlit_server.methods.estimates import due
from backlit_server.methods.filling import as_image, behind
from backlit_server.methods.head_probing import of_targets
from backlit_server.methods.masks import weighted_masks
from backlit_server.methods.parameters import Array, Filling, Range

SIDE = 7  # patches beside each other, where nobody says how large they are
Pixels = Annotated[int, Range(0, 1_000_000)]


def occlusion(
    image: Array,
    seeds: Array,
    scores: Array,
    batch: int,
    *,
    patch: Pixels = 0,
    stride: Pixels = 0,
    fill: Filling = 0.0,
) -> Steps:
    """Occlusion: what the score loses when a square patch is hidden, averaged over the patches that hide a pixel.

    Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, 2014, section 4.2.
    """
    filling, whole = as_image("fill", fill, image), of_targets(scores, seeds)
    rows, columns = _patches(image.shape[2:], patch, stride)
    lost = np.zeros((len(seeds), *image.shape[2:]))
    hidden = np.maximum(rows.sum(0)[:, None] * columns.sum(0), 1)
    count = len(rows) * len(columns)
    for part in batches(count, batch):
        row, column = np.divmod(np.arange(part.start, part.stop), len(columns))
        made = rows[row, :, None] * columns[column, None]
        found = whole - of_targets((yield Scores(behind(1 - made, image, filling))), seeds)
        lost += weighted_masks(found, made)
        if due(part, count):
            yield Partial(lost / hidden, part.stop / count)
    return Outcome(lost / hidden)


def _patches(size: tuple[int, ...], patch: int, stride: int) -> tuple[Array, Array]:
    """The rows (n, height) and the columns (n, width) that patches hide; BadQuestion where some pixel never is."""
    patch = patch or -(-min(size) // SIDE)
    stride = stride or -(-patch // 2)
    if patch > min(size):
        raise BadQuestion(f"occlusion: patch is from 1 to the image's shorter side, {min(size)}; got {patch}")
    if stride > patch:
        raise BadQuestion(f"occlusion: stride is from 1 to the patch, {patch}, or pixels between stay; got {stride}")
    return _along(size[0], patch, stride), _along(size[1], patch, stride)


def _along(length: int, patch: int, stride: int) -> Array:
    """Which places (patches, length) of an axis each patch hides; the last one ends with the image."""
    starts = np.array(sorted({*range(0, length - patch + 1, stride), length - patch}))
    inside = np.arange(length) - starts[:, None]
    return ((inside >= 0) & (inside < patch)).astype(np.float32)
