"""Rules of quantised tensors: the gradient is that of the floats the integers stand for, as if nothing were rounded."""

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto

from backlit_server.graph.recording.broadcast import fitted
from backlit_server.graph.recording.sym import Array

# what fits: beyond it numbers were cut off, and their gradient is zero
RANGES = {
    TensorProto.UINT2: (0, 3), TensorProto.INT2: (-2, 1), TensorProto.UINT4: (0, 15), TensorProto.INT4: (-8, 7),
    TensorProto.UINT8: (0, 255), TensorProto.INT8: (-128, 127),
    TensorProto.UINT16: (0, 65535), TensorProto.INT16: (-32768, 32767),
    TensorProto.FLOAT8E4M3FN: (-448, 448), TensorProto.FLOAT8E4M3FNUZ: (-240, 240), TensorProto.FLOAT4E2M1: (-6, 6),
    TensorProto.FLOAT8E5M2: (-57344, 57344), TensorProto.FLOAT8E5M2FNUZ: (-57344, 57344),
}  # fmt: skip
FEW = frozenset({TensorProto.INT2, TensorProto.UINT2, TensorProto.INT4, TensorProto.UINT4, TensorProto.FLOAT4E2M1})


def quantize(
    g: Array, y: Array, x: Array, scale: Array, zero: Array, *, axis: int, block_size: int, **_: Any
) -> tuple[Callable[[], Array], ...]:
    """y = round(x / scale) + zero, cut to the range of its type: the gradient of x / scale where nothing was cut off.

    A scale that is measured in every run has a gradient too.
    """
    step = _column(scale, x, axis, block_size).astype(g.dtype)
    least, most = RANGES[y.dtype]

    def kept() -> Array:
        """Where y lies inside its range: asking y and not x leaves the integer kernels alone, which never make x.

        Four bits or fewer have too few places to take the ends of the range for cut off: there x is asked.
        """
        if y.dtype not in FEW:
            place = _apart(y.astype(g.dtype), axis, block_size)
            return (place > least) & (place < most)
        place = _apart(x.astype(g.dtype), axis, block_size) / step
        if zero is not None:
            place = place + _column(zero, x, axis, block_size).astype(g.dtype)
        return (place >= least - 0.5) & (place <= most + 0.5)

    def inner() -> Array:
        return np.where(kept(), _apart(g, axis, block_size) / step, 0)

    def of_scale() -> Array:
        return fitted(-inner() * _apart(x.astype(g.dtype), axis, block_size) / step, step)

    return lambda: inner().shaped_as(x), lambda: of_scale().shaped_as(scale)


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
