"""Gradients with respect to the image, averaged on the way from a baseline to it."""

from collections.abc import Generator, Sequence
from typing import Annotated

import numpy as np

from backlit_server.methods.asking import Array, Gradients, Outcome, Partial, Scores, Steps, batches
from backlit_server.methods.estimates import due, mean_map, settled
from backlit_server.methods.filling import as_image
from backlit_server.methods.head_probing import of_targets
from backlit_server.methods.parameters import Count, Filling, Images, Range, Seed, Tolerance

Points = Annotated[int, Range(1, 1000)]
INCOMPLETE = "completeness error"


def integrated_gradients(
    image: Array, seeds: Array, scores: Array, batch: int, *, steps: Points = 50, baseline: Filling = 0.0
) -> Steps:
    """Integrated gradients: each pixel's share of the difference that the image makes to a baseline.

    sum_c (x - x')_c times the mean of g_c on the line from the baseline x' to the image x, by Gauss-Legendre
    quadrature. The shares add up to T(x) - T(x'): `completeness error` says how nearly, relative to it.
    Sundararajan et al., Axiomatic Attribution for Deep Networks, 2017, eq. 1 and proposition 1.
    """
    start = np.broadcast_to(as_image("baseline", baseline, image), image.shape)
    difference = image - start
    places, weights = _points(steps)
    mean = np.zeros((len(seeds), *image.shape[1:]))
    for part in batches(steps, max(1, batch // len(seeds))):
        points = start + places[part, None, None, None].astype(image.dtype) * difference
        mean += np.tensordot(weights[part], (yield from image_gradients(points, seeds)), 1)
        if due(part, steps):
            yield Partial((difference * mean).sum(1) / weights[: part.stop].sum(), part.stop / steps)
    made = (difference * mean).sum(1)
    return Outcome(made, {INCOMPLETE: _incomplete(made, of_targets(scores - (yield Scores(start)), seeds)[0])})


def expected_gradients(
    image: Array,
    seeds: Array,
    scores: Array,
    batch: int,
    *,
    baselines: Images = None,
    samples: Count = 200,
    tolerance: Tolerance = 0.0,
    seed: Seed = 0,
) -> Steps:
    """Expected gradients: integrated gradients from many baselines, at one random point of the way from each.

    The mean over baselines x' and places a between 0 and 1 of sum_c (x - x')_c g_c(x' + a (x - x')). Without baselines,
    each is noise with the mean and the deviation of the image's channels. `completeness error`: as for integrated
    gradients, from the mean T(x'); `standard error`: the largest of the map's values. Erion et al., Improving
    performance of deep learning models with axiomatic attribution priors and expected gradients, 2021, eq. 3.
    """
    total, squares = np.zeros((2, len(seeds), *image.shape[2:]))
    difference, done = np.zeros(len(seeds)), 0
    draws = np.random.default_rng(seed).spawn(2)
    for part in batches(samples, max(1, batch // len(seeds))):
        starts, places = _starts(draws, part.stop - part.start, image, baselines)
        difference += of_targets(scores - (yield Scores(starts)), seeds).sum(0)
        found = yield from image_gradients(starts + places * (image - starts), seeds)
        shares = ((image - starts)[:, None] * found).sum(2, dtype=np.float64)
        total += shares.sum(0)
        squares += (shares**2).sum(0)
        done = part.stop
        if due(part, samples):
            known = mean_map(total, squares, done)
            yield Partial(known.heatmaps, done / samples, known.facts)
            if settled(known, done, tolerance):
                break
    known = mean_map(total, squares, done)
    error = _incomplete(known.heatmaps, difference / done)
    return Outcome(known.heatmaps, {**known.facts, INCOMPLETE: error})


def image_gradients(images: Array, seeds: Array) -> Generator[Gradients, Array, Array]:
    """Asks for the gradients (n, targets, channels, height, width) of every target at each image."""
    found = yield Gradients(images, np.concatenate([seeds] * len(images)))
    return found.reshape(len(images), len(seeds), *images.shape[1:])


def _points(count: int) -> tuple[Array, Array]:
    """Places between 0 and 1 and their weights, in an order that is spread over the way from the first points on."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    order = np.argsort(np.arange(count) * (5**0.5 - 1) / 2 % 1)
    return (nodes[order] + 1) / 2, weights[order] / 2


def _starts(draws: Sequence[np.random.Generator], count: int, image: Array, baselines: Images) -> tuple[Array, Array]:
    """So many baselines, and the place of the point on the way from each, as (n, 1, 1, 1).

    They are drawn apart, so that the same ones come in batches of any size.
    """
    places = draws[0].random((count, 1, 1, 1)).astype(image.dtype)
    if baselines is not None:
        return baselines[draws[1].integers(len(baselines), size=count)].astype(image.dtype), places
    noise = draws[1].standard_normal((count, *image.shape[1:]), np.float32)
    spread, middle = (of(image, axis=(2, 3), keepdims=True) for of in (np.std, np.mean))
    return (middle + spread * noise).astype(image.dtype), places


def _incomplete(heatmaps: Array, wanted: Array) -> Array:
    """How far the shares are from adding up to what is wanted, relative to it."""
    return abs(heatmaps.sum((1, 2)) - wanted) / np.maximum(abs(wanted), 1e-12)
