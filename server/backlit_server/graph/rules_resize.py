"""The rule of Resize: linear, and one axis at a time, in all its modes.

What it does to one axis is a matrix: the same Resize of an identity matrix. The gradient is multiplied by it.
"""

from typing import Any

import numpy as np

from backlit_server.graph.sym import Array, zeros


def resize(
    g: Array,
    y: Array,
    x: Array,
    roi: Array,
    scales: Array,
    sizes: Array,
    *,
    axes: Any = None,
    **attributes: Any,
) -> Array:
    """Attributes as of opset 19; the region (tf_crop_and_resize) holds all starts, then all ends."""
    axes = [axis % x.rank for axis in axes] if axes else list(range(x.rank))
    scales = scales if sizes is None else None
    cropped = attributes["coordinate_transformation_mode"] == "tf_crop_and_resize"
    for k, axis in enumerate(axes):
        same = x.shape[axis] == y.shape[axis] and (scales is None or _is_one(scales, k))
        if cropped or not same:
            region = [roi, k, k + len(axes)] if cropped and roi is not None else None
            scale = None if scales is None else scales.op("Gather", [k])
            g = _along(g, axis, _matrix(x, y, axis, scale, region, attributes))
    return g


def _is_one(scales: Array, k: int) -> bool:
    return scales.value is not None and scales.value[k] == 1


def _matrix(x: Array, y: Array, axis: int, scale: Array, region: Any, attributes: dict[str, Any]) -> Array:
    """(size after, size before): what the Resize makes of the rows of an identity matrix."""
    before, after = (t.dims.op("Gather", [axis]) for t in (x, y))
    square: Array = np.concatenate([before, before])
    identity = zeros(square, x.dtype).op("EyeLike").op("Unsqueeze", [0, 1])
    one = x.lift(np.ones(1, np.float32))
    wanted = None if scale is not None else np.concatenate([x.lift([1, 1]), after, before])
    factors = None if scale is None else np.concatenate([one, one, scale, one])
    corners = None if region is None else _corners(*region)
    kept = {k: v for k, v in attributes.items() if k not in ("keep_aspect_ratio_policy", "extrapolation_value")}
    return identity.op("Resize", corners, factors, wanted, **kept).op("Squeeze", [0, 1])


def _corners(roi: Array, start: int, end: int) -> Array:
    """The region of interest of one axis, as that of the rows of a matrix in four dimensions."""
    zero, one = (roi.lift(np.array([v])).astype(roi.dtype) for v in (0.0, 1.0))
    return np.concatenate([zero, zero, roi.op("Gather", [start]), zero, one, one, roi.op("Gather", [end]), one])


def _along(g: Array, axis: int, matrix: Array) -> Array:
    """g times the matrix, along one axis."""
    if axis == g.rank - 1:
        return g @ matrix
    return (g.swapaxes(axis, -1) @ matrix).swapaxes(axis, -1)
