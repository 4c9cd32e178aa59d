"""What each node adds of its own to the score, beside what its inputs bring: g y - sum of x dy/dx g.

Srinivas and Fleuret, "Full-gradient representation for neural network visualization", 2019: the terms of all nodes and
x . g of the image add up to the score, exactly (proposition 4). Constants that are added are explicit biases; what an
activation has off the line of its slope is an implicit one (definition 3).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from backlit_server.graph.overlays.rescale import ELEMENTS
from backlit_server.graph.recording.sym import Array
from backlit_server.graph.vjp import function_of


@dataclass(frozen=True)
class Node:
    """A node with the gradient g of its output y; `varying` tells which of its inputs depend on the image."""

    op: str
    g: Array
    y: Array
    inputs: Sequence[Array]
    varying: Sequence[bool]
    attributes: Mapping[str, Any]
    outputs: int  # how many the operator has

    @property
    def parts(self) -> tuple[Any, ...]:
        """The gradients of the inputs, as functions where they are not yet made."""
        absent = (None,) * (self.outputs - 1)
        results = ((self.g, *absent), (self.y, *absent)) if absent else (self.g, self.y)
        made = function_of(self.op)(*results, *self.inputs, **self.attributes)
        return made if isinstance(made, tuple) else (made,)


Term = Callable[[Node], Array | None]


def _added(node: Node) -> Array | None:
    """A constant operand, wherever it is added."""
    constants = [(x, sign) for x, sign, v in zip(node.inputs, _signs(node), node.varying, strict=True) if not v]
    terms = [node.g * x * sign for x, sign in constants]
    return sum(terms[1:], terms[0]) if terms else None


def _signs(node: Node) -> list[int]:
    return [-1 if node.op == "Sub" and k else 1 for k in range(len(node.inputs))]


def _channels(node: Node) -> Array | None:
    """A bias of channels, the third input of a convolution."""
    bias = node.inputs[2]
    return None if bias is None else node.g * bias.reshape(-1, *[1] * (node.y.rank - 2))


def _gemm(node: Node) -> Array | None:
    c = node.inputs[2]
    return None if c is None else node.g * c * node.attributes["beta"]


def _last(node: Node) -> Array | None:
    bias = node.inputs[2]
    return None if bias is None else node.g * bias


def _batch_normalization(node: Node) -> Array:
    x, scale, shift, mean, variance = node.inputs
    own = shift - scale * mean / np.sqrt(variance + node.attributes["epsilon"])
    return node.g * own.reshape(-1, *[1] * (x.rank - 2))


def _element(node: Node) -> Array:
    """How far an element lies off the line of its slope, and for normalisations of all slopes."""
    part = node.parts[0]
    return node.g * node.y - node.inputs[0] * (part() if callable(part) else part)


def _product(node: Node) -> Array | None:
    """Two factors that vary bring y each."""
    return -node.g * node.y if sum(node.varying[:2]) == 2 else None


def _quotient(node: Node) -> Array | None:
    surplus = node.varying[1] - node.varying[0] + 1
    return node.g * node.y * surplus if surplus else None


def _extremum(node: Node) -> Array | None:
    """A bound that is reached is a constant that is passed on."""
    if all(node.varying):
        return None
    parts = [p() if callable(p) else p for p in node.parts]
    terms = [p * x for p, x, v in zip(parts, node.inputs, node.varying, strict=True) if not v]
    return sum(terms[1:], terms[0])


def _joined(node: Node) -> Array:
    """Constants beside what varies, such as a class token, where they lie."""
    parts = [p() if callable(p) else p for p in node.parts]
    brought = [x.zeros() if v else x * p for x, p, v in zip(node.inputs, parts, node.varying, strict=True)]
    return np.concatenate(brought, node.attributes["axis"])


EXPLICIT: Mapping[str, Term] = {
    **dict.fromkeys(("Add", "Sub", "Sum"), _added),
    **dict.fromkeys(("Conv", "ConvTranspose"), _channels),
    "BatchNormalization": _batch_normalization,
    "Concat": lambda node: None if all(node.varying) else _joined(node),
    "Gemm": _gemm,
    "LayerNormalization": _last,
}
STRAIGHT = ("Abs", "LeakyRelu", "PRelu", "QuantizeLinear", "Relu")  # through zero: nothing is off the line
IMPLICIT: Mapping[str, Term] = {
    **dict.fromkeys((op for op in ELEMENTS if op not in STRAIGHT), _element),
    **dict.fromkeys(("InstanceNormalization", "LayerNormalization", "LpNormalization", "LRN"), _element),
    **dict.fromkeys(("RMSNormalization", "Softmax"), _element),
    **dict.fromkeys(("Einsum", "MatMul", "Mul"), _product),
    **dict.fromkeys(("Max", "Min"), _extremum),
    "Div": _quotient,
    "ReduceSumSquare": lambda node: -node.g * node.y,
}
