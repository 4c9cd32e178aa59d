"""Who reads what: the inputs of nodes, and what the graphs inside nodes take from around them."""

from collections.abc import Iterator

from onnx import AttributeProto, GraphProto, NodeProto


def names_read(graph: GraphProto) -> Iterator[str]:
    """Every tensor that something reads: the nodes, the graphs inside them, the caller."""
    yield from (output.name for output in graph.output)
    for node in graph.node:
        yield from reads(node)


def reads(node: NodeProto) -> Iterator[str]:
    """What a node reads: its inputs, and what the graphs inside it take from around them."""
    yield from (name for name in node.input if name)
    for graph in subgraphs(node):
        own = {t.name for t in (*graph.input, *graph.initializer)} | {o for n in graph.node for o in n.output}
        yield from (name for name in names_read(graph) if name not in own)


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def names_in(graph: GraphProto) -> Iterator[str]:
    """Every tensor and node name of a graph and of the graphs inside it."""
    yield from (t.name for t in (*graph.input, *graph.output, *graph.initializer, *graph.value_info))
    yield from (t.values.name for t in graph.sparse_initializer)
    for node in graph.node:
        yield from (node.name, *node.input, *node.output)
        for inner in subgraphs(node):
            yield from names_in(inner)
