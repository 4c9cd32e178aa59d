"""One node or more for every row of LOWERINGS: inputs, attributes, and where ONNX Runtime has no kernel its formula."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lowering_formulas import (
    attended,
    attended_by_pairs,
    gelu,
    group_norm,
    mean_of_bytes,
    nhwc_conv,
    softmax,
    tanh_gelu,
)

rng = np.random.default_rng(7)


@dataclass(frozen=True)
class Case:
    """A node. Floats and quantised tensors that are not in `constant` are inputs of the model; None is absent.

    `formula` stands in for ONNX Runtime where it has no kernel on the CPU.
    """

    inputs: tuple[np.ndarray | None, ...]
    attributes: dict[str, Any]
    constant: tuple[int, ...]
    outputs: int
    formula: Callable[..., Any] | None
    domain: str


def case(*inputs: Any, constant=(), outputs=1, formula=None, domain="com.microsoft", **attributes: Any) -> Case:
    drawn = tuple(normal(*x) if isinstance(x, tuple) else x for x in inputs)
    return Case(drawn, attributes, tuple(constant), outputs, formula, domain)


def normal(*shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32)


def bytes_of(*shape: int, low=40, high=215) -> np.ndarray:
    return rng.integers(low, high, shape).astype(np.uint8)


def signed(*shape: int, most=90) -> np.ndarray:
    return rng.integers(-most, most, shape).astype(np.int8)


def number(value: float) -> np.ndarray:
    return np.array(value, np.float32)


def whole(*values: Any, dtype: Any = np.int32) -> np.ndarray:
    return np.array(values, dtype)


U128, U0, I0 = np.array(128, np.uint8), np.array(0, np.uint8), np.array(0, np.int8)
X, S = bytes_of(2, 3, 6, 5), number(0.02)  # floats of about -1.8 to 1.8
Y = (number(0.05), U128)
KERNELS, STEPS = signed(4, 3, 3, 3), np.array([0.01, 0.02, 0.015, 0.005], np.float32)
BIAS = whole(*rng.integers(-4000, 4000, 4))
ROWS, COLUMNS = bytes_of(2, 4, 6), signed(6, 5)
LONG = np.array([[1, 1, 1, 0], [1, 1, 0, 0]], np.int32)
QKV, HEADS = (normal(8, 24), normal(24)), dict[str, Any](num_heads=2)
POSITIVE = normal(2, 2, 2) + 4 * np.eye(2, dtype=np.float32)
NIBBLES, ZEROS = rng.integers(0, 256, (5, 2, 8)).astype(np.uint8), rng.integers(0, 256, (5, 1)).astype(np.uint8)

CASES: dict[str, list[Case]] = {
    "ConvInteger": [
        case(X, bytes_of(4, 3, 3, 3), U128, U128, constant=(1,), domain="", pads=[1, 1, 1, 1]),
        case(X, KERNELS, U128, constant=(1,), domain=""),
    ],
    "DynamicQuantizeLinear": [case((2, 3, 4), outputs=3, domain="")],
    "GroupNormalization": [
        case((2, 4, 3, 5), (4,), (4,), domain="", num_groups=2),
        case((2, 4, 3), (4,), (4,), domain="", num_groups=4),
    ],
    "MatMulInteger": [
        case(ROWS, COLUMNS, U128, constant=(1,), domain=""),
        case(ROWS, COLUMNS, U128, I0, constant=(1,), domain=""),
    ],
    "QLinearConv": [
        case(X, S, U128, KERNELS, STEPS, np.zeros(4, np.int8), *Y, BIAS, constant=(3, 8), domain="", pads=[1, 1, 1, 1]),
        case(X, S, U128, KERNELS, number(0.01), I0, *Y, constant=(3,), domain="", strides=[2, 2]),
    ],
    "QLinearMatMul": [
        case(ROWS, S, U128, COLUMNS, number(0.01), I0, *Y, constant=(3,), domain=""),
        case(ROWS, S, U128, bytes_of(2, 6, 3), S, U128, number(0.1), U128, domain=""),
    ],
    "com.microsoft.DequantizeLinear": [case(X, S, U128), case(X, STEPS[:3], np.full(3, 128, np.uint8), axis=1)],
    "com.microsoft.DynamicQuantizeMatMul": [
        case((2, 4, 6), COLUMNS, STEPS[:1], np.zeros(1, np.int8), (5,), constant=(1,)),
    ],
    "com.microsoft.MatMulIntegerToFloat": [
        case(ROWS, COLUMNS, S, number(0.01), U128, I0, (5,), constant=(1,)),
        case(ROWS, COLUMNS, S, np.linspace(0.01, 0.02, 5, dtype=np.float32), U128, constant=(1,)),
    ],
    "com.microsoft.MatMulNBits": [
        case((2, 3, 32), NIBBLES, (10,), constant=(1,), K=32, N=5, bits=4, block_size=16),
        case((2, 3, 30), NIBBLES, (10,), ZEROS, None, (5,), constant=(1, 3), K=30, N=5, bits=4, block_size=16),
        case((2, 3, 32), NIBBLES, (10,), (10,), constant=(1, 3), K=32, N=5, bits=4, block_size=16),
        case((2, 3, 32), bytes_of(5, 2, 16), (10,), constant=(1,), K=32, N=5, bits=8, block_size=16),
    ],
    "com.microsoft.QAttention": [
        case(bytes_of(2, 4, 8), signed(8, 24), (24,), S, number(0.01), None, U128, I0, constant=(1,), **HEADS),
    ],
    "com.microsoft.QGemm": [
        case(ROWS[0], S, U128, COLUMNS, number(0.01), I0, whole(1, -90, 800, 3, 4), *Y, constant=(3, 6)),
        case(ROWS[0], S, U128, COLUMNS.T.copy(), number(0.01), I0, constant=(3,), transB=1, alpha=0.5),
    ],
    "com.microsoft.QLinearAdd": [case(X, S, U128, bytes_of(2, 3, 1, 1), S, U128, *Y)],
    "com.microsoft.QLinearAveragePool": [
        case(X, S, U128, number(0.01), U128, kernel_shape=[3, 2], strides=[2, 1]),
        case(X, S, U128, number(0.01), U128, kernel_shape=[2, 2], channels_last=1),
    ],
    "com.microsoft.QLinearConcat": [case(*Y, X, S, U128, bytes_of(2, 1, 6, 5), number(0.01), U128, axis=1)],
    "com.microsoft.QLinearConv": [
        case(X, S, U128, signed(4, 5, 1, 1), number(0.01), I0, *Y, constant=(3,), channels_last=1),
    ],
    "com.microsoft.QLinearGlobalAveragePool": [
        case(X, S, U128, number(0.005), U128),
        case(X, S, U128, number(0.005), U128, channels_last=1),
    ],
    "com.microsoft.QLinearLeakyRelu": [case(X, S, U128, number(0.02), U0, alpha=0.2)],
    "com.microsoft.QLinearMul": [case(X, S, U128, bytes_of(3, 1, 1), S, U128, *Y)],
    "com.microsoft.QLinearReduceMean": [
        case(X, S, U128, number(0.01), U128, axes=[2, 3], keepdims=0, formula=mean_of_bytes),
    ],
    "com.microsoft.QLinearSigmoid": [case(X, S, U128, number(1 / 256), U0)],
    "com.microsoft.QLinearSoftmax": [
        case(ROWS, S, U128, number(1 / 256), U0, axis=-1, opset=13),
        case(ROWS, S, U128, number(1 / 256), U0, axis=1, opset=11),
    ],
    "com.microsoft.QLinearWhere": [
        case(rng.random((2, 4, 6)) > 0.5, ROWS, S, U128, bytes_of(2, 4, 6), number(0.01), U128, *Y, constant=(0,)),
    ],
    "com.microsoft.QuantizeLinear": [case((2, 3, 4), S, U128)],
    "com.microsoft.Affine": [case((2, 3), domain="", alpha=2.0, beta=0.5)],
    "com.microsoft.Attention": [
        case((2, 4, 8), *QKV, **HEADS),
        case((2, 4, 8), *QKV, LONG, unidirectional=1, **HEADS),
        case((2, 4, 8), *QKV, whole(3, 2), **HEADS),
        case((2, 4, 8), *QKV, None, None, (1, 2, 4, 4), scale=0.3, **HEADS),
        case((2, 4, 8), (8, 20), (20,), qkv_hidden_sizes=[8, 8, 4], **HEADS),
    ],
    "com.microsoft.BiasAdd": [case((2, 5, 4), (4,), (2, 5, 4), formula=lambda x, b, s: x + b + s)],
    "com.microsoft.BiasDropout": [
        case((2, 5, 4), (4,), (2, 5, 4), formula=lambda x, b, s: x + b + s),
        case((2, 5, 4), (4,), formula=lambda x, b: x + b),
    ],
    "com.microsoft.BiasGelu": [case((2, 5, 4), (4,))],
    "com.microsoft.BiasSoftmax": [
        case((2, 3, 4, 5), (2, 1, 1, 5), axis=3, is_inner_broadcast=1, formula=lambda x, b: softmax(x + b, (3,))),
        case((2, 3, 4, 5), (1, 3, 4, 5), axis=2, is_inner_broadcast=0, formula=lambda x, b: softmax(x + b, (2, 3))),
    ],
    "com.microsoft.BiasSplitGelu": [
        case((2, 5, 8), (8,), formula=lambda x, b: (x + b)[..., :4] * gelu((x + b)[..., 4:])),
    ],
    "com.microsoft.Crop": [
        case((2, 3, 6, 5), domain="", border=[1, 2, 0, 1]),
        case((2, 3, 6, 5), domain="", border=[1, 2, 1, 1], scale=[2, 3]),
    ],
    "com.microsoft.EmbedLayerNormalization": [
        case(whole([1, 2, 0], [3, 3, 1]), whole([0, 0, 1], [0, 1, 1]), (5, 4), (6, 4), (2, 4), (4,), (4,),
             whole([1, 1, 0], [1, 1, 1]), constant=(0, 1, 7), outputs=2),
        case(whole([1, 2, 0], [3, 3, 1]), None, (5, 4), (6, 4), None, (4,), (4,), constant=(0,), outputs=2),
    ],
    "com.microsoft.ExpandDims": [case((2, 3), np.array(-1, np.int32), constant=(1,))],
    "com.microsoft.FastGelu": [case((2, 5, 4), (4,)), case((2, 5, 4))],
    "com.microsoft.FusedConv": [
        case((2, 3, 6, 5), (4, 3, 3, 3), (4,), activation="Relu", pads=[1, 1, 1, 1]),
        case((2, 3, 6, 5), (4, 3, 3, 3), (4,), (2, 4, 4, 3), activation="Relu"),
        case((2, 3, 6, 5), (4, 3, 3, 3), activation="LeakyRelu", activation_params=[0.2], strides=[2, 2]),
        case((2, 3, 6, 5), (4, 3, 1, 1), activation="Clip", activation_params=[-2.0, 2.0]),
        case((2, 3, 6, 5), (4, 3, 1, 1), activation="HardSigmoid", activation_params=[0.2, 0.5]),
    ],
    "com.microsoft.FusedGemm": [
        case((3, 4), (5, 4), (5,), activation="Relu", transB=1),
        case((3, 4), (4, 5), (5,), activation="LeakyRelu", activation_alpha=0.2, alpha=0.5),
    ],
    "com.microsoft.FusedMatMul": [
        case((2, 4, 3), (2, 5, 4), transA=1, transB=1, alpha=0.5),
        case((4, 2, 3), (2, 3, 5), transBatchA=1),
        case((4, 2, 3), (2, 4, 5), transBatchA=1, transA=1),
    ],
    "com.microsoft.FusedMatMulActivation": [
        case((2, 4), (4, 3), activation="Relu", alpha=0.5, formula=lambda a, b: np.maximum(a @ b / 2, 0)),
    ],
    "com.microsoft.GatherND": [case((3, 4), whole([0, 1], [2, 3]), constant=(1,))],
    "com.microsoft.Gelu": [case((2, 5))],
    "com.microsoft.GemmFastGelu": [
        case((2, 5, 4), (4, 3), (3,), formula=lambda x, w, b: tanh_gelu(x @ w + b)),
    ],
    "com.microsoft.GroupNorm": [
        case((2, 3, 3, 4), (4,), (4,), groups=2, activation=1, formula=group_norm),
    ],
    "com.microsoft.ImageScaler": [case((2, 3, 4, 4), domain="", scale=0.5, bias=[0.1, 0.2, 0.3])],
    "com.microsoft.Inverse": [
        case(POSITIVE),
        case(np.linalg.inv(normal(2, 3, 3) + 4 * np.eye(3)).astype(np.float32)),
        case(number(2.0).reshape(1, 1)),
    ],
    "com.microsoft.LayerNormalization": [case((2, 3, 4), (4,), (4,), domain="", axis=-1)],
    "com.microsoft.MultiHeadAttention": [
        case((2, 4, 8), (2, 5, 8), (2, 5, 6), (22,), outputs=3, **HEADS),
        case((2, 4, 8), (2, 5, 8), (2, 5, 8), None, whole([1, 1, 1, 1, 0], [1, 0, 1, 1, 1]), **HEADS),
        case((2, 4, 2, 3, 4), formula=lambda t: attended(*np.moveaxis(t, 3, 0)), **HEADS),
        case((2, 4, 8), (2, 5, 2, 2, 4), formula=attended_by_pairs, **HEADS),
        case((2, 4, 8), (2, 2, 5, 4), (2, 2, 5, 4), scale=0.2, **HEADS),
        case((2, 4, 8), (2, 4, 8), (2, 4, 8), None, None, (2, 2, 4, 4), unidirectional=1, **HEADS),
    ],
    "com.microsoft.NhwcConv": [case((2, 3, 4, 5), (6, 1, 1, 5), (6,), formula=nhwc_conv)],
    "com.microsoft.NhwcFusedConv": [
        case((2, 3, 4, 5), (6, 1, 1, 5), (6,), activation="Relu", formula=lambda *x: np.maximum(nhwc_conv(*x), 0)),
    ],
    "com.microsoft.NhwcMaxPool": [case(X, kernel_shape=[2, 2], strides=[2, 2])],
    "com.microsoft.Pad": [case((2, 3), whole(1, 0, 0, 2, dtype=np.int64), number(0.5), constant=(1,))],
    "com.microsoft.ParametricSoftplus": [case((2, 3), domain="", alpha=0.5, beta=2.0)],
    "com.microsoft.QuickGelu": [case((2, 3)), case((2, 3), alpha=1.0)],
    "com.microsoft.Range": [
        case(number(1), number(3), number(0.6), constant=(1,)),
        case(number(1), number(2.5), constant=(1,)),
    ],
    "com.microsoft.RotaryEmbedding": [
        case((2, 3, 8), whole([0, 1, 2], [2, 3, 4], dtype=np.int64), (6, 2), (6, 2), constant=(1,)),
        case((2, 3, 8), whole(1, dtype=np.int64), (6, 2), (6, 2), constant=(1,), interleaved=1),
        case((2, 2, 3, 4), whole(1, dtype=np.int64), (6, 2), (6, 2), constant=(1,)),
    ],
    "com.microsoft.Scale": [case((2, 3), domain="", scale=2.0)],
    "com.microsoft.ScaledTanh": [case((2, 3), domain="", alpha=0.5, beta=2.0)],
    "com.microsoft.SimplifiedLayerNormalization": [case((2, 3, 4), (4,), domain="", axis=-1, outputs=2)],
    "com.microsoft.SkipGroupNorm": [
        case((2, 3, 3, 4), (4,), (4,), (2, 4), (4,), groups=2, activation=1, outputs=2,
             formula=lambda x, s, b, k, a: (group_norm(x + k[:, None, None] + a, s, b), x + k[:, None, None] + a)),
    ],
    "com.microsoft.SkipLayerNormalization": [
        case((2, 3, 4), (2, 3, 4), (4,), (4,), (4,)),
        case((2, 3, 4), (3, 4), (4,)),
    ],
    "com.microsoft.SkipSimplifiedLayerNormalization": [case((2, 3, 4), (2, 3, 4), (4,), (4,))],
    "com.microsoft.TransposeMatMul": [case((2, 4, 3), (2, 5, 4), transA=1, transB=1)],
    "com.microsoft.Trilu": [case((2, 4, 3), upper=0), case((4, 3), np.array(1, np.int64), constant=(1,))],
}  # fmt: skip
