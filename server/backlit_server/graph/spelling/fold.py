"""What is the same in every run is computed once, here, so that rules see pads, axes and shapes as numbers."""

from collections.abc import Mapping

from onnx import GraphProto, ModelProto, NodeProto, TensorProto, shape_inference

from backlit_server.graph.recording.kinds import kinds_of
from backlit_server.graph.recording.tape import opset_of
from backlit_server.graph.spelling.attempt import attempt
from backlit_server.graph.spelling.bodies import captured
from backlit_server.graph.spelling.known import Known, study
from backlit_server.graph.spelling.ranks import give_ranks
from backlit_server.graph.spelling.reads import reads, subgraphs
from backlit_server.graph.spelling.told import told


def fold(light: ModelProto, weights: Mapping[str, TensorProto], untouched: frozenset[str] = frozenset()) -> ModelProto:
    """The model with constant sub-graphs as initialisers and the shape of every tensor inferred.

    `weights` are the constants that stand aside; the tensors `untouched` are not taken for constants. What becomes
    constant makes more shapes known and the other way round: rounds go on until one finds nothing, so each but the last
    removes a node or tells one a number.
    """
    light = _with_shapes(light)
    while _round(light, weights, untouched):
        light = _with_shapes(light)
    return light


def _with_shapes(model: ModelProto) -> ModelProto:
    """Shapes inferred anew, since those in files may be stale; declared ones count where inference is silent."""
    graph = model.graph
    foreign = {name for node in graph.node if node.domain or any(subgraphs(node)) for name in node.output}
    known = [value for value in graph.value_info if value.name in foreign]
    declared = {output.name: output.type.SerializeToString() for output in graph.output}
    del graph.value_info[:]
    graph.value_info.extend(known)
    for output in graph.output:
        if output.type.HasField("tensor_type"):
            output.type.tensor_type.ClearField("shape")
    inferred = _inferred(model)
    for output in inferred.graph.output:
        if output.type.HasField("tensor_type") and not output.type.tensor_type.HasField("shape"):
            output.type.ParseFromString(declared[output.name])
    while give_ranks(inferred.graph):
        inferred = _inferred(inferred)
    return inferred


def _inferred(model: ModelProto) -> ModelProto:
    return attempt("shapes cannot be inferred", lambda: shape_inference.infer_shapes(model, data_prop=True))


def _round(model: ModelProto, weights: Mapping[str, TensorProto], untouched: frozenset[str]) -> bool:
    """Computes what can be computed now, in place; whether there was anything."""
    graph = model.graph
    given = {t.name: t for t in graph.initializer}
    known = Known(dict(weights) | given, dict(kinds_of(graph)), opset_of(model))
    kept = {output.name for output in graph.output} | untouched
    named = kept.union(*map(captured, graph.node))  # what stays under its own name
    renamed: dict[str, str] = {}
    nodes, found = [], False
    for node in graph.node:
        for k, name in enumerate(node.input):
            node.input[k] = renamed.get(name, name)
        if node.op_type == "Identity" and node.input[0] in known.tensors and node.output[0] not in named:
            renamed[node.output[0]] = node.input[0]
            continue
        if untouched.isdisjoint(node.output):
            study(node, known)
        found |= told(node, known)
        if kept.intersection(node.output) or not all(name in known.tensors for name in node.output if name):
            nodes.append(node)
    found |= len(nodes) < len(graph.node)
    computed = [t for name, t in known.tensors.items() if name not in given and name not in weights]
    _replace(graph, _alive(nodes, kept), computed)
    return found


def _replace(graph: GraphProto, nodes: list[NodeProto], computed: list[TensorProto]) -> None:
    made = {name for node in nodes for name in node.output}
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(tensor for tensor in computed if tensor.name not in made)


def _alive(nodes: list[NodeProto], kept: set[str]) -> list[NodeProto]:
    """The nodes that a result needs; those that only measured what is a constant now are gone."""
    needed, alive = set(kept), []
    for node in reversed(nodes):
        if needed.intersection(node.output):
            needed.update(reads(node))
            alive.append(node)
    return alive[::-1]
