"""Gradients of noisy copies of an image: what they have in common, or how they differ.

g_i is the gradient of the target with respect to the image x + n_i, n_i Gaussian. The noise is relative to the span
(largest less smallest value) of the image as the model takes it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from backlit_server.methods.asking import Array, LayerGradients, Outcome, Partial, Steps, batches
from backlit_server.methods.cam import CROSSES_ZERO
from backlit_server.methods.estimates import due
from backlit_server.methods.gradients import OVER_CHANNELS, Reduction
from backlit_server.methods.head_probing import weighted
from backlit_server.methods.integrated import image_gradients
from backlit_server.methods.parameters import Count, Range, Seed

Spread = Annotated[float, Range(0, 10)]


@dataclass(frozen=True)
class Noisy:
    """How many copies of an image, how noisy, what of a pixel's channels is told, and what the noise is drawn from."""

    samples: int
    noise: float
    channels: Reduction
    seed: int


def smooth_grad(
    image: Array,
    seeds: Array,
    batch: int,
    *,
    samples: Count = 50,
    noise: Spread = 0.15,
    channels: Reduction = "max",
    seed: Seed = 0,
) -> Steps:
    """SmoothGrad: the mean gradient over noisy copies of the image, the largest |mean g| of the channels.

    mean_i g_i. Smilkov et al., SmoothGrad, 2017, section 2.
    """
    by = Noisy(samples, noise, channels, seed)
    return _moments(image, seeds, batch, by, lambda mean, _: abs(mean))


def square_grad(
    image: Array,
    seeds: Array,
    batch: int,
    *,
    samples: Count = 50,
    noise: Spread = 0.15,
    channels: Reduction = "max",
    seed: Seed = 0,
) -> Steps:
    """SquareGrad: the mean squared gradient over noisy copies of the image, the largest of the channels.

    mean_i g_i^2. Hooker et al., A Benchmark for Interpretability Methods, 2019, section 4.1.
    """
    by = Noisy(samples, noise, channels, seed)
    return _moments(image, seeds, batch, by, lambda _, squares: squares)


def var_grad(
    image: Array,
    seeds: Array,
    batch: int,
    *,
    samples: Count = 50,
    noise: Spread = 0.15,
    channels: Reduction = "max",
    seed: Seed = 0,
) -> Steps:
    """VarGrad: the variance of the gradient over noisy copies of the image, the largest of the channels.

    mean_i (g_i - mean g)^2. Adebayo et al., Local Explanation Methods Lack Sensitivity, 2018.
    """
    by = Noisy(samples, noise, channels, seed)
    return _moments(image, seeds, batch, by, lambda mean, squares: np.maximum(squares - mean**2, 0))


def smooth_grad_cam_plus_plus(
    image: Array,
    features: Array,
    seeds: Array,
    batch: int,
    *,
    samples: Count = 10,
    noise: Spread = 0.15,
    seed: Seed = 0,
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


def _moments(image: Array, seeds: Array, batch: int, by: Noisy, finish: Callable[[Array, Array], Array]) -> Steps:
    """What is made of the means of g and g^2 over noisy copies, which are the same for all targets."""
    draw = np.random.default_rng(by.seed)
    total, squares = np.zeros((2, len(seeds), *image.shape[1:]))
    for part in batches(by.samples, max(1, batch // len(seeds))):
        grads = yield from image_gradients(_copies(draw, image, part.stop - part.start, by.noise), seeds)
        total += grads.sum(0)
        squares += (grads**2).sum(0)
        if due(part, by.samples):
            yield Partial(_told(finish(total / part.stop, squares / part.stop), by), part.stop / by.samples)
    return Outcome(_told(finish(total / by.samples, squares / by.samples), by))


def _told(maps: Array, by: Noisy) -> Array:
    return OVER_CHANNELS[by.channels](maps)


def _copies(draw: np.random.Generator, image: Array, count: int, noise: float) -> Array:
    spread = noise * float(np.ptp(image))
    return (image + spread * draw.standard_normal((count, *image.shape[1:]), np.float32)).astype(image.dtype)
