"""Reading images between their pixels: which pixels lie around a place, how much each counts, and what lies outside.

A place is a number along one axis, where pixel k has its centre at k.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from onnx import TensorProto

from backlit_server.graph.recording.ranges import counted
from backlit_server.graph.recording.sym import Array

Pixels = tuple[Array, Array]  # along one axis, (images, places, n): their numbers, and what each of them counts


def around(place: Array, size: Array, mode: str, outside: str, cubic: float = -0.75) -> Pixels:
    """The pixels that make up the places (images, places) on an axis of so many pixels."""
    at = place[..., None]
    base = at.op("Round") if mode == "nearest" else np.floor(at)
    first, last = REACHES[mode]
    steps = at.lift(np.arange(first, last + 1)).astype(at.dtype)
    pixels, inside = BORDERS[outside](base + steps, at.lift(size).astype(at.dtype))
    weights = KERNELS[mode](at - base, cubic)
    kept = pixels.astype(TensorProto.INT64).clip(0, size - 1)  # whatever the place, even if it is not a number
    return kept, weights if inside is None else weights * inside.astype(at.dtype)


def read(x: Array, images: Array, axes: Sequence[Pixels]) -> tuple[Array, Array]:
    """What (batch, channels, height, ...) shows at places of these images (images, 1, 1), which count from 0.

    Weights (images, places, n) and values (images, places, n, channels): every pixel of an axis with every one of the
    other axes.
    """
    index, weights = images, images.lift(np.ones((1, 1, 1))).astype(x.dtype)
    for k, (pixels, weight) in enumerate(axes):
        index = _crossed(index * x.size_of(2 + k), pixels, np.add)
        weights = _crossed(weights, weight, np.multiply)
    rows = x.transpose(0, *range(2, x.rank), 1).reshape(np.concatenate([x.lift([-1]), x.dims[1:2]]))
    return weights, rows.op("Gather", index, axis=0)


def sampled(x: Array, images: Array, axes: Sequence[Pixels]) -> Array:
    """The weighted sums of what is read: (images, places, channels)."""
    weights, values = read(x, images, axes)
    return (weights.op("Unsqueeze", [2]) @ values).op("Squeeze", [2])


def each_image(x: Array) -> Array:
    """The images of a batch as `read` wants them: (images, 1, 1)."""
    return counted(x, x.size_of(0)).op("Unsqueeze", [1, 2])


def _crossed(a: Array, b: Array, combine: Callable[[Array, Array], Array]) -> Array:
    """(i, p, n) with (i, p, m): (i, p, n * m)."""
    return combine(a.op("Unsqueeze", [3]), b.op("Unsqueeze", [2])).op("Reshape", [0, 0, -1])


def _nearest(f: Array, _cubic: float) -> Array:
    return f.lift(np.ones((1, 1, 1))).astype(f.dtype)


def _linear(f: Array, _cubic: float) -> Array:
    return np.concatenate([1 - f, f], axis=-1)


def _cubic(f: Array, a: float) -> Array:
    """Keys, Cubic convolution interpolation for digital image processing (1981), equation 4."""

    def near(d: Array) -> Array:
        return ((a + 2) * d - (a + 3)) * d * d + 1

    def far(d: Array) -> Array:
        return a * (((d - 5) * d + 8) * d - 4)

    return np.concatenate([far(f + 1), near(f), near(1 - f), far(2 - f)], axis=-1)


def _nothing(pixels: Array, size: Array) -> tuple[Array, Array]:
    return pixels, (pixels >= 0) & (pixels <= size - 1)


def _reflected(edge: float) -> Callable[[Array, Array], tuple[Array, None]]:
    """The image mirrored at lines that lie `edge` outside the centres of its outermost pixels."""

    def reflected(pixels: Array, size: Array) -> tuple[Array, None]:
        wide = np.maximum(size - 1 + 2 * edge, 1)
        turns = np.floor((pixels + edge) / (2 * wide))
        return wide - abs(pixels + edge - (2 * turns + 1) * wide) - edge, None

    return reflected


REACHES: Mapping[str, tuple[int, int]] = {"nearest": (0, 0), "linear": (0, 1), "cubic": (-1, 2)}
KERNELS: Mapping[str, Callable[[Array, float], Array]] = {"nearest": _nearest, "linear": _linear, "cubic": _cubic}
BORDERS: Mapping[str, Callable[[Array, Array], tuple[Array, Array | None]]] = {
    "zeros": _nothing,
    "border": lambda pixels, size: (pixels, None),
    "reflection": _reflected(0.5),
    "reflection at centres": _reflected(0.0),
}
