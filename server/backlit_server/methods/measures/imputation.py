"""Linear imputation: hidden pixels become the weighted mean of their neighbours, hidden or not."""

import numpy as np

from backlit_server.methods.asking import Array
from backlit_server.methods.scaling import resize

CYCLES = 5
SWEEPS = 3  # of relaxation before and after each coarser grid


def imputed(images: Array, known: Array) -> Array:
    """Images (n, channels, H, W) whose pixels are known where (n, 1, H, W) is 1; where it is 0 they are made up.

    Each unknown pixel is the mean of its neighbours, those beside it with weight 1/6 and those across with 1/12, as far
    as there are any. Rong et al., ROAD, 2022, section 4.2, who solve the sparse system of equations directly. Here it
    is solved by multigrid, within a few hundredths of the images' standard deviation.
    """
    middle = (images * known).sum((2, 3), keepdims=True) / np.maximum(known.sum((2, 3), keepdims=True), 1)
    made, source = np.where(known, images, middle), np.zeros_like(images)
    for _ in range(CYCLES):
        made = _cycle(made, source, known)
    return made


def _cycle(made: Array, source: Array, known: Array) -> Array:
    """One V-cycle towards made = mean of neighbours + source wherever it is not known."""
    made = _relaxed(made, source, known)
    if min(made.shape[2:]) > 2:
        # Four pixels are one of a grid whose neighbours are twice as far, and what they lack counts there fourfold.
        lacking = _quarters(np.where(known, 0, _mean(made) + source - made))
        coarse = _cycle(np.zeros_like(lacking), lacking, (_quarters(known) > 0).astype(known.dtype))
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


def _quarters(images: Array) -> Array:
    """The sums of two by two pixels; an odd last row or column stands alone."""
    n, channels, height, width = images.shape
    even = np.pad(images, ((0, 0), (0, 0), (0, height % 2), (0, width % 2)))
    return even.reshape(n, channels, -(-height // 2), 2, -(-width // 2), 2).sum((3, 5))
