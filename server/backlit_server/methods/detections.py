"""What random masks leave of a detection."""

import numpy as np

from backlit_server.methods.asking import Detections, Steps
from backlit_server.methods.masks import Cells, Kept, Masking, over_masks
from backlit_server.methods.parameters import Array, Count, Filling, Seed, Tolerance


def d_rise(
    image: Array,
    anchors: Array,
    batch: int,
    *,
    masks: Count = 5000,
    cells: Cells = 16,
    keep: Kept = 0.5,
    fill: Filling = 0.0,
    tolerance: Tolerance = 0.0,
    seed: Seed = 0,
) -> Steps:
    """D-RISE: how much of a detected box is found again when a pixel is kept, over random masks of the image.

    As RISE, of the similarity to the target's box, the largest of all boxes that the detector finds: intersection over
    union, times the cosine of the class probabilities, times the largest of them. The background is no class, and the
    largest probability stands for the objectness, which few detectors tell. Petsiuk et al., Black-box Explanation of
    Object Detectors via Saliency Maps, 2021, eq. 2 to 5.
    """
    boxes, chances = yield Detections(image)
    wanted = boxes[0, anchors], chances[0, anchors]
    by = Masking(masks, cells, keep, fill, tolerance, seed)
    return (yield from over_masks(image, len(anchors), batch, by, Detections, lambda found: similarity(wanted, found)))


def similarity(wanted: tuple[Array, Array], found: tuple[Array, Array]) -> Array:
    """How much like each wanted detection (targets) the most similar one of those found (n, anchors) is: (n, targets).

    A detection is a box and its class probabilities.
    """
    boxes, chances = found
    lengths = np.linalg.norm(chances, axis=-1)
    alike = [
        overlaps(box, boxes) * (chances @ chance) / np.maximum(lengths * np.linalg.norm(chance), np.finfo(float).tiny)
        for box, chance in zip(*wanted, strict=True)
    ]
    return (np.stack(alike, -1) * chances.max(-1)[..., None]).max(1)


def overlaps(box: Array, boxes: Array) -> Array:
    """Intersection over union of one box (4) with each of others (..., 4), all as x_min, y_min, x_max, y_max."""
    low, high = np.maximum(box[:2], boxes[..., :2]), np.minimum(box[2:], boxes[..., 2:])
    shared = (high - low).clip(0).prod(-1)
    union = (box[2:] - box[:2]).prod() + (boxes[..., 2:] - boxes[..., :2]).prod(-1) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
