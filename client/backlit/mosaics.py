"""Many small pictures as one, laid out and scaled as torchvision's make_grid does it."""

import math
from collections.abc import Sequence

import numpy as np

from backlit_proto.errors import BadQuestion

SMALLEST_RANGE = 1e-5  # a constant picture becomes 0, not NaN


def mosaic(
    maps: np.ndarray,
    *,
    nrow: int = 8,
    padding: int = 2,
    pad_value: float = 0.0,
    normalize: bool = False,
    scale_each: bool = False,
    value_range: tuple[float, float] | None = None,
) -> np.ndarray:
    """Maps (n, h, w) as one (H, W), pictures (n, channels, h, w) as one (channels, H, W); float32.

        (e,) = model.explain("cat.jpg", "feature-maps", layer="/features/0/Conv_output_0")
        picture = backlit.mosaic(e.heatmap, nrow=16, normalize=True, scale_each=True)

    `nrow` is how many stand in a row, `padding` the pixels between and around them, of `pad_value`. `normalize` brings
    them to 0 to 1: from the smallest and largest value of all, or of each with `scale_each`, or from `value_range`,
    beyond which values are cut off. A single one stays without a border. Source: torchvision.utils.make_grid.
    """
    images = _images(maps)
    if min(nrow, padding + 1) < 1:
        raise BadQuestion(f"a mosaic needs nrow of at least 1 and padding of at least 0, not {nrow} and {padding}")
    if normalize:
        images = normalized(images, scale_each, value_range)
    elif scale_each or value_range is not None:
        raise BadQuestion("scale_each and value_range say how to normalize: give normalize=True as well")
    return images[0] if len(images) == 1 else laid_out(images, nrow, padding, pad_value)


def laid_out(images: np.ndarray, nrow: int, padding: int, pad_value: float) -> np.ndarray:
    """Images (n, ..., h, w) row by row, as (..., H, W)."""
    columns = min(nrow, len(images))
    height, width = images.shape[-2] + padding, images.shape[-1] + padding
    size = (height * math.ceil(len(images) / columns) + padding, width * columns + padding)
    page = np.full((*images.shape[1:-2], *size), pad_value, images.dtype)
    for k, image in enumerate(images):
        top, left = height * (k // columns) + padding, width * (k % columns) + padding
        page[..., top : top + image.shape[-2], left : left + image.shape[-1]] = image
    return page


def squarest(count: int, height: int, width: int) -> int:
    """How many of so many maps to put in a row, so that the mosaic is about as high as wide."""
    return max(1, min(count, round(math.sqrt(count * height / width))))


def _images(maps: np.ndarray) -> np.ndarray:
    images = np.asarray(maps, np.float32)
    if images.ndim not in (3, 4) or not images.size:
        raise BadQuestion(f"a mosaic is made of (n, h, w) or (n, channels, h, w); this is of shape {images.shape}")
    return images


def normalized(images: np.ndarray, each: bool, value_range: Sequence[float] | None = None) -> np.ndarray:
    """From 0 to 1: from the range that is given, or from the smallest to the largest value, of each or of all."""
    axes = tuple(range(1, images.ndim)) if each and value_range is None else None
    if value_range is None:
        low, high = images.min(axes, keepdims=True), images.max(axes, keepdims=True)
    else:
        low, high = (np.float32(end) for end in value_range)
    return (images.clip(low, high) - low) / np.maximum(high - low, np.float32(SMALLEST_RANGE))
