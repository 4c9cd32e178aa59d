"""Gradients of noisy copies of an image: what they have in common, or how they differ.

g_i is the gradient of the target with respect to the image x + n_i, n_i Gaussian. The noise is relative to the span
(largest less smallest value) of the image as the model takes it.
"""

from collections.abc import Callable

import numpy as np

from backlit_server.methods.asking import Array, Gradients, LayerGradients, Outcome, Partial, Steps, batches
from backlit_server.methods.cam import CROSSES_ZERO
from backlit_server.methods.head_probing import weighted

Moments = tuple[Array, Array]
"""The sums of g and of g^2."""


def smooth_grad(
    image: Array, seeds: Array, batch: int, *, samples: int = 50, noise: float = 0.15, seed: int = 0
) -> Steps:
    """SmoothGrad: the mean gradient over noisy copies of the image, the largest |mean g| of the channels.

    mean_i g_i. Smilkov et al., SmoothGrad, 2017, section 2.
    """
    return _noisy(image, seeds, batch, samples, noise, seed, lambda total, _, n: abs(total / n))


def square_grad(
    image: Array, seeds: Array, batch: int, *, samples: int = 50, noise: float = 0.15, seed: int = 0
) -> Steps:
    """SquareGrad: the mean squared gradient over noisy copies of the image, the largest of the channels.

    mean_i g_i^2. Hooker et al., A Benchmark for Interpretability Methods, 2019, section 4.1.
    """
    return _noisy(image, seeds, batch, samples, noise, seed, lambda _, squares, n: squares / n)


def var_grad(image: Array, seeds: Array, batch: int, *, samples: int = 50, noise: float = 0.15, seed: int = 0) -> Steps:
    """VarGrad: the variance of the gradient over noisy copies of the image, the largest of the channels.

    mean_i (g_i - mean g)^2. Adebayo et al., Local Explanation Methods Lack Sensitivity, 2018.
    """
    return _noisy(image, seeds, batch, samples, noise, seed, lambda total, squares, n: squares / n - (total / n) ** 2)


def smooth_grad_cam_plus_plus(
    image: Array, features: Array, seeds: Array, batch: int, *, samples: int = 10, noise: float = 0.15, seed: int = 0
) -> Steps:
    """Smooth Grad-CAM++: Grad-CAM++ with the gradients at the layer averaged over noisy copies of the image.

    The weight of a channel is sum_ij a_ij relu(g_ij), a = g2 / (2 g2 + g3 sum(A)), with g, g2, g3 the means of the
    noisy gradients and their squares and cubes, A the features of the image itself. Omeiza et al., 2019, eq. 7 to 9.
    Where features below zero make the denominator vanish, the place is left out and counted as guarded.
    """
    draw = np.random.default_rng(seed)
    powers = np.zeros((3, len(seeds), *features.shape[1:]))
    for part in batches(samples, max(1, batch // len(seeds))):
        noisy = _copies(draw, image, part.stop - part.start, noise)
        found = yield LayerGradients(noisy, np.concatenate([seeds] * len(noisy)))
        grads = found.reshape(len(noisy), len(seeds), *features.shape[1:]).astype(np.float64)
        powers += [(grads**k).sum(0) for k in (1, 2, 3)]
        known = _plus_plus(features, powers / part.stop)
        yield Partial(known.heatmaps, part.stop / samples, known.facts)
    return _plus_plus(features, powers / samples)


def _plus_plus(features: Array, powers: Array) -> Outcome:
    first, second, third = powers
    below = 2 * second + third * features.sum((2, 3), keepdims=True)
    rising = first > 0
    guarded = rising & (abs(below) < CROSSES_ZERO * second)
    share = np.divide(second, below, out=np.zeros_like(below), where=rising & ~guarded)
    return Outcome(weighted(features, (share * first).sum((2, 3))), {"guarded": guarded.sum((1, 2, 3))})


def _noisy(
    image: Array,
    seeds: Array,
    batch: int,
    samples: int,
    noise: float,
    seed: int,
    finish: Callable[[Array, Array, int], Array],
) -> Steps:
    """All targets see the same noisy copies."""
    draw = np.random.default_rng(seed)
    total, squares = np.zeros((2, len(seeds), *image.shape[1:]))
    for part in batches(samples, max(1, batch // len(seeds))):
        noisy = _copies(draw, image, part.stop - part.start, noise)
        grads = (yield Gradients(noisy, np.concatenate([seeds] * len(noisy)))).reshape(len(noisy), *total.shape)
        total += grads.sum(0)
        squares += (grads**2).sum(0)
        yield Partial(finish(total, squares, part.stop).max(1), part.stop / samples)
    return Outcome(finish(total, squares, samples).max(1))


def _copies(draw: np.random.Generator, image: Array, count: int, noise: float) -> Array:
    spread = noise * float(np.ptp(image))
    return (image + draw.normal(scale=spread, size=(count, *image.shape[1:]))).astype(image.dtype)
