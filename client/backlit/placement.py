"""Where a heatmap lies on the picture it explains.

A heatmap covers what the model saw. Preprocessing cuts that out of the picture, stretches it, or surrounds it with a
margin; undoing it gives a box in the picture's own coordinates, inside the picture or beyond it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from backlit.preprocessing import Preprocessing


@dataclass(frozen=True)
class Box:
    """What the model saw, in pixels of the picture; edges may lie between pixels, and outside the picture."""

    top: float
    left: float
    height: float
    width: float


def seen(picture: tuple[int, int], by: Preprocessing | None, size: tuple[int, int] | None = None) -> Box:
    """The box that became the model's input; `picture` and `size` (of the input) are (height, width).

    All of the picture when the caller prepared the input (`by` is None) or the input's proportions are not known.
    """
    if by is None:
        return _stretched(picture, picture, 1.0)
    known = (by.height, by.width) if by.height and by.width else size
    return FITS.get(by.fit, _stretched)(picture, known or picture, by.crop or 0.875)


def flat(heatmap: np.ndarray) -> np.ndarray:
    """Height x width: of a heatmap with channels, their mean."""
    values = np.asarray(heatmap, np.float32)
    return values.mean(0) if values.ndim == 3 else values.reshape(values.shape if values.ndim == 2 else (1, 1))


def place(heatmap: np.ndarray, box: Box, picture: tuple[int, int]) -> np.ndarray:
    """The heatmap (h, w) at the picture's size, bilinear between its cells' centres; outside the box it is NaN."""
    rows = _weights(heatmap.shape[0], box.top, box.height, picture[0])
    columns = _weights(heatmap.shape[1], box.left, box.width, picture[1])
    return (rows @ heatmap.astype(np.float32) @ columns.T).astype(np.float32)


def _weights(cells: int, start: float, length: float, pixels: int) -> np.ndarray:
    """(pixels, cells): what each pixel takes from each cell; NaN where the pixel's centre is not in the box."""
    share = (np.arange(pixels) + 0.5 - start) / length
    at = np.clip(share * cells - 0.5, 0, cells - 1)
    weights = np.maximum(0, 1 - np.abs(at[:, np.newaxis] - np.arange(cells)))
    weights[(share < 0) | (share > 1)] = np.nan
    return weights


def _stretched(picture: tuple[int, int], size: tuple[int, int], crop: float) -> Box:
    return Box(0, 0, *picture)


def _cropped(picture: tuple[int, int], size: tuple[int, int], crop: float) -> Box:
    """The centre, `crop` of the largest box of the input's proportions that fits into the picture."""
    return _centred(picture, size, crop * min(picture[0] / size[0], picture[1] / size[1]))


def _padded(picture: tuple[int, int], size: tuple[int, int], crop: float) -> Box:
    """The smallest box of the input's proportions that holds the picture."""
    return _centred(picture, size, max(picture[0] / size[0], picture[1] / size[1]))


def _centred(picture: tuple[int, int], size: tuple[int, int], scale: float) -> Box:
    height, width = size[0] * scale, size[1] * scale
    return Box((picture[0] - height) / 2, (picture[1] - width) / 2, height, width)


FITS: dict[str, Callable[[tuple[int, int], tuple[int, int], float], Box]] = {
    "crop": _cropped,
    "stretch": _stretched,
    "pad": _padded,
}
