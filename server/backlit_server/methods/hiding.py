"""Perturbation place by place: the image behind a mask.

The image is what the model takes: where a mask is 0, so is its input.
"""

import numpy as np

from backlit_server.methods.asking import Array, Outcome, Partial, Scores, Steps, batches
from backlit_server.methods.head_probing import of_targets


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


def _starts(length: int, patch: int, stride: int) -> list[int]:
    """Where patches begin, so that the last one ends with the image."""
    last = max(0, length - patch)
    return sorted({*range(0, last + 1, stride), last})
