"""Operators that ONNX Runtime makes of several when it optimises a file, taken apart again."""

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto

from backlit_proto.errors import NotDifferentiable
from backlit_server.graph.recording.sym import Array

NHWC_TO_NCHW, NCHW_TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)
# fmt: off
ACTIVATIONS: dict[str, Callable[..., Array]] = {
    "":            lambda x: x,
    "Clip":        lambda x, low, high: x.clip(low, high),
    "Elu":         lambda x, alpha: x.op("Elu", alpha=alpha),
    "HardSigmoid": lambda x, alpha, beta: x.op("HardSigmoid", alpha=alpha, beta=beta),
    "LeakyRelu":   lambda x, alpha: x.op("LeakyRelu", alpha=alpha),
    "Relu":        lambda x: x.op("Relu"),
    "Sigmoid":     lambda x: x.op("Sigmoid"),
    "Softplus":    lambda x: x.op("Softplus"),
    "Tanh":        lambda x: x.op("Tanh"),
}
# fmt: on


def unsupported(why: str) -> NotDifferentiable:
    """What a row raises for a form of its operator that it cannot write; the node then stays as it is."""
    return NotDifferentiable(why)


def activated(x: Array, activation: str, parameters: list[float]) -> Array:
    if activation not in ACTIVATIONS:
        raise unsupported(f"its activation is {activation}")
    return ACTIVATIONS[activation](x, *parameters)


def channels_first(x: Array, compute: Callable[[Array], Array]) -> Array:
    """What an operator for NCHW makes of a tensor that is NHWC, and leaves NHWC."""
    last = x.rank - 1
    return compute(x.transpose(0, last, *range(1, last))).transpose(0, *range(2, last + 1), 1)


def convolution(
    x: Array, w: Array, bias: Array = None, added: Array = None,
    activation: str = "", activation_params: list[float] | None = None, **window: Any,
) -> Array:  # fmt: skip
    """FusedConv: activation(Conv(x, w) + bias + added)."""
    y = x.op("Conv", w, bias, **window)
    return activated(y if added is None else y + added, activation, activation_params or [])


def nhwc_convolution(x: Array, w: Array, bias: Array = None, added: Array = None, **attributes: Any) -> Array:
    """NhwcConv and NhwcFusedConv; their kernels are OIHW or OHWI, which the number of channels tells apart."""
    channels = [size * attributes.get("group", 1) == x.shape[-1] for size in (w.shape[1], w.shape[-1])]
    if sum(channels) != 1:
        raise unsupported("the order of its kernel's axes cannot be told")
    kernel = w if channels[0] else w.transpose(NHWC_TO_NCHW)
    beside = None if added is None else added.transpose(NHWC_TO_NCHW)
    return channels_first(x, lambda t: convolution(t, kernel, bias, beside, **attributes))


def gemm(
    a: Array, b: Array, c: Array = None, activation: str = "", activation_alpha: float | None = None,
    activation_beta: float | None = None, activation_gamma: float | None = None, **attributes: Any,
) -> Array:  # fmt: skip
    """FusedGemm: activation(Gemm(a, b, c))."""
    given = [p for p in (activation_alpha, activation_beta, activation_gamma) if p is not None]
    return activated(a.op("Gemm", b, c, **attributes), activation, given)


def matrix_product(
    a: Array, b: Array, alpha: float = 1.0, transA: int = 0, transB: int = 0,
    transBatchA: int = 0, transBatchB: int = 0,
) -> Array:  # fmt: skip
    """FusedMatMul: alpha * a @ b, each turned before."""
    y = _turned(a, transA, transBatchA).op("MatMul", _turned(b, transB, transBatchB))
    return y if alpha == 1 else y * alpha


def _turned(t: Array, last: int, batch: int) -> Array:
    """The last two axes exchanged, and the first axis moved behind the batch axes."""
    if t.rank < 2 or not (last or batch):
        return t
    order = list(range(t.rank))
    if batch:
        order = [*order[1:-1], 0, order[-1]]
    if last:
        order[-2:] = reversed(order[-2:])
    return t.transpose(order)


def activated_product(a: Array, b: Array, *, activation: str, **attributes: Any) -> Array:
    """FusedMatMulActivation."""
    names = ("activation_alpha", "activation_beta", "activation_gamma")
    given = [attributes.pop(name) for name in names if name in attributes]
    attributes.pop("activation_axis", None)
    return activated(matrix_product(a, b, **attributes), activation, given)


def gelu(x: Array) -> Array:
    return x.op("Gelu")


def bias_gelu(x: Array, bias: Array) -> Array:
    return gelu(x + bias)


def fast_gelu(x: Array, bias: Array = None) -> Array:
    return (x if bias is None else x + bias).op("Gelu", approximate="tanh")


def quick_gelu(x: Array, alpha: float = 1.702) -> Array:
    return x * (x * alpha).op("Sigmoid")


def bias_split_gelu(x: Array, bias: Array) -> Array:
    """The first half of the last axis times the Gelu of the second."""
    value, gate = (x + bias).op("Split", outputs=2, axis=-1, num_outputs=2)
    return value * gelu(gate)


def bias_softmax(x: Array, bias: Array, *, axis: int = 1, is_inner_broadcast: int = 1) -> Array:
    """Softmax of x + bias, all axes from `axis` on counted as one; what is_inner_broadcast says lies in the shapes."""
    return flat_softmax(x + bias, axis)


def flat_softmax(x: Array, axis: int) -> Array:
    """Softmax over all axes from `axis` on together."""
    if axis % x.rank == x.rank - 1:
        return x.op("Softmax", axis=-1)
    return x.op("Flatten", axis=axis % x.rank).op("Softmax", axis=-1).shaped_as(x)


def bias_dropout(x: Array, bias: Array, residual: Array = None, *_: Any, **__: Any) -> tuple[Array, None]:
    """Dropout of a model that is used, not trained: nothing is dropped."""
    return (x + bias if residual is None else x + bias + residual), None


def max_pool(x: Array, **window: Any) -> Array:
    """NhwcMaxPool."""
    return channels_first(x, lambda t: t.op("MaxPool", **window))


def expand_dims(x: Array, axis: Array) -> Array:
    return x.op("Unsqueeze", axis.astype(TensorProto.INT64).reshape(1))


def crop(x: Array, *, border: list[int], scale: list[int] | None = None) -> Array:
    """Crop of opset 1: border is left, top, right, bottom; `scale` is the height and width that are left."""
    left, top, right, bottom = border
    if scale:
        return x[:, :, top : top + scale[0], left : left + scale[1]]
    return x[:, :, top : -bottom or None, left : -right or None]


def image_scaler(x: Array, *, scale: float = 1.0, bias: list[float]) -> Array:
    """ImageScaler of opset 1: x * scale + a number for each channel."""
    return x * scale + x.lift(np.array(bias, np.float32).reshape(-1, 1, 1)).astype(x.dtype)
