"""What the head says of changed features: channels or places left out, gradients on the way.

A are the features of a layer (channels K, Z = height * width places), y the target's score.
"""

from typing import Annotated

import numpy as np

from backlit_server.methods.asking import Array, HeadGradients, HeadScores, Outcome, Partial, Steps, batches
from backlit_server.methods.parameters import Range, Seed


def ablation_cam(features: Array, seeds: Array, scores: Array, batch: int) -> Steps:
    """Ablation-CAM: the maps, summed with what the score loses when a map is set to zero.

    sum_k (y - y_k) / y A_k, with y_k the score without map k. Desai and Ramaswamy, Ablation-CAM, 2020, eq. 3. A score
    of exactly zero divides nothing. Tokens at no place, such as a class token, stay as they are.
    """
    channels = features.shape[1]
    whole = of_targets(scores, seeds)
    share = np.where(whole == 0, 1, whole).T
    lost = np.zeros((len(seeds), channels))
    for part in batches(channels, batch):
        ablated = np.repeat(features, part.stop - part.start, 0)
        ablated[np.arange(len(ablated)), np.arange(part.start, part.stop)] = 0
        lost[:, part] = (whole - of_targets((yield HeadScores(ablated)), seeds)).T
        yield Partial(weighted(features, lost / share), part.stop / channels)
    return Outcome(weighted(features, lost / share))


def recipro_cam(features: Array, seeds: Array, batch: int, *, blur: bool = False) -> Steps:
    """Recipro-CAM: the score when all features but those of one place are set to zero, for each place.

    Byun and Lee, Recipro-CAM, 2022, eq. 3. It needs no gradient. Of a transformer one token at a time is left, and
    those at no place, such as a class token, are kept: Byun and Lee, ViT-ReciproCAM, 2023, section 3.
    """
    height, width = features.shape[2:]
    rows, columns = ((_near if blur else np.eye)(length).astype(features.dtype) for length in (height, width))
    found = np.zeros((len(seeds), height * width))
    for part in batches(height * width, batch):
        row, column = np.divmod(np.arange(part.start, part.stop), width)
        kept = rows[row, :, None] * columns[column, None, :]
        found[:, part] = of_targets((yield HeadScores(features * kept[:, None])), seeds).T
        yield Partial(found.reshape(-1, height, width), part.stop / (height * width))
    return Outcome(found.reshape(-1, height, width))


def _near(length: int) -> Array:
    """1 2 1 around each place, divided by 4."""
    return (2 * np.eye(length) + np.eye(length, k=1) + np.eye(length, k=-1)) / 4


def shapley_cam(features: Array, seeds: Array, *, step: Annotated[float, Range(1e-4, 1)] = 1e-2) -> Steps:
    """Shapley-CAM: as Grad-CAM, with gradients corrected by half of how they change along the features.

    The weight of a channel is mean(g - H A / 2), with H A the derivative of g along A, here by central differences of
    this relative step. Behind a piecewise linear head it is Grad-CAM. Cai, Shapley-CAM, 2025, eq. 11.
    """
    along = np.concatenate([features, features * (1 + step), features * (1 - step)]).astype(features.dtype)
    found = yield HeadGradients(along, np.concatenate([seeds] * 3))
    grads, above, below = found.reshape(3, len(seeds), *features.shape[1:])
    weights = (grads - (above - below) / (4 * step)).mean((2, 3))
    return Outcome(weighted(features, weights))


def random_cam(features: Array, seeds: Array, *, seed: Seed = 0) -> Steps:
    """RandomCAM: the maps, summed with random weights between -1 and 1. The floor that every method has to beat."""
    yield from ()  # it asks for nothing
    draw = np.random.default_rng(seed)
    return Outcome(weighted(features, draw.uniform(-1, 1, (len(seeds), features.shape[1]))))


def of_targets(scores: Array, seeds: Array) -> Array:
    """What seeds (targets, *scores) ask of scores (n, *scores): (n, targets)."""
    return scores.reshape(len(scores), -1) @ seeds.reshape(len(seeds), -1).T


def weighted(features: Array, weights: Array) -> Array:
    """The maps (1, channels, height, width) summed with weights (targets, channels)."""
    return np.tensordot(weights, features[0], 1)
