"""Rules of pools: the gradient of a window goes to what the window saw."""

from typing import Any

import numpy as np

from backlit_server.graph.recording.ranges import counted
from backlit_server.graph.recording.sym import Array
from backlit_server.graph.rules.moves import scatter_add
from backlit_server.graph.rules.windows import Windows, bordered, windows

FULL: dict[str, Any] = {"pads": None, "strides": None, "dilations": None}


def max_pool(g: Any, y: Any, x: Array, *, storage_order: int = 0, **attributes: Any) -> Array:
    """To the first maximum of each window; a second pool tells where that is.

    Its indices count over the whole tensor. MaxUnpool would be wrong: it overwrites where windows overlap.
    """
    indices = x.op("MaxPool", outputs=2, **attributes)[1] if y[1] is None or storage_order else y[1]
    count = x.lift(np.array(0)) + x.size_of(range(x.rank))
    return scatter_add(count.reshape(1), indices.reshape(-1), g[0].reshape(-1), axis=0).shaped_as(x)


def average_pool(
    g: Array, y: Array, x: Array, *, kernel_shape: list[int], count_include_pad: int, ceil_mode: int, **attributes: Any
) -> Array:
    seen = windows(x, y, kernel_shape, **FULL | attributes)
    return seen.spread(g / _counts(seen, count_include_pad))


def lp_pool(
    g: Array, y: Array, x: Array, *, p: int, kernel_shape: list[int], ceil_mode: int = 0, **attributes: Any
) -> Array:
    """y = (sum |x|^p)^(1/p)."""
    seen = windows(x, y, kernel_shape, **FULL | attributes)
    return _slope(x, p) * seen.spread(g / _power(y + (y == 0), p - 1))


def p_norm(g: Array, y: Array, x: Array, p: int) -> Array:
    """y = (sum |x|^p)^(1/p) over everything y does not tell apart."""
    return _slope(x, p) * (g / _power(y + (y == 0), p - 1))


def global_max_pool(g: Array, y: Array, x: Array) -> Array:
    """Equal maxima share it."""
    chosen = (x == y).astype(g.dtype)
    return g * chosen / chosen.sum(range(2, x.rank), keepdims=True)


def max_roi_pool(x: Array, rois: Array, *, pooled_shape: list[int], spatial_scale: float) -> Array:
    """The definition: boxes (image, left, top, right, bottom) are rounded and divided into bins that may overlap.

    A bin outside of the image is 0. (Girshick, Fast R-CNN, 2015.)
    """
    boxes = np.floor(rois[:, 1:] * spatial_scale + 0.5)
    seen = x.op("Gather", rois[:, 0].astype(np.int64), axis=0)
    for k, bins in enumerate(pooled_shape):
        start, end = boxes[:, [1 - k]], boxes[:, [3 - k]]
        width = np.maximum(end - start + 1, 1) / bins
        number = width.lift(np.arange(bins)).astype(width.dtype)
        first, last = start + np.floor(number * width), start + np.ceil((number + 1) * width)
        place = counted(x, x.size_of(2 + k)).astype(width.dtype)
        inside = (place >= first[..., None]) & (place < last[..., None])  # (boxes, bins, places)
        wide = inside[:, None, :, :, None] if k == 0 else inside[:, None, None]
        seen = np.where(wide, seen.op("Unsqueeze", [2 + k]), -np.inf).max(3 + k)
    return np.where(seen == -np.inf, 0, seen)


def _slope(x: Array, p: int) -> Array:
    return np.sign(x) * _power(abs(x), p - 1)


def _power(x: Array, p: int) -> Array:
    return x if p == 1 else x ** float(p)


def _counts(seen: Windows, include_pad: int) -> Array:
    """How many elements each window averages: padding counts if it is included, what hangs over never does."""
    before, behind = seen.begin, seen.after
    full = seen.known and isinstance(behind, np.ndarray)
    if full and (seen.end <= (behind if include_pad else 0)).all() and (include_pad or not before.any()):
        return int(np.prod(seen.kernel))
    x = seen.wide
    one = x.lift(1)
    there = one.op("Expand", np.concatenate([one.lift([1, 1]), x.dims[2:]]))
    inside = bordered(there, before, behind, 1.0) if include_pad else there
    rest = (before * 0, seen.end - behind) if include_pad else (before, seen.end)
    ones = x.lift(1).op("Expand", [1, 1, *(int(k) for k in seen.kernel)])
    return bordered(inside, *rest).op("Conv", ones, **seen.steps)
