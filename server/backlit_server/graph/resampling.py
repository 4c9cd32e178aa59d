"""Pillow's resampling (Resample.c and Geometry.c of Pillow 13) in ONNX operators, to the last bit, at any size.

A smooth resampling is two products, with the weights of the columns and with those of the rows, and pixels are rounded
after each of them. Weights are multiples of 2^-22 and products are added up in double precision, so without error.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from backlit_server.graph.recording.branching import chosen
from backlit_server.graph.recording.ranges import counted
from backlit_server.graph.recording.sym import Array

UNIT = 2.0**22  # that weights are whole multiples of


@dataclass(frozen=True)
class Axis:
    """Where the pixels of an input lie in a picture, along one axis.

    The picture's `size` pixels, from `start` on, are resized to `count`, each `step` pixels of the picture wide. The
    pixels of the input are `places` among these, and padding where they lie before the first or behind the last. All
    are numbers in double precision, but for `places`, 64 bit integers with one dimension.
    """

    size: Array
    start: Array
    step: Array
    places: Array
    count: Array

    @property
    def inside(self) -> Array:
        """Which pixels are no padding."""
        return (self.places >= np.int64(0)) & (self.places < self.count.astype(np.int64))

    @property
    def nearest(self) -> Array:
        """The places, that of the nearest other pixel where there is padding."""
        return np.minimum(np.maximum(self.places, np.int64(0)), self.count.astype(np.int64) - np.int64(1))

    @property
    def centres(self) -> Array:
        """Those of the pixels, in the picture."""
        return self.start + (self.nearest.astype(np.float64) + 0.5) * self.step

    @property
    def filter_scale(self) -> Array:
        """How much wider a filter gets because the picture shrinks."""
        return np.maximum(self.step, 1.0)


def nearest(planes: Array, rows: Axis, columns: Axis) -> Array:
    """The pixels (batch, channels, height, width) nearest to the input's, of the same dtype."""
    return planes.op("Gather", _nearest(rows), axis=2).op("Gather", _nearest(columns), axis=3)


def _nearest(along: Axis) -> Array:
    """Pillow adds up steps, whose rounding decides where a pixel's centre lies between two of the picture."""
    first = np.equal(along.places, along.places[:1])
    steps = np.where(first, along.start + along.step * 0.5, along.step)
    return np.floor(steps.op("CumSum", np.array(0))).op("Gather", along.nearest - along.nearest[:1]).astype(np.int64)


def smooth(kernel: Callable[[Array], Array], support: float) -> Callable[[Array, Axis, Axis], Array]:
    """Resampling by a kernel of distances, which is 0 from `support` on."""

    def resampled(planes: Array, rows: Axis, columns: Axis) -> Array:
        """Pixels (batch, channels, height, width), whole numbers from 0 to 255 in double precision."""
        top, bottom = _reach(rows, support)
        left, right = _reach(columns, support)
        seen = planes.op("Slice", np.concatenate([top, left]), np.concatenate([bottom, right]), [2, 3])
        down = _weights(rows, top, bottom, kernel)
        across = _weights(columns, left, right, kernel).transpose(1, 0)
        return chosen(_rows_first(rows, columns), _down_first, _across_first, (seen, down, across))

    return resampled


def _rows_first(rows: Axis, columns: Axis) -> Array:
    """Pillow's choice, where far more rows than columns go."""
    fewer = rows.size - rows.count
    return (fewer > 0.0) & (fewer > (columns.size - columns.count) * 2.0)


def _down_first(seen: Array, down: Array, across: Array) -> Array:
    return _rounded(_rounded(down @ seen.astype(np.float64)) @ across)


def _across_first(seen: Array, down: Array, across: Array) -> Array:
    return _rounded(down @ _rounded(seen.astype(np.float64) @ across))


def _rounded(planes: Array) -> Array:
    return np.floor(planes + 0.5).clip(0.0, 255.0)


def _reach(along: Axis, support: float) -> tuple[Array, Array]:
    """The first pixel of the picture that is looked at, and the one behind the last: what was cropped away is not."""
    wide = along.filter_scale * support
    first = np.maximum(np.floor(along.centres[:1] - wide), 0.0)
    last = np.minimum(np.ceil(along.centres[-1:] + wide), along.size)
    return first.astype(np.int64), last.astype(np.int64)


def _weights(along: Axis, first: Array, last: Array, kernel: Callable[[Array], Array]) -> Array:
    """How much of each of those pixels of the picture is in each of the input's: (pixels, last - first)."""
    seen = (counted(along.size, (last - first).reshape([])) + first).reshape(1, -1).astype(np.float64)
    weights = kernel(abs((seen - along.centres.reshape(-1, 1) + 0.5) * (1.0 / along.filter_scale)))
    weights = weights / weights.sum(1, keepdims=True) * UNIT
    return np.floor(abs(weights) + 0.5) * np.sign(weights) / UNIT


def triangle(x: Array) -> Array:
    return np.maximum(1.0 - x, 0.0)


def cubic(x: Array) -> Array:
    """Keys (1981) with a = -1/2."""
    inner = (1.5 * x - 2.5) * x * x + 1.0
    outer = (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5
    return np.where(x < 1.0, inner, np.where(x < 2.0, outer, 0.0))
