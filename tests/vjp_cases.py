"""One node or more for every row of VJPS: its inputs, its attributes, and what may stay unknown of it.

Rows about windows, places between pixels and transforms are in vjp_cases_images.py.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx


@dataclass(frozen=True)
class Case:
    """A node. An input is a shape (filled at random), an array, or None.

    `free` says the shapes of which inputs may stay unknown, `constant` which inputs are always part of the model.
    """

    inputs: tuple[Any, ...]
    attributes: dict[str, Any]
    within: tuple[float, float]
    outputs: int
    free: tuple[int, ...]
    constant: tuple[int, ...]
    opset: int


def case(*inputs: Any, within=(-2.0, 2.0), outputs=1, free=(0,), constant=(), opset=21, **attributes: Any) -> Case:
    return Case(inputs, attributes, within, outputs, free, constant, opset)


def ints(*values: Any) -> np.ndarray:
    return np.array(values[0] if len(values) == 1 else values, np.int64)


X = (2, 3, 4)
IMAGE = (2, 3, 7, 6)
TRUE, FALSE = np.array(True), np.array(False)
ZEROS = np.array([[2, 0, 3, 4], [0, 3, 0, 2], [1, 2, 3, 0]], np.float32)
MASK = np.array([[True, False, True], [False, False, True]])

CASES: dict[str, list[Case]] = {
    "Abs": [case(X)],
    "Acos": [case(X, within=(-0.8, 0.8))],
    "Acosh": [case(X, within=(1.2, 3))],
    "Add": [case(X, (3, 1)), case((4,), X, free=(1,)), case((), X)],
    "Asin": [case(X, within=(-0.8, 0.8))],
    "Asinh": [case(X)],
    "Atan": [case(X)],
    "Atanh": [case(X, within=(-0.8, 0.8))],
    "BatchNormalization": [
        case(IMAGE, (3,), (3,), (3,), np.array([0.5, 1.0, 2.0], np.float32)),
        case(IMAGE, (3,), (3,), (3,), np.array([0.5, 1.0, 2.0], np.float32), training_mode=1, momentum=0.7, outputs=3),
    ],
    "Cast": [case(X, to=onnx.TensorProto.DOUBLE)],
    "CastLike": [case(X, (1,))],
    "Celu": [case(X, alpha=1.5)],
    "Clip": [
        case(X, np.float32(-1), np.float32(1)),
        case(X, np.float32(-1)),
        case(X, None, np.float32(0.5)),
        case(X, np.float32(1), np.float32(-1)),
        case(X, np.float32(0), np.float32(6), within=(-4, 10), constant=(1, 2)),
    ],
    "Compress": [case((3, 4), np.array([True, False, True]), axis=0), case((2, 2), np.array([False, True, True]))],
    "Concat": [case(X, (2, 1, 4), axis=1), case(X, (2, 3, 2), X, axis=-1, free=(0, 1, 2)), case(X, axis=0)],
    "Cos": [case(X)],
    "Cosh": [case(X)],
    "CumProd": [
        case(X, ints(1), opset=26),
        case(X, ints(-1), exclusive=1, reverse=1, opset=26),
        case(ZEROS, ints(1), opset=26),
        case(ZEROS, ints(1), exclusive=1, reverse=1, opset=26),
    ],
    "CumSum": [case(X, ints(1)), case(X, ints(-1), exclusive=1, reverse=1)],
    "DepthToSpace": [case((2, 8, 2, 3), blocksize=2), case((2, 8, 2, 3), blocksize=2, mode="CRD")],
    "DequantizeLinear": [case(np.array([[1, -7], [100, 3]], np.int8), np.float32(0.25), np.int8(3))],
    "Det": [case((2, 2)), case((2, 1, 5, 5)), case((1, 1)), case(np.array([[1, 2], [2, 4]], np.float32))],
    "Div": [case(X, (3, 1), within=(0.5, 2))],
    "Dropout": [case(X), case(X, np.float32(0.4), FALSE, free=())],
    "Einsum": [
        case((2, 3), (3, 4), equation="ij,jk->ik"),
        case((2, 5, 3), (2, 3, 4), equation="bij,bjk"),
        case((2, 3, 4), equation="ijk->j"),
        case((2, 5, 3, 4), (2, 5, 4, 2), equation="...ij,...jk->...ik"),
        case((3,), (4,), equation="i,j->"),
        case((2, 3, 3), equation="...ii->...i"),
        case((3, 3), (3, 2, 2), equation="ii,ijj->ij"),
    ],
    "Elu": [case(X, alpha=0.7)],
    "Erf": [case(X)],
    "Exp": [case(X)],
    "Expand": [case((3, 1), ints(2, 3, 4))],
    "Flatten": [case(X, axis=2), case(X, axis=0)],
    "Gather": [
        case(X, ints([[0, 2], [2, 2]]), axis=1),
        case(X, ints(-1, 0, 1, -1), axis=0),
        case((4,), np.array([[2, -4], [2, 1]], np.int32)),
        case(X, ints(1), axis=1),
        case(X, ints(-1), axis=2),
        case(X, ints([0]), axis=0),
        case(X, ints([[1]]), axis=1),
    ],
    "GatherElements": [case((3, 2), ints([[0, 2], [0, 1]]), axis=0)],
    "GatherND": [case(X, ints([[0, 1], [1, 2]])), case(X, ints([[1], [0]]), batch_dims=1)],
    "Gelu": [case(X), case(X, approximate="tanh")],
    "Gemm": [
        case((2, 3), (3, 4), (4,)),
        case((3, 2), (4, 3), (2, 1), transA=1, transB=1, alpha=0.5, beta=2.0),
        case((3, 2), (3, 4), transA=1),
        case((2, 3), (4, 3), (), transB=1),
    ],
    "GlobalAveragePool": [case(IMAGE)],
    "GlobalLpPool": [case(IMAGE, p=3), case(IMAGE, p=1)],
    "GlobalMaxPool": [case(IMAGE)],
    "HardSigmoid": [case(X, alpha=0.3, beta=0.4)],
    "HardSwish": [case(X, within=(-5, 5))],
    "Identity": [case(X)],
    "If": [],  # it holds graphs: see test_control.py
    "InstanceNormalization": [case(IMAGE, (3,), (3,))],
    "LRN": [case((2, 5, 2, 2), size=3, alpha=0.3, beta=0.6, bias=1.2, free=())],
    "LayerNormalization": [case(X, (4,), (4,)), case(X, (3, 4), axis=1, outputs=3)],
    "LeakyRelu": [case(X, alpha=0.2)],
    "Log": [case(X, within=(0.5, 3))],
    "LogSoftmax": [case(X), case(X, axis=1)],
    "Loop": [],  # it holds graphs: see test_control.py
    "LpNormalization": [case(X, axis=1, p=2), case(X, axis=-1, p=1)],
    "LpPool": [case(IMAGE, kernel_shape=[2, 3], strides=[2, 2], p=3), case(IMAGE, kernel_shape=[2, 2], p=1)],
    "MatMul": [
        case((2, 3), (3, 4)),
        case((2, 5, 3), (3, 4)),
        case((2, 1, 5, 3), (4, 3, 2)),
        case((3,), (2, 3, 4)),
        case((2, 4, 3), (3,)),
        case((3,), (3,)),
    ],
    "Max": [case(X, (3, 1), (4,)), case(X)],
    "Mean": [case(X, (3, 1), (4,))],
    "Min": [case(X, (3, 1))],
    "Mish": [case(X)],
    "Mod": [case(X, (4,), fmod=1, within=(1.0, 3.0))],
    "Mul": [case(X, (3, 1)), case((2, 3, 1), (1, 4), free=())],
    "Neg": [case(X)],
    "OneHot": [case(ints([[0, 2], [1, -1]]), ints(3), (2,), axis=1, free=(2,))],
    "OptionalGetElement": [],  # of a tensor it is folded: see test_sequences.py
    "PRelu": [case(X, (3, 1))],
    "Pad": [
        case(X, ints(0, 1, 0, 1, 0, 2)),
        case(X, ints(1, 2), np.float32(0.5), ints([-1])),
        case(X, ints(0, -1, 1, 0, 0, -1)),
        case(X, ints(0, 1, 2, 0, 1, 1), mode="reflect"),
        case(X, ints(0, 1, 2, 0, 1, 1), mode="edge"),
        case(X, ints(-1, 1), None, ints([1]), mode="edge"),
        case(X, ints(0, 1, 2, 0, 1, 1), mode="wrap"),
    ],
    "Pow": [
        case(X, (4,), within=(0.3, 2)),
        case(X, np.float32(2), constant=(1,)),
        case(X, ints(3)),
        case(X, np.float32(0), constant=(1,)),
    ],
    "QuantizeLinear": [],  # a staircase: see test_quantised_tensors_pass_the_gradient_within_their_range
    "RMSNormalization": [case(X, (3, 4), axis=1, opset=23)],
    "Range": [case(np.float32(1), np.float32(7), np.float32(2.5), free=())],
    "Reciprocal": [case(X, within=(0.5, 2))],
    "ReduceL1": [case(X, ints([1]))],
    "ReduceL2": [case(X, ints([1, 2]), keepdims=0), case(X)],
    "ReduceLogSum": [case(X, ints([-1]), within=(0.5, 2))],
    "ReduceLogSumExp": [case(X, ints([0, 2]), keepdims=0)],
    "ReduceMax": [case(X, ints([1]), keepdims=0), case(X, keepdims=0)],
    "ReduceMean": [case(X, ints([0, -1])), case(X, keepdims=0), case(X, noop_with_empty_axes=1)],
    "ReduceMin": [case(X, ints([2]))],
    "ReduceProd": [case(X, ints([1])), case(np.array([[1, 0, 2], [0, 3, 0], [4, 5, 6]], np.float32), ints([1]))],
    "ReduceSum": [case(X, ints([1]), keepdims=0), case(X, ints([-2])), case(X)],
    "ReduceSumSquare": [case(X, ints([0]))],
    "Relu": [case(X)],
    "Reshape": [case(X, ints(4, -1)), case(X, ints(0, 12))],
    "ReverseSequence": [case((4, 3), ints(2, 4, 1), time_axis=0, batch_axis=1)],
    "Scan": [],  # it holds graphs: see test_control.py
    "ScatterElements": [
        case(X, ints([[[0, 3, 1]]]), (1, 1, 3), axis=2),
        case(X, ints([[[0, 3, 0]]]), (1, 1, 3), axis=2, reduction="add"),
        case(X, ints([[[0, 3, 0]]]), (1, 1, 3), axis=2, reduction="mul", within=(0.5, 2)),
        case((5,), ints(0, 3, 0, 3), np.array([2, 0, 0, 0], np.float32), reduction="mul"),
        case(X, ints([[[0, 3, 0]]]), (1, 1, 3), axis=-1, reduction="max"),
        case(X, ints([[[0, 3, 0]]]), (1, 1, 3), axis=-1, reduction="min"),
    ],
    "ScatterND": [
        case(X, ints([[0, 1], [1, 2]]), (2, 4)),
        case(X, ints([[0, 1], [0, 1]]), (2, 4), reduction="add"),
        case(X, ints([[0, 1], [0, 1]]), (2, 4), reduction="max"),
    ],
    "Selu": [case(X)],
    "Shrink": [case(X, lambd=0.6, bias=0.2)],
    "Sigmoid": [case(X)],
    "Sin": [case(X)],
    "Sinh": [case(X)],
    "Slice": [
        case(X, ints([1]), ints([3]), ints([2])),
        case(X, ints([-2, 0]), ints([100, -1]), ints([2, 1])),
        case(X, ints([3]), ints([-100]), ints([2]), ints([-2])),
        case(X, ints([0, 1]), ints([2, 3])),
    ],
    "Softmax": [case(X), case(X, axis=1)],
    "Softplus": [case(X)],
    "Softsign": [case(X)],
    "SpaceToDepth": [case((2, 2, 4, 6), blocksize=2)],
    "Split": [case(X, ints(1, 2), axis=1, outputs=2), case(X, axis=-1, num_outputs=2, outputs=2)],
    "Sqrt": [case(X, within=(0.5, 2))],
    "Squeeze": [case((2, 1, 3), ints([1])), case((2, 1, 3), free=())],
    "Sub": [case(X, (4,))],
    "Sum": [case(X, (3, 1), (4,))],
    "Swish": [case(X, alpha=1.3, opset=24)],
    "Tan": [case(X, within=(-1, 1))],
    "Tanh": [case(X)],
    "ThresholdedRelu": [case(X, alpha=0.5)],
    "TensorScatter": [
        case((2, 1, 4, 3), (2, 1, 2, 3), ints(1, 2), opset=24),
        case((2, 4, 3), (2, 2, 3), ints(3, 2), axis=1, mode="circular", opset=24),
    ],
    "Tile": [case((2, 3), ints(2, 3))],
    "TopK": [case(X, ints([2]), axis=1, outputs=2)],
    "Transpose": [case(X, perm=[2, 0, 1]), case(X)],
    "Trilu": [case((3, 4), ints(1)), case((2, 3, 3), upper=0)],
    "Unique": [case((5,), outputs=2), case((4, 2), axis=0, sorted=0)],
    "Unsqueeze": [case((2, 3), ints(0, 2))],
    "Where": [case(MASK, (2, 3), (3,))],
}
