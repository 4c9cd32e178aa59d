"""The definition of a Resize that takes a region of interest, which may itself depend on the input."""

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np

from backlit_proto.errors import NotDifferentiable
from backlit_server.graph.recording.ranges import counted
from backlit_server.graph.recording.sym import Array
from backlit_server.graph.rules.pixels import around

NEAREST: Mapping[str, Callable[[Array], Array]] = {
    "floor": np.floor,
    "ceil": np.ceil,
    "round_prefer_floor": lambda place: np.ceil(place - 0.5),
    "round_prefer_ceil": lambda place: np.floor(place + 0.5),
}


def from_region(
    x: Array, roi: Array, y: Array, axes: Sequence[int], *, extrapolation_value: float, **more: Any
) -> Array:
    """roi holds the starts of the axes, then their ends, from 0 to 1; y tells how large the result is.

    One axis at a time; what lies outside of x along any of them has the extrapolation value.
    """
    made, beyond = x, []
    for k, axis in enumerate(axes):
        end = x.lift(x.size_of(axis)).astype(x.dtype) - 1
        place = _places(roi[[k, k + len(axes)]].astype(x.dtype), end, y.size_of(axis))
        made = (_matrix(place, x.size_of(axis), **more) @ made.swapaxes(axis, -2)).swapaxes(axis, -2)
        beyond.append(((place < 0) | (place > end)).reshape([-1 if j == axis else 1 for j in range(x.rank)]))
    return np.where(reduce(np.logical_or, beyond), extrapolation_value, made)


def _places(region: Array, end: Array, size: Array) -> Array:
    """Where the elements of the result lie: from the start of the region to its end, or in the middle if there is one.

    All (1, size).
    """
    steps = region.lift(size).astype(region.dtype) - 1
    share = counted(region, size).astype(region.dtype) / np.maximum(steps, 1)
    share = np.where(steps == 0, 0.5, share)
    return ((region[:1] * (1 - share) + region[1:] * share) * end)[None]


def _matrix(
    place: Array, size: Array, *, mode: str, nearest_mode: str, exclude_outside: int, cubic_coeff_a: float, **more: Any
) -> Array:
    """(places, size): how much every element counts at every place."""
    if more["antialias"]:
        raise NotDifferentiable("a Resize of a region with antialias has no rule; export it without antialias")
    at = NEAREST[nearest_mode](place) if mode == "nearest" else place
    pixels, weights = around(at, size, mode, "zeros" if exclude_outside else "border", cubic_coeff_a)
    if exclude_outside:
        weights = weights / weights.sum(-1, keepdims=True)
    chosen = (pixels[..., None] == counted(place, size)).astype(place.dtype)
    return (weights[..., None] * chosen).sum(2)[0]
