"""Linear imputation: hidden pixels become the weighted mean of their neighbours, hidden or not."""

import numpy as np

from backlit_server.methods.asking import Array
from backlit_server.methods.scaling import resize

CYCLES = 6
SWEEPS = 2  # of relaxation before and after each coarser grid
TINY = 1e-30


def imputed(images: Array, known: Array) -> Array:
    """Images (n, channels, H, W) whose pixels are known where (n, 1, H, W) is 1; where it is 0 they are made up.

    Each unknown pixel is the mean of its neighbours, those beside it with weight 1/6 and those across with 1/12, as far
    as there are any. Rong et al., ROAD, 2022, section 4.2, who solve the sparse system of equations directly. Here its
    residuals are minimised along the directions of multigrid cycles, each made conjugate to the one before (Orthomin).
    """
    middle = (images * known).sum((2, 3), keepdims=True) / np.maximum(known.sum((2, 3), keepdims=True), 1)
    made = np.where(known, images, middle)
    lacking = np.where(known, 0, _mean(made) - made)
    way, effect = np.zeros((2, *images.shape), images.dtype)
    for _ in range(CYCLES):
        new = _cycle(np.zeros_like(lacking), lacking, known)
        its_effect = np.where(known, 0, new - _mean(new))
        again = _share(its_effect, effect)
        way, effect = new - again * way, its_effect - again * effect
        length = _share(lacking, effect)
        made, lacking = made + length * way, lacking - length * effect
    return made


def _share(a: Array, b: Array) -> Array:
    """How much of b there is in a, image by image and channel by channel."""
    return (a * b).sum((2, 3), keepdims=True) / np.maximum((b * b).sum((2, 3), keepdims=True), TINY)


def _cycle(made: Array, source: Array, known: Array) -> Array:
    """One V-cycle from coarse to fine towards made = mean of neighbours + source, wherever it is not known."""
    made = _relaxed(made, source, known)
    if max(made.shape[2:]) > 2:
        # On a grid of half the size neighbours are twice as far, and what is lacking counts fourfold.
        lacking = 4 * _halved(np.where(known, 0, _mean(made) + source - made))
        coarse = _cycle(np.zeros_like(lacking), lacking, (_halved(known) > 0).astype(known.dtype))
        made = np.where(known, made, made + resize(coarse, made.shape[2:]))
    return _relaxed(made, source, known)


def _relaxed(made: Array, source: Array, known: Array) -> Array:
    for _ in range(SWEEPS):
        made = np.where(known, made, _mean(made) + source)
    return made


def _mean(images: Array) -> Array:
    """The weighted mean of each pixel's neighbours."""
    return _neighbours(images) / _neighbours(np.ones((1, 1, *images.shape[2:]), images.dtype))


def _neighbours(images: Array) -> Array:
    """The weighted sum of each pixel's neighbours: of [1 2 1] both ways, less the pixel itself, in twelfths."""
    return (_one_two_one(_one_two_one(images, 2), 3) - 4 * images) / 12


def _one_two_one(images: Array, axis: int) -> Array:
    along = np.moveaxis(images, axis, -1)
    total = 2 * along
    total[..., 1:] += along[..., :-1]
    total[..., :-1] += along[..., 1:]
    return np.moveaxis(total, -1, axis)


def _halved(images: Array) -> Array:
    """The means of two by two pixels; those of an odd last row or column stand alone."""
    height, width = images.shape[2:]
    even = np.pad(images, ((0, 0), (0, 0), (0, height % 2), (0, width % 2)), mode="edge")
    return (even[..., ::2, ::2] + even[..., 1::2, ::2] + even[..., ::2, 1::2] + even[..., 1::2, 1::2]) / 4
