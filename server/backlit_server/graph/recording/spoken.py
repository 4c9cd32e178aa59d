"""How numpy's functions and element types are spelled in ONNX."""

from typing import Any

import numpy as np
from onnx import TensorProto

# numpy's functions, and the operator each one becomes
UFUNCS: dict[Any, str] = {
    np.add: "Add", np.subtract: "Sub", np.multiply: "Mul", np.true_divide: "Div", np.floor_divide: "Div",
    np.power: "Pow", np.negative: "Neg", np.absolute: "Abs", np.sign: "Sign", np.reciprocal: "Reciprocal",
    np.exp: "Exp", np.log: "Log", np.sqrt: "Sqrt", np.floor: "Floor", np.ceil: "Ceil",
    np.sin: "Sin", np.cos: "Cos", np.tan: "Tan", np.sinh: "Sinh", np.cosh: "Cosh", np.tanh: "Tanh",
    np.maximum: "Max", np.minimum: "Min", np.matmul: "MatMul",
    np.greater: "Greater", np.greater_equal: "GreaterOrEqual", np.less: "Less", np.less_equal: "LessOrEqual",
    np.equal: "Equal", np.isnan: "IsNaN",
    np.logical_and: "And", np.bitwise_and: "And", np.logical_or: "Or", np.bitwise_or: "Or",
    np.logical_not: "Not", np.invert: "Not",
}  # fmt: skip

# element types from narrow to wide: of two different ones the wider is taken
WIDTHS = (
    TensorProto.BOOL, TensorProto.UINT8, TensorProto.INT8, TensorProto.UINT16, TensorProto.INT16,
    TensorProto.UINT32, TensorProto.INT32, TensorProto.UINT64, TensorProto.INT64,
    TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.FLOAT, TensorProto.DOUBLE,
)  # fmt: skip
