"""Guided backpropagation and the deconvnet: rows for activations, to be laid over VJPS ({**VJPS, **GUIDED}).

Both keep only what is positive of a gradient. Guided backpropagation also keeps only where the activation's input was
positive (Springenberg et al., "Striving for simplicity", 2015, figure 1); the deconvnet (Zeiler and Fergus,
"Visualizing and understanding convolutional networks", 2014) does not look at the input at all.

The papers know ReLU alone. Here, for every activation like it: guided = f'(x) max(g, 0) where x > 0, else 0; deconvnet
= max(g, 0). For ReLU that is the papers' rule, for ReLU6 and any other Clip from 0 the same with the upper bound as a
mask. Clips from elsewhere, sigmoids and tanh are no such activations and keep their gradient.
"""

from collections.abc import Callable, Mapping
from typing import Any

from backlit_server.graph.overlays.gates import gated
from backlit_server.graph.recording.sym import Array
from backlit_server.graph.rules.masks import where_positive
from backlit_server.graph.vjp import Rule, function_of

# f'(x) = 0 below zero: no further mask is needed, and so the input none
CUT = ("Relu", "ThresholdedRelu")
SMOOTH = ("Celu", "Elu", "Gelu", "HardSwish", "LeakyRelu", "Mish", "PRelu", "Selu", "Softplus", "Swish")


def _guided(base: Callable[..., Any]) -> Rule:
    return lambda g, y, x, *others, **named: _first(base(where_positive(g.op("Relu"), x), y, x, *others, **named))


def _guided_cut(base: Callable[..., Any]) -> Rule:
    return lambda g, y, x, *others, **named: _first(base(g.op("Relu"), y, x, *others, **named))


def _guided_clip(g: Array, y: Array, x: Array, lo: Array, hi: Array) -> Any:
    return function_of("Clip")(g.op("Relu") if _from_zero(lo) else g, y, x, lo, hi)


def _guided_product(g: Array, y: Array, a: Array, b: Array) -> Any:
    activation = gated(a, b)
    return function_of("Mul")(g if activation is None else where_positive(g.op("Relu"), activation.main), y, a, b)


def _open(g: Array, y: Array, x: Array, *others: Array, **_: Any) -> Any:
    return g.op("Relu"), *[None] * len(others)


def _open_clip(g: Array, y: Array, x: Array, lo: Array, hi: Array) -> Any:
    return (g.op("Relu"), None, None) if _from_zero(lo) else function_of("Clip")(g, y, x, lo, hi)


def _open_product(g: Array, y: Array, a: Array, b: Array) -> Any:
    activation = gated(a, b)
    if activation is None:
        return function_of("Mul")(g, y, a, b)
    passed = g.op("Relu") * activation.opened
    return (passed, None) if activation.main is a else (None, passed)


def _from_zero(lo: Array) -> bool:
    return lo is not None and lo.value is not None and bool((lo.value == 0).all())


def _first(parts: Any) -> Any:
    """The gradient of the input; a learned slope has none under these rules."""
    return (parts[0], *[None] * (len(parts) - 1)) if isinstance(parts, tuple) else parts


GUIDED: Mapping[str, Rule] = {
    **{op: _guided(function_of(op)) for op in SMOOTH},
    **{op: _guided_cut(function_of(op)) for op in CUT},
    "Clip": _guided_clip,
    "Mul": _guided_product,
}
DECONVNET: Mapping[str, Rule] = {
    **dict.fromkeys((*SMOOTH, *CUT), _open),
    "Clip": _open_clip,
    "Mul": _open_product,
}
