"""VJPS: how a gradient passes an operator, one row each.

A row is a function of the gradient `g` of the node's output, the output `y`, the inputs, and the attributes (with the
schema's defaults); it returns one gradient for each input, or a single one where there is only one to give. None
says that the derivative is zero; a function in place of a gradient is called only if that gradient is wanted. Where the
operator's schema allows several outputs, `g` and `y` are tuples, with None for what is absent. Rows need not undo
broadcasting, nor repeat what they left small: the walk does (recording/broadcast.py). A row may also be, or return, a
Definition: the operator written with others, whose rows then give its gradients.

A variant is this table plus rows: {**VJPS, **GUIDED}; they build on rows of this one by `function_of` (overlays/).

At a kink: Relu'(0) = 0, Abs'(0) = 0, a Clip passes the gradient on its bounds (but for 0 and 6: that is ReLU6, which
does not), equal maxima share it, a MaxPool gives it to the first.
"""

from collections.abc import Callable, Mapping
from math import pi, sqrt
from typing import Any

import numpy as np

from backlit_server.graph.rules import (
    control,
    conv,
    elementwise,
    fourier,
    linear,
    moves,
    norm,
    pool,
    quantised,
    sampling,
    scatter,
    tables,
)
from backlit_server.graph.rules.definition import Definition
from backlit_server.graph.rules.deform import deform_conv
from backlit_server.graph.rules.masks import where_positive
from backlit_server.graph.rules.reduce import product, reduction, shared
from backlit_server.graph.rules.resize import resize

Rule = Callable[..., Any] | Definition

# fmt: off
VJPS: Mapping[str, Rule] = {
    # element by element
    "Abs":                   lambda g, y, x: g * np.sign(x),
    "Acos":                  lambda g, y, x: -g / np.sqrt(1 - x * x),
    "Acosh":                 lambda g, y, x: g / np.sqrt(x * x - 1),
    "Add":                   lambda g, y, a, b: (g, g),
    "Asin":                  lambda g, y, x: g / np.sqrt(1 - x * x),
    "Asinh":                 lambda g, y, x: g / np.sqrt(x * x + 1),
    "Atan":                  lambda g, y, x: g / (1 + x * x),
    "Atanh":                 lambda g, y, x: g / (1 - x * x),
    "Cast":                  lambda g, y, x, **_: g,
    "CastLike":              lambda g, y, x, like, **_: (g, None),
    "Celu":                  lambda g, y, x, alpha: np.where(x > 0, g, g * np.exp(x / alpha)),
    "Clip":                  elementwise.clip,
    "Cos":                   lambda g, y, x: -g * np.sin(x),
    "Cosh":                  lambda g, y, x: g * np.sinh(x),
    "Div":                   lambda g, y, a, b: (g / b, -g * y / b),
    "Dropout":               elementwise.dropout,
    "Elu":                   lambda g, y, x, alpha: np.where(x > 0, g, g * (y + alpha)),
    "Erf":                   lambda g, y, x: g * (2 / sqrt(pi)) * np.exp(-x * x),
    "Exp":                   lambda g, y, x: g * y,
    "Gelu":                  lambda g, y, x, approximate: g * elementwise.GELU_SLOPES[approximate](x),
    "HardSigmoid":           lambda g, y, x, alpha, beta: np.where((y > 0) & (y < 1), g * alpha, 0),
    "HardSwish":             lambda g, y, x: np.where(abs(x) < 3, g * (x / 3 + 0.5), np.where(x > 0, g, 0)),
    "Identity":              lambda g, y, x: g,
    "LeakyRelu":             lambda g, y, x, alpha: np.where(x > 0, g, g * alpha),
    "Log":                   lambda g, y, x: g / x,
    "Max":                   elementwise.extremum,
    "Mean":                  lambda g, y, *xs: (g / len(xs),) * len(xs),
    "Min":                   elementwise.extremum,
    "Mish":                  elementwise.mish,
    "Mod":                   elementwise.modulo,
    "Mul":                   lambda g, y, a, b: (g * b, g * a),
    "Neg":                   lambda g, y, x: -g,
    "Pow":                   elementwise.power,
    "PRelu":                 lambda g, y, x, slope: (np.where(x < 0, g * slope, g), np.where(x < 0, g * x, 0)),
    "Reciprocal":            lambda g, y, x: -g * y * y,
    "Relu":                  lambda g, y, x: where_positive(g, y),
    "Selu":                  lambda g, y, x, alpha, gamma: np.where(x > 0, g * gamma, g * (y + alpha * gamma)),
    "Shrink":                lambda g, y, x, lambd, bias: np.where(abs(x) > lambd, g, 0),
    "Sigmoid":               lambda g, y, x: g * y * (1 - y),
    "Sin":                   lambda g, y, x: g * np.cos(x),
    "Sinh":                  lambda g, y, x: g * np.cosh(x),
    "Softplus":              lambda g, y, x: g * x.op("Sigmoid"),
    "Softsign":              lambda g, y, x: g / (1 + abs(x)) ** 2,
    "Sqrt":                  lambda g, y, x: g / (2 * y),
    "Sub":                   lambda g, y, a, b: (g, -g),
    "Sum":                   lambda g, y, *xs: (g,) * len(xs),
    "Swish":                 elementwise.swish,
    "Tan":                   lambda g, y, x: g * (1 + y * y),
    "Tanh":                  lambda g, y, x: g * (1 - y * y),
    "ThresholdedRelu":       lambda g, y, x, alpha: np.where(x > alpha, g, 0),
    "Where":                 lambda g, y, c, a, b: (None, np.where(c, g, 0), np.where(c, 0, g)),

    # sums and products
    "Col2Im":                conv.col2im,
    "Conv":                  conv.conv,
    "ConvTranspose":         conv.conv_transpose,
    "CumProd":               linear.cumulative_product,
    "CumSum":                linear.cumulative_sum,
    "Det":                   linear.determinant,
    "DFT":                   fourier.dft,
    "Einsum":                linear.einsum,
    "Gemm":                  linear.gemm,
    "MatMul":                linear.matmul,
    "Range":                 linear.arithmetic_sequence,
    "STFT":                  Definition(fourier.stft),
    "Resize":                resize,

    # images between their pixels
    "DeformConv":            Definition(deform_conv),
    "GridSample":            Definition(sampling.grid_sample),
    "MaxRoiPool":            Definition(pool.max_roi_pool),
    "RoiAlign":              Definition(sampling.roi_align),

    # pools and reductions
    "AveragePool":           pool.average_pool,
    "GlobalAveragePool":     lambda g, y, x: g / x.size_of(range(2, x.rank)),
    "GlobalLpPool":          lambda g, y, x, p: pool.p_norm(g, y, x, p),
    "GlobalMaxPool":         pool.global_max_pool,
    "LpPool":                pool.lp_pool,
    "MaxPool":               pool.max_pool,
    "ReduceL1":              reduction(lambda g, y, x, over: g * np.sign(x)),
    "ReduceL2":              reduction(lambda g, y, x, over: g * x / (y + (y == 0))),
    "ReduceLogSum":          reduction(lambda g, y, x, over: g / np.exp(y)),
    "ReduceLogSumExp":       reduction(lambda g, y, x, over: g * np.exp(x - y)),
    "ReduceMax":             reduction(shared),
    "ReduceMean":            reduction(lambda g, y, x, over: g / over.count),
    "ReduceMin":             reduction(shared),
    "ReduceProd":            reduction(product),
    "ReduceSum":             reduction(lambda g, y, x, over: g),
    "ReduceSumSquare":       reduction(lambda g, y, x, over: 2 * g * x),

    # normalisations
    "BatchNormalization":    norm.batch_normalization,
    "InstanceNormalization": norm.instance_normalization,
    "LayerNormalization":    norm.layer_normalization,
    "LogSoftmax":            lambda g, y, x, axis: g - np.exp(y) * g.sum(axis, keepdims=True),
    "LpNormalization":       norm.lp_normalization,
    "LRN":                   norm.local_response_normalization,
    "RMSNormalization":      norm.rms_normalization,
    "Softmax":               norm.softmax,

    # elements moved, none changed
    "Compress":              moves.moved("Compress"),
    "Concat":                moves.concat,
    "DepthToSpace":          moves.depth_to_space,
    "Expand":                lambda g, y, x, shape: g,
    "Flatten":               lambda g, y, x, **_: g.shaped_as(x),
    "Gather":                moves.gather,
    "GatherElements":        lambda g, y, x, indices, axis: moves.scatter_add(x.dims, indices, g, axis=axis),
    "GatherND":              moves.moved("GatherND"),
    "MaxUnpool":             scatter.max_unpool,
    "OneHot":                scatter.one_hot,
    "OptionalGetElement":    lambda g, y, x: g,
    "Pad":                   moves.pad,
    "Reshape":               lambda g, y, x, shape, **_: g.shaped_as(x),
    "ReverseSequence":       lambda g, y, x, lengths, **axes: g.op("ReverseSequence", lengths, **axes),
    "ScatterElements":       scatter.scatter_elements,
    "ScatterND":             scatter.scatter_nd,
    "Slice":                 moves.slice_,
    "SpaceToDepth":          lambda g, y, x, blocksize, **_: g.op("DepthToSpace", blocksize=blocksize),
    "Split":                 lambda g, y, x, split, axis, **_: moves.joined(g, y, axis),
    "Squeeze":               lambda g, y, x, axes: g.shaped_as(x),
    "TensorScatter":         scatter.tensor_scatter,
    "Tile":                  moves.tile,
    "TopK":                  lambda g, y, x, k, axis, **_: moves.scatter_add(x.dims, y[1], g[0], axis=axis),
    "Transpose":             moves.transpose,
    "Trilu":                 lambda g, y, x, k, upper: g.op("Trilu", k, upper=upper),
    "Unique":                scatter.unique,
    "Unsqueeze":             lambda g, y, x, axes: g.shaped_as(x),

    # ai.onnx.ml: as in models of scikit-learn
    "ai.onnx.ml.ArrayFeatureExtractor": tables.array_feature_extractor,
    "ai.onnx.ml.FeatureVectorizer":     tables.feature_vectorizer,
    "ai.onnx.ml.Imputer":               tables.imputer,
    "ai.onnx.ml.LinearClassifier":      Definition(tables.linear_classifier),
    "ai.onnx.ml.LinearRegressor":       Definition(tables.linear_regressor),
    "ai.onnx.ml.Normalizer":            Definition(tables.normalizer),
    "ai.onnx.ml.Scaler":                tables.scaler,

    # branches and loops
    "If":                    control.branches,
    "Loop":                  control.loop,
    "Scan":                  control.scan,

    # quantised: the gradient of the numbers that the integers stand for
    "DequantizeLinear":      quantised.dequantize,
    "QuantizeLinear":        quantised.quantize,
}
# fmt: on

# What these do to their input is found by running them again, on its positions or on an identity matrix; some of them
# only where no shorter way is known.
REPLAYED = frozenset({"Compress", "Gather", "GatherND", "Pad", "Resize", "Slice", "TensorScatter"})

# Their integers stand for the floats they were made of: the gradient passes as if nothing had been rounded.
ROUNDED = frozenset({"QuantizeLinear"})


def function_of(op: str) -> Callable[..., Any]:
    """The row of an operator, to build a modified rule on; those that are Definitions have none of their own."""
    row = VJPS[op]
    if isinstance(row, Definition):
        raise TypeError(f"{op} is written with other operators: modify their rows")
    return row
