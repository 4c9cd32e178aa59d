"""The rule of Resize: linear, and one axis at a time, in all its modes.

What it does to one axis is a matrix: the same Resize of an identity matrix. The gradient is multiplied by it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from backlit_server.graph.recording.ranges import identity
from backlit_server.graph.recording.sym import Array
from backlit_server.graph.rules.definition import Definition
from backlit_server.graph.rules.region import from_region

DECIDING = {"not_larger": "ArgMin", "not_smaller": "ArgMax"}  # which axis tells how much all of them grow


def resize(
    g: Array, y: Array, x: Array, roi: Array, scales: Array, sizes: Array, *, axes: Any = None, **attributes: Any
) -> Any:
    """Attributes as of opset 19. A region (tf_crop_and_resize) has a gradient too: see region.py."""
    axes = [axis % x.rank for axis in axes] if axes else list(range(x.rank))
    if attributes["coordinate_transformation_mode"] == "tf_crop_and_resize":
        return Definition(lambda x, roi, *_, **__: from_region(x, roi, y, axes, **attributes))
    kept = {k: v for k, v in attributes.items() if k not in ("keep_aspect_ratio_policy", "extrapolation_value")}
    policy = attributes["keep_aspect_ratio_policy"]
    given = None if sizes is not None else scales
    for k, axis in enumerate(axes):
        if sizes is not None and policy in DECIDING:
            g = _along(g, axis, _matrix_in_proportion(x, sizes, axes, k, keep_aspect_ratio_policy=policy, **kept))
        elif x.shape[axis] != y.shape[axis] or (given is not None and not _is_one(given, k)):
            g = _along(g, axis, _matrix(x, y, axis, None if given is None else given.op("Gather", [k]), kept))
    return g


def _is_one(scales: Array, k: int) -> bool:
    return scales.value is not None and scales.value[k] == 1


def _matrix(x: Array, y: Array, axis: int, scale: Array, kept: dict[str, Any]) -> Array:
    """(size after, size before): what the Resize makes of the rows of an identity matrix."""
    before, after = (t.dims.op("Gather", [axis]) for t in (x, y))
    rows = identity(before, before, x.dtype).op("Unsqueeze", [0, 1])
    one = x.lift(np.ones(1, np.float32))
    wanted = None if scale is not None else np.concatenate([x.lift([1, 1]), after, before])
    factors = None if scale is None else np.concatenate([one, one, scale, one])
    return rows.op("Resize", None, factors, wanted, **kept).op("Squeeze", [0, 1])


def _matrix_in_proportion(x: Array, sizes: Array, axes: Sequence[int], k: int, **kept: Any) -> Array:
    """The same where one axis decides how much all of them grow, before sizes are rounded: that axis comes along."""
    before = x.dims.op("Gather", list(axes))
    growth = sizes.astype(np.float32) / before.astype(np.float32)
    decides = growth.op(DECIDING[kept["keep_aspect_ratio_policy"]], axis=0)
    n, beside = before[[k]], before.op("Gather", decides)
    rows = identity(n, n, x.dtype).op("Unsqueeze", [0, 3]).op("Expand", np.concatenate([x.lift([1]), n, n, beside]))
    wanted = np.concatenate([sizes[[k]], sizes.op("Gather", decides)])
    return rows.op("Resize", None, None, wanted, axes=[2, 3], **kept)[0, :, :, 0].transpose(1, 0)


def _along(g: Array, axis: int, matrix: Array) -> Array:
    """g times the matrix, along one axis."""
    if axis == g.rank - 1:
        return g @ matrix
    return (g.swapaxes(axis, -1) @ matrix).swapaxes(axis, -1)
