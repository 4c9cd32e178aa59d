"""Nodes in an order in which each finds its inputs made."""

from onnx import GraphProto

from backlit_proto.errors import BadModel
from backlit_server.graph.spelling.reads import reads, subgraphs


def sort(graph: GraphProto) -> None:
    """Sorts the nodes topologically, in place, those in bodies too; leaves them alone where they are sorted already.

    A name that nothing makes is no obstacle here: onnx.checker says that better. BadModel for a circle.
    """
    for node in graph.node:
        for body in subgraphs(node):
            sort(body)
    makers = {name: k for k, node in enumerate(graph.node) for name in node.output if name}
    waits = [{makers[name] for name in reads(node) if name in makers} for node in graph.node]
    if all(not waiting or max(waiting) < k for k, waiting in enumerate(waits)):
        return
    order = _order(waits)
    if len(order) < len(waits):
        stuck = next(node for k, node in enumerate(graph.node) if k not in set(order))
        raise BadModel(f"the graph runs in a circle through node {stuck.name or stuck.output[0]!r} ({stuck.op_type})")
    nodes = [graph.node[k] for k in order]
    del graph.node[:]
    graph.node.extend(nodes)


def _order(waits: list[set[int]]) -> list[int]:
    readers: dict[int, list[int]] = {}
    for k, waiting in enumerate(waits):
        for maker in waiting:
            readers.setdefault(maker, []).append(k)
    left = [len(waiting) for waiting in waits]
    order = [k for k, count in enumerate(left) if not count]
    for k in order:  # grows while it is walked
        for reader in readers.get(k, ()):
            left[reader] -= 1
            if not left[reader]:
                order.append(reader)
    return order
