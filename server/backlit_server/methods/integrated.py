"""Gradients with respect to the image, summed along the way from a baseline to it."""

import numpy as np

from backlit_server.methods.asking import Array, Gradients, Outcome, Partial, Scores, Steps, batches


def integrated_gradients(image: Array, seeds: Array, batch: int, *, steps: int = 50, baseline: float = 0.0) -> Steps:
    """Integrated gradients: each pixel's share of the difference that the image makes to a baseline.

    sum_c (x - x')_c times the mean of g_c on the line from the baseline x' to the image x, by Gauss-Legendre
    quadrature. The shares add up to T(x) - T(x'): `completeness error` says how nearly, relative to it.
    Sundararajan et al., Axiomatic Attribution for Deep Networks, 2017, eq. 1 and proposition 1.
    """
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    places, weights = ((nodes + 1) / 2).astype(image.dtype), weights / 2
    difference = image - image.dtype.type(baseline)
    share = np.zeros((len(seeds), *image.shape[1:]))
    for k, seed in enumerate(seeds):
        for part in batches(steps, batch):
            points = baseline + places[part, None, None, None] * difference
            found = yield Gradients(points.astype(image.dtype), np.repeat(seed[None], len(points), 0))
            share[k] += np.tensordot(weights[part], found, 1)
            yield Partial((difference * share).sum(1), (k + part.stop / steps) / len(seeds))
    ends = yield Scores(np.concatenate([image, image - difference]))
    heatmaps = (difference * share).sum(1)
    made, wanted = heatmaps.sum((1, 2)), (seeds * (ends[0] - ends[1])).reshape(len(seeds), -1).sum(1)
    return Outcome(heatmaps, {"completeness error": abs(made - wanted) / np.maximum(abs(wanted), 1e-12)})
