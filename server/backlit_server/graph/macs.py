"""MACS: the multiply-accumulate operations of a node, one row an operator; the others add, compare or move.

A row is a function of the shapes of the node's inputs and outputs and of the node itself. Counted as everywhere: one
for each product that is added up, biases and elementwise work not among them.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from math import prod

from onnx import GraphProto, NodeProto, helper

from backlit_server.graph.gradient_path import label
from backlit_server.graph.recording.kinds import Kind, kinds_of
from backlit_server.graph.spelling.reads import subgraphs

Shapes = Sequence[tuple[int, ...]]
Row = Callable[[Shapes, Shapes, NodeProto], int]


def convolution(weight: int) -> Row:
    """Each element of the output is a sum over one filter; `weight` is its position among the inputs."""
    return lambda x, y, node: prod(y[0]) * prod(x[weight][1:])


def matrix_product(a: int, b: int) -> Row:
    """Each element of the output is a sum over the last axis of input `a`; a vector `b` leaves no axis behind."""
    return lambda x, y, node: prod(y[0]) * x[a][-1]


def _transposed_convolution(x: Shapes, y: Shapes, node: NodeProto) -> int:
    return prod(x[0]) * prod(x[1][1:])


def _gemm(x: Shapes, y: Shapes, node: NodeProto) -> int:
    turned = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return prod(y[0]) * x[0][0 if turned else 1]


def _einsum(x: Shapes, y: Shapes, node: NodeProto) -> int:
    equation = next(helper.get_attribute_value(a) for a in node.attribute if a.name == "equation").decode()
    terms = equation.replace(" ", "").split("->")[0].split(",")
    sizes = {letter: n for term, shape in zip(terms, x, strict=True) for letter, n in zip(term, shape, strict=True)}
    return prod(sizes.values())


def _recurrent(x: Shapes, y: Shapes, node: NodeProto) -> int:
    """W (directions, gates * hidden, input) and R (directions, gates * hidden, hidden), once a step and row."""
    return prod(x[0][:2]) * (prod(x[1]) + prod(x[2]))


# fmt: off
MACS: Mapping[str, Row] = {
    "Conv":                                 convolution(1),
    "ConvInteger":                          convolution(1),
    "ConvTranspose":                        _transposed_convolution,
    "DeformConv":                           convolution(1),
    "Einsum":                               _einsum,
    "GRU":                                  _recurrent,
    "Gemm":                                 _gemm,
    "LSTM":                                 _recurrent,
    "MatMul":                               matrix_product(0, 1),
    "MatMulInteger":                        matrix_product(0, 1),
    "QLinearConv":                          convolution(3),
    "QLinearMatMul":                        matrix_product(0, 3),
    "RNN":                                  _recurrent,
    "com.microsoft.FusedConv":              convolution(1),
    "com.microsoft.FusedGemm":              _gemm,
    "com.microsoft.FusedMatMul":            matrix_product(0, 1),
}
# fmt: on


def macs(graph: GraphProto) -> tuple[int, Counter[str]]:
    """The sum over a graph whose sizes are known, and how many nodes of which operators could not be counted.

    Those are nodes of open sizes, and those with graphs inside, which run as often as the input says.
    """
    kinds = dict(kinds_of(graph))
    counted = [(label(node), _macs(node, kinds)) for node in graph.node]
    return sum(count or 0 for _, count in counted), Counter(op for op, count in counted if count is None)


def _macs(node: NodeProto, kinds: Mapping[str, Kind]) -> int | None:
    if any(subgraphs(node)):
        return None
    if label(node) not in MACS:
        return 0
    taken, made = (_shapes(names, kinds) for names in (node.input, node.output[:1]))
    return None if taken is None or made is None else MACS[label(node)](taken, made, node)


def _shapes(names: Sequence[str], kinds: Mapping[str, Kind]) -> list[tuple[int, ...]] | None:
    """The shapes of tensors, () for an absent one; None where a size is free."""
    found = [kinds[name].fixed if name in kinds else None if name else () for name in names]
    known = [shape for shape in found if shape is not None]
    return known if len(known) == len(found) else None
