"""What need not be decided in every run: which branch is taken, what sequences hold, what bodies compute."""

from collections.abc import Mapping

from onnx import GraphProto, ModelProto, TensorProto, TypeProto

from backlit_server.graph.lowering.lower import lower
from backlit_server.graph.recording.kinds import kinds_of
from backlit_server.graph.spelling.bodies import bodied, standing
from backlit_server.graph.spelling.fold import fold
from backlit_server.graph.spelling.loops import keep_shapes
from backlit_server.graph.spelling.reads import subgraphs
from backlit_server.graph.spelling.sequences import unpack
from backlit_server.graph.spelling.splice import choose, unroll


def settled(light: ModelProto, weights: Mapping[str, TensorProto], untouched: frozenset[str]) -> ModelProto:
    """The model folded, and the bodies in it, until nothing more can be told or left out.

    Branches whose condition is known take the place of their If, tensors that of the sequences they went through.
    """
    light = fold(light, weights, untouched)
    keep_shapes(light)
    while any(step(light.graph) for step in (unpack, choose, unroll)) or _settle_bodies(light, weights, untouched):
        light = fold(light, weights, untouched)
        keep_shapes(light)
    return light


def _settle_bodies(light: ModelProto, weights: Mapping[str, TensorProto], untouched: frozenset[str]) -> bool:
    """Settles the bodies of a graph, in place; whether there was anything."""
    given = {t.name: t for t in light.graph.initializer}
    kinds, found = dict(kinds_of(light.graph)), False
    for node in bodied(light.graph):
        for body in subgraphs(node):
            before = _told(body)
            model = standing(body, light, kinds, given.get)
            lower(model)
            model = settled(model, weights, untouched)
            _take(body, model.graph)
            light.graph.initializer.extend(t for t in model.graph.initializer if t.name not in given)
            found |= _told(body) > before
    return found


def _take(body: GraphProto, settled: GraphProto) -> None:
    """Nodes and types of a settled body; sizes of outputs that were declared and cannot be inferred are believed."""
    inputs, declared = len(body.input), [output.type for output in body.output]
    for output, before in zip(settled.output, declared, strict=True):
        if _sizes(before) > _sizes(output.type):
            output.type.CopyFrom(before)
    body.CopyFrom(settled)
    del body.input[inputs:], body.initializer[:]


def _told(graph: GraphProto) -> tuple[int, int]:
    """What grows when something was learnt: nodes that are gone, and sizes of outputs that are known."""
    inner = [_told(body) for node in bodied(graph) for body in subgraphs(node)]
    nodes = len(graph.node) - sum(told[0] for told in inner)
    return -nodes, sum(_sizes(output.type) for output in graph.output)


def _sizes(proto: TypeProto) -> int:
    """How much is known of a tensor: that its rank is, and how many of its sizes."""
    shape = proto.tensor_type.shape
    return proto.tensor_type.HasField("shape") + sum(dim.HasField("dim_value") for dim in shape.dim)
