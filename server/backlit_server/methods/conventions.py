"""Formulas as other libraries compute them, where they differ from the papers.

A is the features, g the gradient of the target with respect to them, as in cam.py. A place where g is 0 has weight 0.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from backlit_server.methods.asking import Array
from backlit_server.methods.principal import Kernel, kpca_cam

Formula = Callable[..., Any]


def grad_cam_of_sums(features: Any, grads: Any) -> Any:
    """Grad-CAM with the sum of the gradients in place of their mean: sum_k sum(g_k) A_k, Z times the paper's map."""
    return (features * grads.sum((2, 3), keepdims=True)).sum(1)


def grad_cam_plus_plus_damped(features: Any, grads: Any) -> Any:
    """Grad-CAM++ with 1e-6 in the denominator, beside 2 g^2: weights bend toward relu(g)^3 where g is below 1e-3."""
    total = features.sum((2, 3), keepdims=True)
    return _plus_plus(features, grads, 2 * grads * grads + total * grads * grads * grads + 1e-6)


def grad_cam_plus_plus_of_cubes(features: Any, grads: Any) -> Any:
    """Grad-CAM++ whose denominator is lost: the weight of a channel is sum relu(g) g^2."""
    rising = grads.clip(0)
    return (features * (rising * rising * rising).sum((2, 3), keepdims=True)).sum(1)


def grad_cam_plus_plus_by_place(features: Any, grads: Any) -> Any:
    """Grad-CAM++ with sum(A g^3) in place of sum(A) g^3 in the denominator."""
    cubes = (features * grads * grads * grads).sum((2, 3), keepdims=True)
    return _plus_plus(features, grads, 2 * grads * grads + cubes)


def grad_cam_plus_plus_of_shares(features: Any, grads: Any) -> Any:
    """Grad-CAM++ whose alphas are divided by their sum over all places, falling ones among them."""
    alphas = _alphas(grads, 2 * grads * grads + features.sum((2, 3), keepdims=True) * grads * grads * grads)
    total = alphas.sum((2, 3), keepdims=True)
    shares = alphas / (total + (total == 0))
    return (features * (shares * grads.clip(0)).sum((2, 3), keepdims=True)).sum(1)


def xgrad_cam_with(epsilon: float) -> Formula:
    """XGrad-CAM with a small constant beside the sum of a channel's values."""

    def xgrad_cam(features: Any, grads: Any) -> Any:
        total = features.sum((2, 3), keepdims=True) + epsilon
        return (features * ((grads * features).sum((2, 3), keepdims=True) / total)).sum(1)

    xgrad_cam.__doc__ = f"XGrad-CAM with {epsilon:g} beside the sum of a channel's values, where the paper has nothing."
    return xgrad_cam


def fem_by_share(features: Array) -> Array:
    """FEM that sums the maps themselves, each weighted by the share of places far above its mean."""
    mean, deviation = features.mean((2, 3), keepdims=True), features.std((2, 3), keepdims=True)
    return (features * (features > mean + 2 * deviation).mean((2, 3), keepdims=True)).sum(1)


def eigen_cam_centred(features: Array) -> Array:
    """Eigen-CAM after the mean of each channel was taken away; its sign is whatever the decomposition gives."""
    return centred_direction(features)


def kpca_cam_centred(features: Array, *, kernel: Kernel = "sigmoid") -> Array:
    """KPCA-CAM after the mean of each channel was taken away; the largest component is positive."""
    found = kpca_cam(features - features.mean((2, 3), keepdims=True), kernel=kernel)
    flat = found.reshape(len(found), -1)
    largest = np.take_along_axis(flat, abs(flat).argmax(1)[:, None], 1)
    return np.where(largest[:, :, None] < 0, -found, found)


def centred_direction(features: Array) -> Array:
    """Each place of maps (n, channels, height, width), centred by channel, along the first right singular vector."""
    count, channels, height, width = features.shape
    places = features.reshape(count, channels, -1).transpose(0, 2, 1)
    centred = places - places.mean(1, keepdims=True)
    finite = np.all(np.isfinite(centred), axis=(1, 2), keepdims=True)
    _, _, directions = np.linalg.svd(np.where(finite, centred, 0), full_matrices=False)
    return (centred @ directions[:, 0, :, None]).reshape(count, height, width)


def gradient_by_channel(grads: Any) -> Any:
    """The gradient of each channel of the image, signed."""
    return grads


def saliency_by_channel(grads: Any) -> Any:
    """|g| of each channel of the image."""
    return abs(grads)


def gradient_x_input_by_channel(features: Any, grads: Any) -> Any:
    """x g of each channel of the image."""
    return features * grads


def _plus_plus(features: Any, grads: Any, denominator: Any) -> Any:
    weights = (_alphas(grads, denominator) * grads.clip(0)).sum((2, 3), keepdims=True)
    return (features * weights).sum(1)


def _alphas(grads: Any, denominator: Any) -> Any:
    """g^2 / denominator, 0 where g or the denominator is."""
    silent = denominator == 0
    return grads * grads / (denominator + silent) * (1 - silent)
