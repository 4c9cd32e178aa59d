"""Graphs inside nodes. A body is a model whose captures are inputs: what works on models works on bodies."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper

from backlit_server.graph.recording.kinds import Kind, kinds_of, value_info
from backlit_server.graph.spelling.reads import names_read, reads, subgraphs

Value = Callable[[str], TensorProto | None]  # the tensor of a name that is the same in every run, if it is small


def captured(node: NodeProto) -> tuple[str, ...]:
    """What the bodies of a node take from around them, each once."""
    return tuple(dict.fromkeys(name for graph in subgraphs(node) for name in captures(graph)))


def captures(graph: GraphProto) -> tuple[str, ...]:
    """What a body takes from around it, each once."""
    own = set(names_made(graph))
    return tuple(dict.fromkeys(name for name in names_read(graph) if name and name not in own))


def names_made(graph: GraphProto) -> Iterator[str]:
    """The tensors that a graph itself brings into being."""
    yield from (given.name for given in (*graph.input, *graph.initializer))
    yield from (t.values.name for t in graph.sparse_initializer)
    yield from (name for node in graph.node for name in node.output if name)


def body_of(node: NodeProto, attribute: str = "body") -> GraphProto:
    return next(a.g for a in node.attribute if a.name == attribute)


def bodied(graph: GraphProto) -> list[NodeProto]:
    """The nodes that hold graphs."""
    return [node for node in graph.node if any(subgraphs(node))]


def standing(body: GraphProto, around: ModelProto, kinds: Mapping[str, Kind], value: Value) -> ModelProto:
    """A copy of a body as a model: what it captures is an input behind its own, or an initialiser where it is known."""
    model = ModelProto(ir_version=around.ir_version, opset_import=around.opset_import)
    model.graph.CopyFrom(body)
    for name in captures(body):
        tensor = value(name)
        if tensor is not None:
            model.graph.initializer.append(tensor)
        elif name in kinds:
            model.graph.input.append(value_info(name, kinds[name]))
        else:
            model.graph.input.add(name=name)
    return model


def closed(
    model: ModelProto, inputs: Sequence[str], offered: Iterable[str], outputs: Sequence[str], around: Collection[str]
) -> GraphProto:
    """A model as a body: with these inputs, those of the offered ones that it reads, and these outputs.

    What lies around it, and its other inputs, are captured.
    """
    needed, kept = set(outputs), []
    for node in reversed(model.graph.node):
        if not needed.isdisjoint(node.output):
            needed.update(reads(node))
            kept.append(node)
    kinds = dict(kinds_of(model.graph))
    formal = [*inputs, *(name for name in offered if name in needed)]
    return helper.make_graph(
        kept[::-1],
        model.graph.name or "body",
        [value_info(name, kinds[name]) for name in formal],
        [value_info(name, kinds[name]) for name in outputs],
        [t for t in model.graph.initializer if t.name in needed and t.name not in around],
        value_info=[v for v in model.graph.value_info if v.name in needed and v.name not in outputs],
    )


def written_out(body: GraphProto, given: Mapping[str, str], results: Sequence[str], mark: str) -> GraphProto:
    """What a body computes for `given` inputs, its outputs under the names `results`, to stand where its node stood.

    `mark` goes behind every name that the body makes, so that it can be written out more than once.
    """
    copy = GraphProto()
    copy.CopyFrom(body)
    rename(copy, {name: f"{name}{mark}" for name in _all_made(body)} | dict(given))
    for output, result in zip(copy.output, results, strict=True):
        if result:
            copy.node.append(helper.make_node("Identity", [output.name], [result], result))
    return copy


def _all_made(graph: GraphProto) -> Iterator[str]:
    yield from names_made(graph)
    for node in bodied(graph):
        for inner in subgraphs(node):
            yield from _all_made(inner)


def replace(graph: GraphProto, nodes: list[NodeProto]) -> bool:
    """Gives a graph these nodes; whether they are others than before."""
    if len(nodes) == len(graph.node) and all(new is old for new, old in zip(nodes, list(graph.node), strict=True)):
        return False
    del graph.node[:]
    graph.node.extend(nodes)
    return True


def rename(graph: GraphProto, new: Mapping[str, str]) -> None:
    """Gives tensors of a graph, and of the graphs inside it, other names, in place."""
    for named in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        named.name = new.get(named.name, named.name)
    for sparse in graph.sparse_initializer:
        sparse.values.name = new.get(sparse.values.name, sparse.values.name)
    for node in graph.node:
        for names in (node.input, node.output):
            for k, name in enumerate(names):
                names[k] = new.get(name, name)
        for inner in subgraphs(node):
            rename(inner, new)
