"""Perturbation by the features of several layers, whose maps are fused: SISE and Ada-SISE."""

from collections.abc import Callable

import numpy as np

from backlit_server.methods.asking import Blocks, Outcome, Partial, Scores, Steps, batches
from backlit_server.methods.filling import as_image, behind
from backlit_server.methods.masks import Probability, weighted_masks
from backlit_server.methods.parameters import Array, Filling
from backlit_server.methods.scaling import normalize, resize

BINS = 256  # of the histogram that Otsu's threshold is found in
Choice = Callable[[Array], Array]
"""From mean gradients (targets, channels) to which channels are used."""


def sise(image: Array, seeds: Array, probability: Probability, batch: int, *, fill: Filling = 0.0) -> Steps:
    """SISE: how likely the target is when the image is seen through the maps of each block, fused over the blocks.

    Of the last layer of each scale, the maps whose mean gradient is positive, enlarged and scaled to 0..1, are masks
    m_i; the block's map is sum_i p(x * m_i) m_i / sum(m_i), scaled to 0..1. From the image on, fused = (fused + map)
    where the map is above Otsu's threshold, else 0. Sattarzadeh et al., Explaining CNNs through Attribution-Based
    Input Sampling, 2021, section 3.
    """
    return _fused(image, seeds, probability, batch, fill, _rising)


def ada_sise(image: Array, seeds: Array, probability: Probability, batch: int, *, fill: Filling = 0.0) -> Steps:
    """Ada-SISE: SISE with fewer maps: of each block those whose mean gradient is above Otsu's threshold.

    The threshold is that of the positive mean gradients. Sudhakar et al., Ada-SISE, 2021, section 2.
    """
    return _fused(image, seeds, probability, batch, fill, _leading)


def _fused(image: Array, seeds: Array, probability: Probability, batch: int, fill: Filling, choose: Choice) -> Steps:
    filling, size = as_image("fill", fill, image), image.shape[2:]
    blocks = yield Blocks(seeds)
    uses = [choose(grads.mean((2, 3))) & (np.ptp(maps[0], (1, 2)) > 0) for maps, grads in blocks]
    fused = np.zeros((len(seeds), *size))
    for k, ((maps, _), used) in enumerate(zip(blocks, uses, strict=True)):
        channels, summed = np.flatnonzero(used.any(0)), np.zeros_like(fused)
        for part in batches(len(channels), batch):
            some = channels[part]
            masks = normalize(resize(maps[0, some], size))
            found = probability((yield Scores(behind(masks, image, filling))), seeds)
            summed += weighted_masks(found * used[:, some].T / masks.sum((1, 2))[:, None], masks)
        fused = _gated(fused, normalize(summed)) if k else normalize(summed)
        yield Partial(fused, (k + 1) / len(blocks))
    return Outcome(fused)


def _gated(fused: Array, maps: Array) -> Array:
    """What was fused and the next block's maps, where the latter are above Otsu's threshold."""
    thresholds = np.array([otsu(one) for one in maps])
    return (fused + maps) * (maps >= thresholds[:, None, None])


def _rising(means: Array) -> Array:
    return means > 0


def _leading(means: Array) -> Array:
    rising = [row[row > 0] for row in means]
    thresholds = np.array([otsu(row) if len(row) else 0 for row in rising])
    return _rising(means) & (means >= thresholds[:, None])


def otsu(values: Array) -> float:
    """The threshold that tells two groups of values apart best; of equal values, that value.

    The edge of a histogram's bins with the largest variance between what lies below and what does not. Otsu, A
    Threshold Selection Method from Gray-Level Histograms, 1979, eq. 18.
    """
    if values.min() == values.max():
        return float(values.min())
    counts, edges = np.histogram(values, BINS)
    below, moments = counts.cumsum()[:-1], (counts * (edges[1:] + edges[:-1]) / 2).cumsum()
    above = counts.sum() - below
    between = below * above * (moments[:-1] / below - (moments[-1] - moments[:-1]) / above) ** 2
    return float(edges[1:-1][between.argmax()])
