"""Names of nodes: ONNX lets them be absent or shared, ONNX Runtime refuses the latter."""

from collections import Counter

from onnx import GraphProto

from backlit_server.graph.spelling.reads import subgraphs


def name_apart(graph: GraphProto) -> None:
    """Gives nodes that share a name one of their own, in place; absent names stay absent."""
    shared = {name for name, count in Counter(node.name for node in graph.node if node.name).items() if count > 1}
    taken = {node.name for node in graph.node}
    for node in graph.node:
        if node.name in shared:
            node.name = _free(node.name, taken)
            taken.add(node.name)
        for inner in subgraphs(node):
            name_apart(inner)


def _free(name: str, taken: set[str]) -> str:
    return next(wish for k in range(len(taken) + 1) if (wish := f"{name}~{k}") not in taken)
