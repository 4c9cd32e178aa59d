"""The rule of Resize: linear, and one axis at a time, in all its modes.

What it does to one axis is a matrix: the same Resize of an identity matrix. The gradient is multiplied by it.
"""

from typing import Any

import numpy as np

from backlit_server.graph.definition import Definition
from backlit_server.graph.ranges import identity
from backlit_server.graph.rules_region import from_region
from backlit_server.graph.sym import Array


def resize(
    g: Array, y: Array, x: Array, roi: Array, scales: Array, sizes: Array, *, axes: Any = None, **attributes: Any
) -> Any:
    """Attributes as of opset 19. A region (tf_crop_and_resize) has a gradient too: see rules_region.py."""
    axes = [axis % x.rank for axis in axes] if axes else list(range(x.rank))
    if attributes["coordinate_transformation_mode"] == "tf_crop_and_resize":
        return Definition(lambda x, roi, *_, **__: from_region(x, roi, y, axes, **attributes))
    scales = scales if sizes is None else None
    for k, axis in enumerate(axes):
        same = x.shape[axis] == y.shape[axis] and (scales is None or _is_one(scales, k))
        if not same:
            g = _along(g, axis, _matrix(x, y, axis, None if scales is None else scales.op("Gather", [k]), attributes))
    return g


def _is_one(scales: Array, k: int) -> bool:
    return scales.value is not None and scales.value[k] == 1


def _matrix(x: Array, y: Array, axis: int, scale: Array, attributes: dict[str, Any]) -> Array:
    """(size after, size before): what the Resize makes of the rows of an identity matrix."""
    before, after = (t.dims.op("Gather", [axis]) for t in (x, y))
    rows = identity(before, before, x.dtype).op("Unsqueeze", [0, 1])
    one = x.lift(np.ones(1, np.float32))
    wanted = None if scale is not None else np.concatenate([x.lift([1, 1]), after, before])
    factors = None if scale is None else np.concatenate([one, one, scale, one])
    kept = {k: v for k, v in attributes.items() if k not in ("keep_aspect_ratio_policy", "extrapolation_value")}
    return rows.op("Resize", None, factors, wanted, **kept).op("Squeeze", [0, 1])


def _along(g: Array, axis: int, matrix: Array) -> Array:
    """g times the matrix, along one axis."""
    if axis == g.rank - 1:
        return g @ matrix
    return (g.swapaxes(axis, -1) @ matrix).swapaxes(axis, -1)
