"""What lies between the default layer and the scores, in one of four kinds that methods can be chosen by."""

from collections.abc import Container
from dataclasses import dataclass, field

import numpy as np
from onnx import ModelProto, NodeProto

from backlit_server.graph.cut import cut
from backlit_server.graph.reading.layers import Layer
from backlit_server.graph.reading.linear import POOLINGS, linear_weights
from backlit_server.graph.reading.paths import on_paths
from backlit_server.graph.reading.wiring import Wiring

POOLING_LINEAR = "pooling + linear"
CONVOLUTION_POOLING = "convolution + pooling"
FLATTEN_DENSE = "flatten + dense"
OTHER = "other"
MATRICES = frozenset(("Conv", "Gemm", "MatMul"))
# What a head of dense layers may hold besides them.
PLAIN = frozenset((
    "Add", "AveragePool", "BatchNormalization", "Cast", "Clip", "DequantizeLinear", "Div", "Dropout", "Elu", "Flatten",
    "Gelu", "Gemm", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "MatMul", "MaxPool", "Mul", "PRelu",
    "QuantizeLinear", "Relu", "Reshape", "Selu", "Sigmoid", "Squeeze", "Sub", "Tanh", "Transpose",
))  # fmt: skip


@dataclass(frozen=True)
class Head:
    """`kind` is one of the four above, `operators` are those between layer and scores, in order, each once.

    `linear` (channels, classes) are the weights behind global pooling, None where the head is another.
    """

    kind: str
    explanation: str
    operators: tuple[str, ...]
    linear: np.ndarray | None = field(default=None, repr=False, compare=False)


def head(model: ModelProto, wires: Wiring, layer: Layer, scores: str, batched: Container[str]) -> Head:
    """The kind of head behind a layer. Linearity is not read off the graph but measured (linear.py)."""
    path = on_paths(wires, scores)
    between = [wires.nodes[k] for k in sorted(wires.downstream([layer.name]) & wires.upstream([scores]))]
    nodes = [node for node in between if not path.isdisjoint(node.output)]
    operators = tuple(dict.fromkeys(node.op_type for node in nodes))
    weights = linear_weights(cut(model, layer.name, scores, batched), layer.view, scores)
    if weights is None:
        return Head(*_not_linear(wires, nodes), operators)
    if _one_map_a_class(weights):
        why = f"each of the {len(weights)} maps belongs to one class, and its mean is the score"
        return Head(CONVOLUTION_POOLING, why, operators, weights)
    channels, classes = weights.shape
    why = f"the mean of each of {channels} maps goes through one linear layer to {classes} scores"
    return Head(POOLING_LINEAR, why, operators, weights)


def _one_map_a_class(weights: np.ndarray) -> bool:
    channels, classes = weights.shape
    return channels == classes and np.allclose(weights, np.eye(channels), rtol=0, atol=1e-5)


def _not_linear(wires: Wiring, nodes: list[NodeProto]) -> tuple[str, str]:
    operators = [node.op_type for node in nodes]
    matrices = [name for name in operators if name in MATRICES]
    listed = ", ".join(dict.fromkeys(operators))
    if any(_pools_all(wires, node) for node in nodes):
        return OTHER, f"behind the pooling the scores are not linear in the mean of the features: {listed}"
    if matrices and PLAIN.issuperset(operators):
        return FLATTEN_DENSE, f"the features keep their places and go through {_count(matrices)}"
    return OTHER, f"the features reach the scores through {listed}"


def _pools_all(wires: Wiring, node: NodeProto) -> bool:
    """Whether a node leaves one position of many."""
    before, after = (wires.kinds[name].shape or () for name in (node.input[0], node.output[0]))
    return node.op_type in POOLINGS and before[2:] != (1, 1) and after[2:] in ((), (1, 1))


def _count(matrices: list[str]) -> str:
    return "one dense layer" if len(matrices) == 1 else f"{len(matrices)} dense layers"
