"""Rules of convolutions: the gradient of one kind is the other kind."""

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto

from backlit_server.graph.recording.ranges import identity
from backlit_server.graph.recording.sym import Array
from backlit_server.graph.rules.windows import Windows, kernel_of, sizes, windows

BLOCK = 16  # channels; onnxruntime's largest


def conv(g: Array, y: Array, x: Array, w: Array, b: Array, *, group: int, kernel_shape: Any = None, **attributes: Any):
    seen = windows(x, y, kernel_of(w, kernel_shape), **_full(attributes))
    return (
        lambda: _onto_input(g, w, seen, group),
        lambda: _onto_weights(g, seen.covered(x), seen, w, group),
        lambda: g.sum((0, *range(2, x.rank))),
    )


def conv_transpose(
    g: Array, y: Array, x: Array, w: Array, b: Array, *, group: int, kernel_shape: Any = None, **attributes: Any
) -> tuple[Callable[[], Array], ...]:
    seen = _transposed_windows(x, y, kernel_of(w, kernel_shape), **_full(attributes))
    covered = seen.covered(g)
    return (
        lambda: covered.op("Conv", w, group=group, **seen.steps).declared(x.shape),
        lambda: _onto_weights(x, covered, seen, w, group),
        lambda: g.sum((0, *range(2, x.rank))),
    )


def col2im(
    g: Array, y: Array, x: Array, image: Array, block: Array, *, strides: Any = None, pads: Any = None, **kept: Any
) -> Array:
    """The blocks cut out of the image again: a convolution with a kernel for every element of a block."""
    many = block.prod(keepdims=True)
    kernels = identity(many, many, g.dtype).reshape(np.concatenate([many, g.lift([1]), block]))
    planes = g.reshape(np.concatenate([g.lift([-1, 1]), g.dims[2:]]))
    return planes.op("Conv", kernels, strides=strides, pads=pads, **kept).shaped_as(x)


def _full(attributes: dict[str, Any]) -> dict[str, Any]:
    return {"pads": None, "strides": None, "dilations": None, **attributes}


def _onto_input(g: Array, w: Array, seen: Windows, group: int) -> Array:
    """A transposed convolution with the same weights; where that is faster, a convolution with turned weights.

    With stride 1 a convolution with the weights turned by half a turn computes the same, and onnxruntime has faster
    kernels for that (CPU: 1.2 times, depthwise 3.7 to 4.9); constant weights are turned once, when the model is loaded.
    With larger strides the gradient is set apart by zeros first, which pays for depthwise weights (2 to 3 times).
    """
    depthwise = w.shape[0] == group and w.shape[1] == 1
    turns = w.constant and seen.known and (depthwise or group == 1)
    apart = (seen.strides > 1).any()
    begin, behind = seen.reach - 1 - seen.begin, seen.reach - seen.strides - seen.end
    if turns and (begin >= 0).all() and (behind >= 0).all() and (not apart or (depthwise and _can_part(g))):
        parted = _parted(g, seen.strides) if apart else g
        made = parted.op("Conv", _turned(w, group), group=group, pads=[*begin, *behind], dilations=[*seen.dilations])
        return made.declared(seen.wide.shape)
    return _blocked(_transposed(g, w, seen, group).declared(seen.wide.shape))


def _blocked(t: Array) -> Array:
    """t, brought into onnxruntime's blocked layout by a pool of windows of one element.

    ConvTranspose leaves that layout, and a sum stays outside with one of its parts: without this the gradients of all
    residual blocks before it are reordered twice a block (ResNet-50's size, saliency: 2.39 -> 2.33 forward passes).
    """
    blocks = t.dtype == TensorProto.FLOAT and t.rank == 4 and isinstance(t.shape[1], int) and t.shape[1] % BLOCK == 0
    return t.op("AveragePool", kernel_shape=[1, 1]).declared(t.shape) if blocks else t


def _transposed(g: Array, w: Array, seen: Windows, group: int) -> Array:
    if not seen.known:
        return seen.uncovered(g.op("ConvTranspose", w, group=group, **seen.steps))
    over = np.maximum(-seen.end, 0)
    pads = [*seen.begin, *np.maximum(seen.end, 0)]
    return g.op("ConvTranspose", w, group=group, pads=pads, output_padding=over.tolist(), **seen.steps)


def _can_part(g: Array) -> bool:
    return g.dtype == TensorProto.FLOAT and all(isinstance(size, int) for size in g.shape[2:])


def _parted(g: Array, strides: np.ndarray) -> Array:
    """Zeros between the elements of the spatial axes: each repeated, and all but the first of its repeats put out."""
    one = np.zeros(strides, np.float32)
    one.flat[0] = 1
    lit = np.tile(one, g.shape[2:])[None, None]
    spread = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return g.op("Resize", None, np.array([1, 1, *strides], np.float32), **spread) * lit


def _turned(w: Array, group: int) -> Array:
    """Weights with all spatial axes reversed, and with inputs and outputs exchanged unless each channel has its own."""
    axes = [axis for axis in range(2, w.rank) if w.shape[axis] != 1]
    exchanged = w.swapaxes(0, 1) if group == 1 else w
    last = [np.iinfo(np.int64).min] * len(axes)
    return exchanged.op("Slice", [-1] * len(axes), last, axes, [-1] * len(axes)) if axes else exchanged


def _onto_weights(narrow: Array, wide: Array, seen: Windows, w: Array, group: int) -> Array:
    """A convolution of input and gradient with batch and channels exchanged, strides and dilations too.

    narrow (n, group * m, ...) and wide (n, group * c, ...), which windows cover exactly, give (group * m, c, kernel).
    """
    spatial = wide.dims[2:]
    grouped = wide.reshape(np.concatenate([wide.dims[:1], wide.lift([group]), wide.lift([-1]), spatial]))
    inner = grouped.transpose(2, 1, 0, *range(3, grouped.rank))
    images = inner.reshape(np.concatenate([w.dims[1:2], wide.lift([-1]), spatial]))
    filters = narrow.swapaxes(0, 1)
    exchanged = {"strides": seen.steps["dilations"], "dilations": seen.steps["strides"]}
    made = images.op("Conv", filters, group=group, **exchanged)
    return made.transpose(1, 0, *range(2, w.rank))


def _transposed_windows(
    x: Array, y: Array, kernel: list[int], *, output_padding: Any = None, output_shape: Any = None, **given: Any
):
    """The windows over the larger result; a wanted shape decides the padding, half of it, rounded, on each side."""
    seen = windows(y, x, kernel, **{**given, "auto_pad": "NOTSET"})
    if output_shape is None and given["auto_pad"] in ("NOTSET", "VALID"):
        begin = seen.begin
    else:
        total = seen.strides * (sizes(x) - 1) + np.array(output_padding or 0) + seen.reach - sizes(y)
        half = total // 2
        begin = half if given["auto_pad"] == "SAME_UPPER" else total - half
    end = (sizes(x) - 1) * seen.strides + seen.reach - sizes(y) - begin
    return Windows(y, seen.kernel, seen.strides, seen.dilations, begin, begin, end)
