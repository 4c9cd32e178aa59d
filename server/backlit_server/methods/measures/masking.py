"""The image behind a heatmap: how maps become masks, and what is put where a pixel is hidden."""

from collections.abc import Callable
from typing import Literal

import numpy as np

from backlit_server.methods.asking import Array
from backlit_server.methods.measures.measuring import Fill, Subject
from backlit_server.methods.scaling import normalize, resize

Normalisation = Literal["min-max", "relu", "absolute"]

BLUR_SIGMA, BLUR_REACH, BLUR_SIDE = 5, 5, 224  # pixels of a Gaussian and its taps to each side, for such an image


def masked(of: Subject, keep: float, fill: Fill, normalisation: Normalisation) -> Array:
    """The image as the heatmap lets it through: filled where the mask is 0, itself where it is 1."""
    mask = strongest(mask_of(of.heatmap, of.size, normalisation), keep)
    return blended(of, filled(of, fill), mask)


def blended(of: Subject, hidden: Array, mask: Array) -> Array:
    """The image where masks (..., H, W) are 1, what hides it where they are 0."""
    return (hidden + mask[..., None, :, :] * (of.image - hidden)).astype(of.image.dtype)


def mask_of(heatmap: Array, size: tuple[int, int], normalisation: Normalisation) -> Array:
    """The heatmap between 0 and 1, scaled at its own resolution and then enlarged bilinearly."""
    return resize(normalize(NORMALISATIONS[normalisation](heatmap)[None]), size)[0]


def strongest(mask: Array, keep: float) -> Array:
    """The mask with all but this share of its pixels set to 0; of equal ones the first go first."""
    weakest = np.argsort(mask, None, kind="stable")[: int(mask.size * (1 - keep))]
    left = mask.copy()
    left.flat[weakest] = 0
    return left


def filled(of: Subject, fill: Fill) -> Array:
    """What hides the image (1, channels, H, W)."""
    return np.broadcast_to(FILLS[fill](of), of.image.shape).astype(of.image.dtype)


def blurred(image: Array) -> Array:
    """The image behind a Gaussian, as wide for its shorter side as RISE's is for 224 pixels."""
    height, width = image.shape[2:]
    scale = min(height, width) / BLUR_SIDE
    return _gaussian(height, scale) @ image @ _gaussian(width, scale).T


def _gaussian(length: int, scale: float) -> Array:
    """The (length, length) matrix of a truncated Gaussian along one axis; at the edges its rest is made whole."""
    apart = np.subtract.outer(np.arange(length), np.arange(length))
    weights = np.exp(-((apart / (BLUR_SIGMA * scale)) ** 2) / 2) * (abs(apart) <= max(1, round(BLUR_REACH * scale)))
    return weights / weights.sum(1, keepdims=True)


NORMALISATIONS: dict[str, Callable[[Array], Array]] = {
    "min-max": lambda heatmap: heatmap,
    "relu": lambda heatmap: heatmap.clip(0),
    "absolute": abs,
}
FILLS: dict[str, Callable[[Subject], Array]] = {
    "zero": lambda of: np.zeros_like(of.image),
    "black": lambda of: of.black(),
    "mean": lambda of: of.image.mean((2, 3), keepdims=True),
    "blur": lambda of: blurred(of.image),
}
