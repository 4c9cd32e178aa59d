"""Operators that compute in integers, written as the same operator on the floats that the integers stand for.

The result is rounded where the integer operator rounds it, so that ONNX Runtime may fuse the three back into
its integer kernel, and the gradient passes by the rules of QuantizeLinear and DequantizeLinear.
"""

from typing import Any

import numpy as np
from onnx import TensorProto

from backlit_server.graph.lowering.fused import channels_first, flat_softmax, unsupported
from backlit_server.graph.recording.sym import FLOATS, Array


def dequantized(x: Array, scale: Array, zero: Array = None, axis: int | None = None) -> Array:
    """(x - zero) * scale; floats stay as they are."""
    if x.dtype in FLOATS:
        return x
    return x.op("DequantizeLinear", single(scale), single(zero), axis=axis)


def quantized(y: Array, scale: Array, zero: Array = None, axis: int | None = None) -> Array:
    """round(y / scale) + zero, cut to the range of zero's type; without a zero point uint8."""
    return y.op("QuantizeLinear", single(scale), single(zero), axis=axis)


def single(t: Array) -> Array:
    """A scale or zero point for a whole tensor is a scalar, however the file spells it."""
    return t.reshape(()) if t is not None and t.kind.fixed == (1,) else t


def unary(op_type: str) -> Any:
    """A row for an operator with one quantised input: x, scale, zero, scale and zero of the result."""

    def row(x: Array, scale: Array, zero: Array, y_scale: Array, y_zero: Array = None, **attributes: Any) -> Array:
        return quantized(dequantized(x, scale, zero).op(op_type, **attributes), y_scale, y_zero)

    return row


def binary(op_type: str) -> Any:
    """A row for an operator with two quantised inputs."""

    def row(
        a: Array, a_scale: Array, a_zero: Array, b: Array, b_scale: Array, b_zero: Array,
        y_scale: Array, y_zero: Array = None,
    ) -> Array:  # fmt: skip
        y = dequantized(a, a_scale, a_zero).op(op_type, dequantized(b, b_scale, b_zero))
        return quantized(y, y_scale, y_zero)

    return row


def pooling(op_type: str) -> Any:
    """A row for a pooling, which may keep its channels last."""

    def row(
        x: Array, scale: Array, zero: Array, y_scale: Array, y_zero: Array = None,
        channels_last: int = 0, **window: Any,
    ) -> Array:  # fmt: skip
        wide = dequantized(x, scale, zero)
        y = channels_first(wide, lambda t: t.op(op_type, **window)) if channels_last else wide.op(op_type, **window)
        return quantized(y, y_scale, y_zero)

    return row


def convolution(
    x: Array, x_scale: Array, x_zero: Array, w: Array, w_scale: Array, w_zero: Array, y_scale: Array, y_zero: Array,
    bias: Array = None, channels_last: int = 0, **window: Any,
) -> Array:  # fmt: skip
    """QLinearConv: weights with a scale for each kernel, the bias in steps of x_scale * w_scale."""
    weights = dequantized(w, w_scale, w_zero, axis=0)
    offset = None if bias is None else dequantized(bias, single(x_scale) * single(w_scale), axis=0)
    wide = dequantized(x, x_scale, x_zero)

    def convolved(t: Array) -> Array:
        return t.op("Conv", weights, offset, **window)

    return quantized(channels_first(wide, convolved) if channels_last else convolved(wide), y_scale, y_zero)


def matrix_product(
    a: Array, a_scale: Array, a_zero: Array, b: Array, b_scale: Array, b_zero: Array, y_scale: Array, y_zero: Array
) -> Array:
    """QLinearMatMul: a with a scale for each row, b for each column."""
    rows = dequantized(a, a_scale, a_zero, axis=max(a.rank - 2, 0))
    return quantized(rows.op("MatMul", dequantized(b, b_scale, b_zero, axis=b.rank - 1)), y_scale, y_zero)


def gemm(
    a: Array, a_scale: Array, a_zero: Array, b: Array, b_scale: Array, b_zero: Array, c: Array = None,
    y_scale: Array = None, y_zero: Array = None, alpha: float = 1.0, transA: int = 0, transB: int = 0,
) -> Array:  # fmt: skip
    """QGemm: the bias counts in steps of alpha * a_scale * b_scale; without y_scale the result is float."""
    weights = dequantized(b, b_scale, b_zero, axis=0 if transB else 1)
    offset = None if c is None else dequantized(c, single(a_scale) * single(b_scale) * alpha, axis=c.rank - 1)
    y = dequantized(a, a_scale, a_zero).op("Gemm", weights, offset, alpha=alpha, transA=transA, transB=transB)
    return y if y_scale is None else quantized(y, y_scale, y_zero)


def concat(y_scale: Array, y_zero: Array, *parts: Array, axis: int) -> Array:
    """QLinearConcat: each part with a scale and a zero point of its own."""
    first, *rest = (dequantized(*parts[k : k + 3]) for k in range(0, len(parts), 3))
    return quantized(first.op("Concat", *rest, axis=axis), y_scale, y_zero)


def softmax(
    x: Array, scale: Array, zero: Array, y_scale: Array, y_zero: Array, axis: int = -1, opset: int = 13
) -> Array:
    """QLinearSoftmax: before opset 13 all axes from `axis` on count as one."""
    wide = dequantized(x, scale, zero)
    y = wide.op("Softmax", axis=axis) if opset >= 13 else flat_softmax(wide, axis)
    return quantized(y, y_scale, y_zero)


def reduce_mean(
    x: Array, scale: Array, zero: Array, y_scale: Array, y_zero: Array = None, *, axes: list[int], keepdims: int
) -> Array:
    return quantized(dequantized(x, scale, zero).mean(axes, keepdims=bool(keepdims)), y_scale, y_zero)


def where(
    condition: Array, a: Array, a_scale: Array, a_zero: Array, b: Array, b_scale: Array, b_zero: Array,
    y_scale: Array, y_zero: Array,
) -> Array:  # fmt: skip
    chosen = np.where(condition, dequantized(a, a_scale, a_zero), dequantized(b, b_scale, b_zero))
    return quantized(chosen, y_scale, y_zero)


def dynamic_quantize(x: Array) -> tuple[Array, Array, Array]:
    """DynamicQuantizeLinear: scale and zero point from the extremes of x, of which zero is one."""
    most, least = np.maximum(x.max(), 0), np.minimum(x.min(), 0)
    scale = (most - least) / 255
    zero = (-least / scale).op("Round").clip(0, 255).astype(TensorProto.UINT8)
    return quantized(x, scale, zero), scale, zero


def integer_convolution(x: Array, w: Array, x_zero: Array = None, w_zero: Array = None, **window: Any) -> Array:
    """ConvInteger: whole numbers, which single precision holds exactly up to 2^24."""
    return _centred(x, x_zero, 0).op("Conv", _centred(w, w_zero, 0), **window).astype(TensorProto.INT32)


def integer_product(a: Array, b: Array, a_zero: Array = None, b_zero: Array = None) -> Array:
    """MatMulInteger, likewise."""
    product = _centred(a, a_zero, max(a.rank - 2, 0)).op("MatMul", _centred(b, b_zero, b.rank - 1))
    return product.astype(TensorProto.INT32)


def _centred(t: Array, zero: Array, axis: int) -> Array:
    """t - zero, as floats."""
    one = np.ones(() if zero is None or zero.rank == 0 else zero.kind.fixed, np.float32)
    return dequantized(t, t.lift(one), zero, axis=axis)


def product_to_float(
    a: Array, b: Array, a_scale: Array, b_scale: Array, a_zero: Array = None, b_zero: Array = None, bias: Array = None
) -> Array:
    """MatMulIntegerToFloat."""
    rows = dequantized(a, a_scale, a_zero, axis=max(a.rank - 2, 0))
    y = rows.op("MatMul", dequantized(b, b_scale, b_zero, axis=b.rank - 1))
    return y if bias is None else y + bias


def dynamic_product(a: Array, b: Array, b_scale: Array, b_zero: Array = None, bias: Array = None) -> Array:
    """DynamicQuantizeMatMul: a is rounded by its own extremes first."""
    rounded, scale, zero = dynamic_quantize(a)
    return product_to_float(rounded, b, scale, b_scale, zero, b_zero, bias)


def blocked_product(
    a: Array, b: Array, scales: Array, zeros: Array = None, order: Array = None, bias: Array = None,
    *, K: int, N: int, bits: int = 4, block_size: int, **_: Any,
) -> Array:  # fmt: skip
    """MatMulNBits: b (N, blocks, bytes of a block) holds 8 / bits numbers a byte, the first in the lowest bits."""
    if order is not None:
        raise unsupported("its columns are in an order of their own (g_idx)")
    blocks = -(-K // block_size)
    weights = _unpacked(b.reshape(N, -1), bits).reshape(N, blocks * block_size)
    scale = scales.reshape(N, blocks)
    if zeros is not None and zeros.dtype in FLOATS:
        shifted = weights.astype(a.dtype).reshape(N, blocks, block_size) - zeros.reshape(N, blocks, 1)
        wide = (shifted * scale.reshape(N, blocks, 1)).reshape(N, blocks * block_size)
    else:
        middle = np.full((N, blocks), 1 << (bits - 1), np.uint8)
        zero = a.lift(middle) if zeros is None else _unpacked(zeros.reshape(N, -1), bits)[:, :blocks]
        wide = weights.op("DequantizeLinear", scale, zero, axis=1, block_size=block_size)
    y = a.op("MatMul", wide[:, :K].transpose(1, 0))
    return y if bias is None else y + bias


def _unpacked(t: Array, bits: int) -> Array:
    """The numbers in the bytes of a matrix."""
    if bits == 8:
        return t
    mask = np.array((1 << bits) - 1, np.uint8)
    shifts = [t.op("BitShift", np.array(k, np.uint8), direction="RIGHT") if k else t for k in range(0, 8, bits)]
    first, *rest = (shifted.op("BitwiseAnd", mask)[:, :, None] for shifted in shifts)
    return first.op("Concat", *rest, axis=2).reshape(t.shape[0], -1)
