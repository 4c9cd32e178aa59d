"""Perturbation by what the model itself found, or place by place: the image behind a mask.

The image is what the model takes: where a mask is 0, so is its input.
"""

import numpy as np

from backlit_server.methods.asking import Array, Outcome, Partial, Scores, Steps, batches
from backlit_server.methods.head_probing import of_targets, weighted
from backlit_server.methods.masks import Probability
from backlit_server.methods.scaling import normalize, resize


def occlusion(
    image: Array, seeds: Array, scores: Array, batch: int, *, patch: int = 32, stride: int = 16, fill: float = 0.0
) -> Steps:
    """Occlusion: what the score loses when a square patch is hidden, averaged over the patches that hide a pixel.

    Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, 2014, section 4.2.
    """
    height, width = image.shape[2:]
    corners = [(r, c) for r in _starts(height, patch, stride) for c in _starts(width, patch, stride)]
    lost, hidden = np.zeros((len(seeds), height, width)), np.zeros((height, width))
    whole = of_targets(scores, seeds)[0]
    for part in batches(len(corners), batch):
        images = np.repeat(image, len(corners[part]), 0)
        for one, (r, c) in zip(images, corners[part], strict=True):
            one[:, r : r + patch, c : c + patch] = fill
        found = whole - of_targets((yield Scores(images)), seeds)
        for loss, (r, c) in zip(found, corners[part], strict=True):
            lost[:, r : r + patch, c : c + patch] += loss[:, None, None]
            hidden[r : r + patch, c : c + patch] += 1
        yield Partial(lost / np.maximum(hidden, 1), part.stop / len(corners))
    return Outcome(lost / np.maximum(hidden, 1))


def score_cam(
    image: Array, features: Array, seeds: Array, probability: Probability, batch: int, *, most: int = 0
) -> Steps:
    """Score-CAM: the maps, summed with how likely the target is when the image is seen through each map.

    sum_k p(x * norm(up(A_k))) A_k: maps are enlarged bilinearly and scaled to 0..1; constant ones are left out. Wang
    et al., Score-CAM, 2020, eq. 3 and 5. `most`: only so many maps, those that vary most (Faster Score-CAM); 0: all.
    """
    order = np.argsort(-features[0].std((1, 2)), kind="stable")
    chosen = [k for k in (order[:most] if most else order) if np.ptp(features[0, k]) > 0]
    weights = np.zeros((len(seeds), features.shape[1]))
    for part in batches(len(chosen), batch):
        masks = normalize(resize(features[0, chosen[part]], image.shape[2:]))
        weights[:, chosen[part]] = probability((yield Scores(image * masks[:, None])), seeds).T
        yield Partial(weighted(features, weights), part.stop / len(chosen))
    return Outcome(weighted(features, weights))


def _starts(length: int, patch: int, stride: int) -> list[int]:
    """Where patches begin, so that the last one ends with the image."""
    last = max(0, length - patch)
    return sorted({*range(0, last + 1, stride), last})
