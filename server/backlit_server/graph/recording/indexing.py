"""numpy's indices as operators."""

from typing import Any

import numpy as np

FAR = np.iinfo(np.int64).max  # beyond the end of any axis


def indexed(x: Any, index: Any) -> Any:
    """x[index] for slices, whole numbers, None, an ellipsis, and lists of numbers, as numpy reads them."""
    parts = list(index) if isinstance(index, tuple) else [index]
    if any(part is Ellipsis for part in parts):
        at = next(k for k, part in enumerate(parts) if part is Ellipsis)
        used = sum(part is not None for part in parts) - 1
        parts[at : at + 1] = [slice(None)] * (x.rank - used)
    axis = 0
    for part in parts:
        x, axis = _taken(x, axis, part)
    return x


def _taken(x: Any, axis: int, part: Any) -> tuple[Any, int]:
    """One part of an index along one axis: the result, and the axis that the next part is about."""
    if part is None:
        return x.op("Unsqueeze", [axis]), axis + 1
    if isinstance(part, list):
        return x.op("Gather", part, axis=axis), axis + 1
    if isinstance(part, int):
        return x.op("Gather", np.array(part), axis=axis), axis
    if part == slice(None):
        return x, axis + 1
    step = part.step or 1
    start, stop = (0, FAR) if step > 0 else (FAR, -FAR)
    start = start if part.start is None else part.start
    stop = stop if part.stop is None else part.stop
    return x.op("Slice", [start], [stop], [axis], [step]), axis + 1
