"""Layer-wise relevance propagation: tables for `differentiate` whose rows pass back relevance instead of a gradient.

The seed is the relevance of the scores, usually a score itself in the place of its class; `grad/<x>` is then the
relevance of x. Bach et al., "On pixel-wise explanations for non-linear classifier decisions by layer-wise relevance
propagation", 2015; for what transformers add, Achtibat et al., "AttnLRP", 2024. Each table is whole: an operator that
it does not know is refused, rather than passed with its gradient. Tables combine as dicts do, by kind of layer and by
depth in composites.py. Batch norms belong into the convolutions before them first (`merged` in spelling/merge.py).
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from backlit_proto.errors import BadQuestion
from backlit_server.graph.overlays.gates import gated
from backlit_server.graph.overlays.shares import (
    Function,
    Weighted,
    shared,
    shared_by_factors,
    shared_by_weights,
    stable,
)
from backlit_server.graph.recording.sym import Array
from backlit_server.graph.vjp import function_of

SUMS = ("Add", "AveragePool", "CumSum", "GlobalAveragePool", "Mean", "ReduceMean", "ReduceSum", "Resize", "Sub", "Sum")
Table = Mapping[str, Function]
CONVOLUTIONS = ("Conv", "ConvTranspose")
WEIGHTED = (*CONVOLUTIONS, "Gemm", "MatMul")
# Relevance moves as a gradient does: to where an element came from, or to the element that won.
MOVES = (
    "Compress", "Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "GatherElements", "GatherND", "GlobalMaxPool",
    "Max", "MaxPool", "MaxUnpool", "Min", "Pad", "ReduceMax", "ReduceMin", "Reshape", "ReverseSequence", "Slice",
    "SpaceToDepth", "Split", "Squeeze", "Tile", "TopK", "Transpose", "Trilu", "Unsqueeze", "Where",
)  # fmt: skip
# The first input takes all: functions of single elements, and normalisations (AttnLRP, proposition 3.4).
PASSES = (
    "Abs", "Cast", "CastLike", "Celu", "Clip", "DequantizeLinear", "Div", "Dropout", "Elu", "Erf", "Exp", "Gelu",
    "HardSigmoid", "HardSwish", "Identity", "InstanceNormalization", "LayerNormalization",
    "LeakyRelu", "Log", "LpNormalization", "LRN", "Mish", "Neg", "Pow", "PRelu", "QuantizeLinear", "Relu",
    "RMSNormalization", "Selu", "Sigmoid", "Softplus", "Softsign", "Sqrt", "Swish", "Tanh", "ThresholdedRelu",
)  # fmt: skip


STABLE = 1e-6  # keeps from zero what weights are divided by where no epsilon is asked for


def lrp_epsilon(epsilon: float = 1e-6) -> Table:
    """R_i = sum_j x_i w_ij / (z_j + epsilon sign(z_j)) R_j (Bach et al. 2015, equation 58); epsilon 0 is LRP-0."""
    return {
        **{op: function_of(op) for op in MOVES},
        **dict.fromkeys(PASSES, _passed),
        **{op: shared(op, epsilon) for op in SUMS},
        **{op: shared_by_factors(op, epsilon) for op in WEIGHTED},
        "BatchNormalization": _batch_normalization(epsilon),
        "Einsum": shared_by_factors("Einsum", epsilon, None),
        "Mul": _product,
        "Softmax": _softmax,
    }


def lrp_gamma(gamma: float = 0.25, epsilon: float = 1e-6) -> Table:
    """The epsilon rule, where what has the sign of z counts 1 + gamma times.

    Montavon et al., "Layer-wise relevance propagation: an overview", 2019, for inputs that are not negative; the form
    for all inputs is that of Andeol et al., "Learning domain invariant representations by joint Wasserstein distance
    minimization", 2021.
    """

    def formula(g: Array, node: Weighted) -> Array:
        up, down = _signed(node.x)
        above = node.shared(np.where(node.y > 0, g, 0), [(up, more), (down, less)], epsilon)
        return above + node.shared(np.where(node.y > 0, 0, g), [(up, less), (down, more)], epsilon)

    def more(w: Array) -> Array:
        return w + gamma * np.maximum(w, 0)

    def less(w: Array) -> Array:
        return w + gamma * np.minimum(w, 0)

    return _with_formula(formula, epsilon)


def lrp_alpha_beta(alpha: float = 2.0, beta: float = 1.0, epsilon: float = 1e-6) -> Table:
    """alpha times what contributed, in proportion, less beta times what opposed (Bach et al. 2015, equation 60)."""
    if beta < 0 or abs(alpha - beta - 1) > 1e-6:
        raise BadQuestion(f"relevance is kept only where alpha - beta = 1 and beta >= 0, not with {alpha=}, {beta=}")

    def formula(g: Array, node: Weighted) -> Array:
        up, down = _signed(node.x)
        made = alpha * node.shared(g, [(up, _positive), (down, _negative)], epsilon)
        return made - beta * node.shared(g, [(up, _negative), (down, _positive)], epsilon) if beta else made

    return _with_formula(formula, epsilon)


def lrp_z_plus(epsilon: float = 1e-6) -> Table:
    """What contributed alone: alpha 1, beta 0.

    Montavon et al., "Explaining nonlinear classification decisions with deep Taylor decomposition", 2017.
    """
    return lrp_alpha_beta(1.0, 0.0, epsilon)


def lrp_flat() -> Table:
    """To all inputs alike, whatever their values and weights: for a first layer (Lapuschkin et al. 2019)."""

    def formula(g: Array, node: Weighted) -> Array:
        ones = node.x.zeros() + 1
        return node.without_bias.shared(g, [(ones, lambda w: w.zeros() + 1)], 0)

    return _with_formula(formula, STABLE)


def lrp_box(low: tuple[float, ...] = (), high: tuple[float, ...] = ()) -> Table:
    """In proportion to how far an input is from the bound that opposes its weight: for a first layer of pixels.

    z_ij = x_i w_ij - low_i w_ij+ - high_i w_ij- (Montavon et al. 2017, section 4.2, z^B). Bounds are numbers of the
    layer's input, one or one a channel; none: the smallest and the largest value of each image.
    """
    sizes = {len(low), len(high)} - {0, 1}
    if len(sizes) > 1 or (low and high and not np.less(low, high).all()):
        raise BadQuestion(f"low and high are one number or one a channel, low the lesser; not {low} and {high}")

    def formula(g: Array, node: Weighted) -> Array:
        axes = range(1, node.x.rank)
        below = _bound(node.x, low) if low else node.x.zeros() + node.x.min(axes, keepdims=True)
        above = _bound(node.x, high) if high else node.x.zeros() + node.x.max(axes, keepdims=True)
        return node.shared(g, [(node.x, lambda w: w), (-below, _positive), (-above, _negative)], STABLE)

    return _with_formula(formula, STABLE)


def _bound(x: Array, values: tuple[float, ...]) -> Array:
    """As many as x has elements, the same in a channel (axis 1)."""
    if len(values) not in (1, x.shape[1]):
        raise BadQuestion(f"low and high are one number, or one for each of {x.shape[1]} channels, not {len(values)}")
    column = np.array(values, np.float32).reshape(-1, *[1] * (x.rank - 2))
    return x.zeros() + x.lift(column).astype(x.dtype)


def _with_formula(formula: Callable[[Array, Weighted], Array], epsilon: float) -> Table:
    """The table of the epsilon rule, with another formula where weights are constant."""
    return {**lrp_epsilon(epsilon), **{op: shared_by_weights(op, formula, epsilon) for op in WEIGHTED}}


def _signed(x: Array) -> tuple[Array, Array]:
    return _positive(x), _negative(x)


def _positive(x: Array) -> Array:
    return np.maximum(x, 0)


def _negative(x: Array) -> Array:
    return np.minimum(x, 0)


def _passed(g: Any, y: Any, x: Array, *others: Array, **_: Any) -> tuple[Any, ...]:
    return g[0] if isinstance(g, tuple) else g, *[None] * len(others)


def _product(g: Array, y: Array, a: Array, b: Array) -> tuple[Any, ...]:
    """A gate gets nothing of its own activation; factors that both vary get half each (AttnLRP, proposition 3.2)."""
    activation = gated(a, b)
    if activation is not None:
        return (g, None) if activation.main is a else (None, g)
    return (g, g) if a.constant or b.constant else (g / 2, g / 2)


def _softmax(g: Array, y: Array, x: Array, axis: int) -> Array:
    """x (R - y sum R) (AttnLRP, proposition 3.1); nothing to what is masked by -inf."""
    return np.where(y > 0, x * (g - y * g.sum(axis, keepdims=True)), 0)


def _batch_normalization(epsilon: float) -> Function:
    """One that could not be merged: a linear map of its own."""

    base = function_of("BatchNormalization")

    def rule(g: Any, y: Any, x: Array, *others: Array, **attributes: Any) -> Any:
        parts = base((g[0] / stable(y[0], epsilon), None, None), y, x, *others, **attributes)
        return x * parts[0](), *[None] * len(others)

    return rule
