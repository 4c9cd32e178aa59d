"""Definitions of the operators that read images between their pixels."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from onnx import TensorProto

from backlit_server.graph.recording.ranges import counted
from backlit_server.graph.recording.sym import HALVES, Array
from backlit_server.graph.rules.pixels import Pixels, around, each_image, read, sampled


def grid_sample(x: Array, grid: Array, *, mode: str, padding_mode: str, align_corners: int) -> Array:
    """The grid counts from -1 to 1 over each axis, the last axis first."""
    n = x.rank - 2
    outside = "reflection at centres" if align_corners and padding_mode == "reflection" else padding_mode
    flat = grid.op("Reshape", [0, -1, n])

    def pixels(axis: int) -> Pixels:
        u = flat[..., n - 1 - axis]
        size = u.lift(x.size_of(2 + axis)).astype(u.dtype)
        place = (u + 1) / 2 * (size - 1) if align_corners else ((u + 1) * size - 1) / 2
        return around(place, x.size_of(2 + axis), mode, outside)

    made = sampled(x, each_image(x), [pixels(axis) for axis in range(n)]).swapaxes(1, 2)
    return made.reshape(np.concatenate([x.dims[:2], grid.dims[1:-1]]))


def roi_align(
    x: Array, rois: Array, images: Array, *, mode: str, output_height: int, output_width: int, **attributes: Any
) -> Array:
    """Boxes (left, top, right, bottom) divided into bins (He et al., Mask R-CNN, 2017).

    Mode max takes the largest product of a pixel and its weight, not the largest sample: so ONNX Runtime computes it.
    """
    half = attributes["coordinate_transformation_mode"] == "half_pixel"
    # in half precision a place between pixels, the difference of large numbers, would be lost
    boxes = rois.astype(TensorProto.FLOAT) if rois.dtype in HALVES else rois
    corners = boxes * attributes["spatial_scale"] - 0.5 * half
    axes = []
    for k, bins in enumerate((output_height, output_width)):
        start, end = corners[:, [1 - k]], corners[:, [3 - k]]
        width = (end - start if half else np.maximum(end - start, 1)) / bins
        at, share = _samples(width, attributes["sampling_ratio"], SHARES[mode])
        number = width.lift(np.arange(bins)[:, None]).astype(width.dtype)
        place = start[..., None] + width[..., None] * (number + at[:, None])
        axes.append(_pixels(place, share[:, None], x.size_of(2 + k)))
    flat = [tuple(t.op("Reshape", [0, 1, -1]) for t in axis) for axis in axes]
    weights, values = read(x, images.op("Unsqueeze", [1, 2]), flat)
    bins = [weight.dims[1:] for _, weight in axes]
    apart = (weights[..., None] * values).reshape(np.concatenate([rois.dims[:1], *bins, x.dims[1:2]]))
    return POOLS[mode](apart).transpose(0, 3, 1, 2)


def _samples(width: Array, ratio: int, share: Callable[[Array, Array], Array]) -> tuple[Array, Array]:
    """Where in a bin of this width (boxes, 1) its samples lie, and how much each counts: (boxes, samples).

    Without a ratio there are as many as the bin has pixels; where that is fewer than in the largest box, the last one
    is repeated.
    """
    count = width.lift(np.array([[ratio]])).astype(width.dtype) if ratio > 0 else np.ceil(width)
    most = np.concatenate([count.reshape([-1]), count.lift(np.ones(1)).astype(count.dtype)]).max()
    step = counted(width, most.astype(TensorProto.INT64)).astype(width.dtype)
    at = (np.minimum(step, np.maximum(count - 1, 0)) + 0.5) / np.maximum(count, 1)
    return at, share((step < count).astype(width.dtype), count)


def _pixels(place: Array, share: Array, size: Array) -> Pixels:
    """The pixels of all samples of a bin: (boxes, bins, samples * 2)."""
    end = place.lift(size).astype(place.dtype)
    inside = (place >= -1) & (place <= end)
    pixels, weights = around(place.clip(0, end - 1).op("Flatten"), size, "linear", "border")
    worth = (inside.astype(place.dtype) * share).op("Flatten")[..., None]
    shape = np.concatenate([place.dims[:2], place.lift([-1])])
    return pixels.reshape(shape), (weights * worth).reshape(shape)


POOLS: Mapping[str, Callable[[Array], Array]] = {"avg": lambda t: t.sum((2, 4)), "max": lambda t: t.max((2, 4))}
SHARES: Mapping[str, Callable[[Array, Array], Array]] = {
    "avg": lambda used, count: used / np.maximum(count, 1),
    "max": lambda used, count: np.minimum(count, 1) * np.maximum(used, 1),
}
