"""A head that computes the scores of the asked classes alone.

A last dense layer of 1,000 classes is megabytes of weights that each run would read, for the five rows
that are asked for: a tenth of a forward pass of EfficientNet-Lite0.
"""

from collections.abc import Callable

from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper

CLASSES = "classes"
MADE = "narrow/"  # before the name of what is picked from a weight


def narrowed(head: ModelProto, scores: str) -> ModelProto:
    """The head with a further input `classes` (int64), its scores (rows, classes asked for); or the head as it is.

    Only where the scores are made by a Gemm or MatMul (and an Add) whose weights lie in the model.
    """
    copy = ModelProto()
    copy.CopyFrom(head)
    graph = copy.graph
    picks: list[NodeProto] = []
    by_class = all(len(o.type.tensor_type.shape.dim) == 2 for o in graph.output if o.name == scores)
    if not by_class or not _narrow(graph, scores, picks):
        return head
    others = list(graph.node)
    del graph.node[:]
    graph.node.extend([*picks, *others])
    graph.input.append(helper.make_tensor_value_info(CLASSES, TensorProto.INT64, [CLASSES]))
    for value in (*graph.output, *graph.value_info):
        if value.name in (scores, *between(graph, scores)):
            width = value.type.tensor_type.shape.dim[-1]
            width.Clear()
            width.dim_param = CLASSES
    return copy


def _narrow(graph: GraphProto, name: str, picks: list[NodeProto]) -> bool:
    """Makes the tensor hold the asked classes only, in place; False where the graph was left as it is."""
    node = next((n for n in graph.node if name in n.output), None)
    return node is not None and node.op_type in NARROWINGS and NARROWINGS[node.op_type](graph, node, picks)


def _gemm(graph: GraphProto, node: NodeProto, picks: list[NodeProto]) -> bool:
    rows = next((a.i for a in node.attribute if a.name == "transB"), 0)
    if not all(_dims(graph, name) for name in node.input[1:]):
        return False
    for k, name in enumerate(node.input[1:], 1):
        dims = _dims(graph, name)
        if k == 1 or dims[-1] != 1:
            node.input[k] = _picked(name, 0 if k == 1 and rows else len(dims) - 1, picks)
    return True


def _matmul(graph: GraphProto, node: NodeProto, picks: list[NodeProto]) -> bool:
    if len(_dims(graph, node.input[1])) != 2:
        return False
    node.input[1] = _picked(node.input[1], 1, picks)
    return True


def _add(graph: GraphProto, node: NodeProto, picks: list[NodeProto]) -> bool:
    constant = next((k for k in (0, 1) if _dims(graph, node.input[k])), None)
    if constant is None or not _narrow(graph, node.input[1 - constant], picks):
        return False
    dims = _dims(graph, node.input[constant])
    if dims[-1] != 1:
        node.input[constant] = _picked(node.input[constant], len(dims) - 1, picks)
    return True


NARROWINGS: dict[str, Callable[[GraphProto, NodeProto, list[NodeProto]], bool]] = {
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Add": _add,
}


def _dims(graph: GraphProto, name: str) -> tuple[int, ...]:
    """The shape of a weight, () for a tensor that is none."""
    return next((tuple(t.dims) for t in graph.initializer if t.name == name), ())


def _picked(weight: str, axis: int, picks: list[NodeProto]) -> str:
    """The classes' part of a weight."""
    picks.append(helper.make_node("Gather", [weight, CLASSES], [MADE + weight], axis=axis))
    return MADE + weight


def between(graph: GraphProto, scores: str) -> list[str]:
    """The tensor between MatMul and Add."""
    return [name for node in graph.node if scores in node.output and node.op_type == "Add" for name in node.input]
