"""Score-CAM and its relatives: the image seen through each of a layer's maps.

The image is what the model takes: where a mask is 0, so is its input.
"""

from typing import Annotated

import numpy as np

from backlit_server.methods.asking import Array, Outcome, Partial, Scores, Steps, batches
from backlit_server.methods.head_probing import weighted
from backlit_server.methods.masks import Probability
from backlit_server.methods.parameters import Range, Seed
from backlit_server.methods.scaling import interpolation

Room = tuple[Array, Array]
"""Memory for a batch of masks and of images: fresh from the system it would cost ten times the arithmetic."""


def score_cam(
    image: Array,
    features: Array,
    seeds: Array,
    probability: Probability,
    batch: int,
    *,
    most: Annotated[int, Range(0, 1_000_000)] = 0,
    samples: Annotated[int, Range(1, 1_000)] = 1,
    noise: Annotated[float, Range(0, 10)] = 0.0,
    steps: Annotated[int, Range(1, 1_000)] = 1,
    seed: Seed = 0,
) -> Steps:
    """Score-CAM: the maps, summed with how likely the target is when the image is seen through each map.

    sum_k p(x * M_k) A_k, M_k = norm(up(A_k)): enlarged bilinearly, then scaled to 0..1; constant maps are left out.
    Wang et al., Score-CAM, 2020, section 3; its authors' code weighs by probabilities. Its relatives by parameters:
    SS-CAM, `samples` 10 and `noise` 0.1: the mean of p over M_k = norm(up(A_k + n_i)), n_i Gaussian (Wang et al.,
    SS-CAM, 2020). IS-CAM, `steps` 10: the mean of p over i / N M_k, i from 1 to N (Naidu et al., IS-CAM, 2020).
    Faster Score-CAM, `most` 100: only the maps that vary most (as in tf-keras-vis).
    """
    chosen = varying(features[0], most)
    maps = features[:, chosen]
    found = np.zeros((len(chosen), samples * steps, len(seeds)))
    flat = found.reshape(-1, len(seeds))
    looks = np.repeat(np.arange(len(chosen)), samples * steps)
    shares = np.tile(np.arange(1, steps + 1) / steps, len(chosen) * samples)
    draw, room = np.random.default_rng(seed), _room(image, min(batch, len(flat)))
    for part in batches(len(flat), batch):
        some = _noisy(maps[0, looks[part]], noise, draw)
        flat[part] = probability((yield Scores(seen_through(image, some, shares[part], room))), seeds)
        yield Partial(weighted(maps, found.mean(1).T), part.stop / len(flat))
    return Outcome(weighted(maps, found.mean(1).T))


def varying(maps: Array, most: int) -> Array:
    """Which maps (n, height, width) are not constant; of them the `most` of largest standard deviation, 0: all."""
    order = np.argsort(-maps.std((1, 2)), kind="stable")[: most or None]
    return np.sort(order[np.ptp(maps, (1, 2))[order] > 0])


def seen_through(image: Array, maps: Array, shares: Array, room: Room) -> Array:
    """The image behind each map, enlarged and scaled to 0..its share; written into `room`, for the next batch too."""
    rows, columns = (interpolation(*sides) for sides in zip(maps.shape[1:], image.shape[2:], strict=True))
    masks, images = (whole[: len(maps)] for whole in room)
    np.matmul((rows @ maps).astype(image.dtype), columns.T.astype(image.dtype), out=masks)
    flat = masks.reshape(len(maps), -1)
    flat -= flat.min(1, keepdims=True)
    span = flat.max(1)
    flat *= (shares / np.where(span > 0, span, 1)).astype(flat.dtype)[:, None]
    return np.multiply(image, masks[:, None], out=images)


def _room(image: Array, batch: int) -> Room:
    return np.empty((batch, *image.shape[2:]), image.dtype), np.empty((batch, *image.shape[1:]), image.dtype)


def _noisy(maps: Array, noise: float, draw: np.random.Generator) -> Array:
    """Maps with Gaussian noise of this share of each one's span."""
    if not noise:
        return maps
    span = np.ptp(maps, (1, 2))[:, None, None]
    return (maps + noise * span * draw.normal(size=maps.shape)).astype(maps.dtype)
