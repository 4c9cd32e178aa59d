"""Rules of quantised tensors: the gradient is that of the floats the integers stand for, as if nothing were rounded."""

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto

from backlit_server.graph.broadcast import fitted
from backlit_server.graph.sym import Array

# what fits: beyond it numbers were cut off, and their gradient is zero
RANGES = {
    TensorProto.UINT2: (0, 3), TensorProto.INT2: (-2, 1), TensorProto.UINT4: (0, 15), TensorProto.INT4: (-8, 7),
    TensorProto.UINT8: (0, 255), TensorProto.INT8: (-128, 127),
    TensorProto.UINT16: (0, 65535), TensorProto.INT16: (-32768, 32767),
}  # fmt: skip


def quantize(
    g: Array, y: Array, x: Array, scale: Array, zero: Array, *, axis: int, block_size: int, **_: Any
) -> tuple[Callable[[], Array], ...]:
    """y = round(x / scale) + zero, cut to the range of its type; what lies on an end of the range counts as cut off.

    Asking y and not x leaves the integer kernels alone: onnxruntime never computes x where it can avoid it.
    A scale that is measured in every run has a gradient too, that of x / scale.
    """
    step = _column(scale, x, axis, block_size)

    def inner() -> Array:
        return _within(_apart(g, axis, block_size) / step.astype(g.dtype), y, axis, block_size)

    def of_scale() -> Array:
        return fitted(-inner() * _apart(x.astype(g.dtype), axis, block_size) / step.astype(g.dtype), step)

    return lambda: inner().shaped_as(x), lambda: of_scale().shaped_as(scale)


def _within(g: Array, y: Array, axis: int, block_size: int) -> Array:
    """g where y was not cut off."""
    if y.dtype not in RANGES:
        return g
    least, most = RANGES[y.dtype]
    place = _apart(y.astype(g.dtype), axis, block_size)
    return np.where((place > least) & (place < most), g, 0)


def dequantize(
    g: Array, y: Array, x: Array, scale: Array, zero: Array, *, axis: int, block_size: int, **_: Any
) -> tuple[Callable[[], Array], ...]:
    """y = (x - zero) * scale."""
    apart = _apart(g, axis, block_size)
    step = _column(scale, x, axis, block_size)

    def of_scale() -> Array:
        offset = _apart(x.astype(g.dtype), axis, block_size)
        if zero is not None:
            offset = offset - _column(zero, x, axis, block_size).astype(g.dtype)
        return fitted(apart * offset, step).shaped_as(scale)

    return lambda: (apart * step.astype(g.dtype)).shaped_as(x), of_scale


def _apart(t: Array, axis: int, block_size: int) -> Array:
    """t with the axis split into (blocks, elements of a block)."""
    if not block_size:
        return t
    at = axis % t.rank
    return t.reshape(np.concatenate([*_some(t.dims[:at]), t.lift([-1, block_size]), *_some(t.dims[at + 1 :])]))


def _some(dims: Array) -> list[Array]:
    return [dims] if dims.shape != (0,) else []


def _column(t: Array, x: Array, axis: int, block_size: int) -> Array:
    """A scale or zero point beside x: a single number, one for each index of the axis, or one for each block."""
    if t.rank == 0 or t.kind.fixed == (1,):
        return t.reshape(())
    if block_size:
        return t.op("Unsqueeze", [axis % x.rank + 1])
    return t.reshape([-1 if k == axis % x.rank else 1 for k in range(x.rank)])
