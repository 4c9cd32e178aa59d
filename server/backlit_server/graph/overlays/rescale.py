"""DeepLIFT's rescale rule: rows that pass back multipliers, the share of a difference for each unit of another.

Shrikumar, Greenside and Kundaje, "Learning important features through propagating activation differences", 2017. The
model is computed twice: what a tensor is for the baseline stands beside it, by its name with REFERENCE before it. Each
row keeps the sum: its output's difference times the multiplier it is given is the sum of its inputs' differences times
those it gives. So the differences of the pixels times theirs add up to that of the score.

    linear operators      their gradient, the same everywhere
    single elements       difference of the output over that of the input (section 3.5.2)
    maxima                whoever won, for the image or the baseline, gets what its winning changed
    products              each factor's difference counts with the mean of the other: also attention, MatMul of two
    activations           written out as products, such as x * sigmoid(x): as single elements

The table is whole: an operator that it does not know is replaced by what defines it, or refused.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from onnx import TensorProto

from backlit_proto.errors import NotDifferentiable
from backlit_server.graph.overlays.gates import gated
from backlit_server.graph.overlays.relevance import MOVES
from backlit_server.graph.overlays.shares import Function
from backlit_server.graph.recording.sym import FLOATS, Array, Sym
from backlit_server.graph.vjp import function_of

REFERENCE = "baseline/"
PLACES = frozenset({TensorProto.BOOL, TensorProto.INT32, TensorProto.INT64})  # types of indices and conditions
NEAR = 1e-6  # of a difference: below it, the gradient stands for the quotient
ELEMENTS = (
    "Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Celu", "Clip", "Cos", "Cosh", "Elu", "Erf", "Exp",
    "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Log", "Mish", "Pow", "PRelu", "QuantizeLinear", "Reciprocal",
    "Relu", "Selu", "Shrink", "Sigmoid", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Swish", "Tan", "Tanh",
    "ThresholdedRelu",
)  # fmt: skip
LARGEST, SMALLEST = ("GlobalMaxPool", "Max", "MaxPool", "ReduceMax"), ("Min", "ReduceMin")
PRODUCTS = ("Conv", "ConvTranspose", "Einsum", "Gemm", "MatMul")
LINEAR = (
    "Add", "AveragePool", "BatchNormalization", "Cast", "CastLike", "Col2Im", "CumSum", "DequantizeLinear", "Dropout",
    "GlobalAveragePool", "Identity", "Mean", "Neg", "ReduceMean", "ReduceSum", "Resize", "Sub", "Sum",
    *(op for op in MOVES if op not in (*LARGEST, *SMALLEST)),
)  # fmt: skip


def reference(x: Any) -> Any:
    """What a tensor is for the baseline: itself where it does not depend on the image; of several, each."""
    if isinstance(x, tuple):
        return tuple(map(reference, x))
    if x is None or REFERENCE + x.name not in x.tape.kinds:
        return x
    return Sym(x.tape, REFERENCE + x.name)


def difference(x: Array) -> Array:
    """Of what it is for the image and for the baseline; of integers that stand for floats too."""
    return _real(x) - _real(reference(x))


def _real(x: Array) -> Array:
    return x if x.dtype in FLOATS else x.astype(TensorProto.FLOAT)


def _linear(op: str) -> Function:
    def rule(g: Any, y: Any, *xs: Array, **named: Any) -> Any:
        if any(x is not None and x.dtype in PLACES and reference(x) is not x for x in xs):
            raise NotDifferentiable("where it takes its elements from depends on the image, unlike for a baseline")
        return function_of(op)(g, y, *xs, **named)

    return rule


def _element(op: str) -> Function:
    def rule(g: Array, y: Array, x: Array, *others: Array, **named: Any) -> Any:
        if any(reference(other) is not other for other in others):
            raise NotDifferentiable("more than one of its inputs depends on the image")
        slope = function_of(op)(g, y, x, *others, **named)
        slope = slope[0] if isinstance(slope, tuple) else slope
        return _quotient(g, y, x, slope() if callable(slope) else slope), *[None] * len(others)

    return rule


def _quotient(g: Array, y: Array, x: Array, near: Array) -> Array:
    """g times the difference of y over that of x; `near` where x hardly differs."""
    moved = difference(x)
    still = abs(moved) < NEAR
    return np.where(still, near, g * difference(y) / np.where(still, 1, moved))


def _winner(op: str, extreme: Callable[..., Array]) -> Function:
    def rule(g: Any, y: Any, *xs: Array, **named: Any) -> tuple[Any, ...]:
        given, made = (g[0], y[0]) if isinstance(y, tuple) else (g, y)
        made, before = _real(made), _real(reference(made))
        crossed = extreme(made, before)

        def shares(part: Array, y: Any, xs: Any) -> tuple[Any, ...]:
            parts = function_of(op)((part, None) if isinstance(y, tuple) else part, y, *xs, **named)
            return parts if isinstance(parts, tuple) else (parts,)

        here = shares(given * (crossed - before), y, xs)
        there = shares(given * (made - crossed), reference(y), reference(xs))
        return tuple(
            None if a is None or b is None else lambda a=a, b=b, x=x: _per_unit(a + b, x)
            for a, b, x in zip(here, there, xs, strict=False)
        )

    return rule


def _per_unit(share: Array, x: Array) -> Array:
    """A share of the output's difference over the difference of the input that it is due to."""
    moved = difference(x)
    return np.where(moved == 0, 0, share / np.where(moved == 0, 1, moved))


def _product(op: str) -> Function:
    """The gradient where the factors are halfway: exact for products of two that differ."""

    def rule(g: Array, y: Array, *xs: Array, **named: Any) -> Any:
        varying = sum(reference(x) is not x for x in xs)
        if varying > 2:
            raise NotDifferentiable("more than two of its factors depend on the image")
        return function_of(op)(g, y, *(xs if varying < 2 else map(_halfway, xs)), **named)

    return rule


def _halfway(x: Array) -> Array:
    return x if reference(x) is x else (x + reference(x)) / 2


def _multiplication(g: Array, y: Array, a: Array, b: Array) -> tuple[Array, Array]:
    left, right = g * _halfway(b), g * _halfway(a)
    activation = gated(a, b)
    if activation is None:
        return left, right
    still = abs(difference(activation.main)) < NEAR
    first = activation.main is a
    main, gate = (left, right) if first else (right, left)
    main, gate = _quotient(g, y, activation.main, main), np.where(still, gate, 0)
    return (main, gate) if first else (gate, main)


def _division(g: Array, y: Array, a: Array, b: Array) -> tuple[Callable[[], Array], ...]:
    """a / b as the product of a and 1 / b."""
    inverse, other = 1 / b, 1 / reference(b)
    return lambda: g * (inverse + other) / 2, lambda: -g * _halfway(a) * inverse * other


def _softmax(g: Array, y: Array, x: Array, axis: int) -> Array:
    """e / sum(e), e = exp(x - c), where one c serves image and baseline: the largest of both."""
    other = reference(x)
    shift = np.maximum(x, other).max(axis, keepdims=True)
    e, before = np.exp(x - shift), np.exp(other - shift)
    total, whole = e.sum(axis, keepdims=True), before.sum(axis, keepdims=True)
    each = g * (1 / total + 1 / whole) / 2
    all_ = (g * (e + before)).sum(axis, keepdims=True) / (2 * total * whole)
    moved = x - other
    still = abs(moved) < NEAR
    return (each - all_) * np.where(still, e, (e - before) / np.where(still, 1, moved))


RESCALE: Mapping[str, Function] = {
    **{op: _linear(op) for op in LINEAR},
    **{op: _element(op) for op in ELEMENTS},
    **{op: _winner(op, np.maximum) for op in LARGEST},
    **{op: _winner(op, np.minimum) for op in SMALLEST},
    **{op: _product(op) for op in PRODUCTS},
    "Div": _division,
    "Mul": _multiplication,
    "Softmax": _softmax,
}
