"""Leaving out what nobody asked for: ONNX Runtime computes the whole graph, whatever is fetched."""

from collections.abc import Collection

from onnx import ModelProto

from backlit_server.graph.recording.kinds import kinds_of, value_info
from backlit_server.graph.spelling.reads import reads


def pruned(model: ModelProto, outputs: Collection[str]) -> ModelProto:
    """A model with these outputs alone, and only the nodes, weights and inputs that lead to them."""
    needed, kept = set(outputs), []
    for node in reversed(model.graph.node):
        if not needed.isdisjoint(node.output):
            needed.update(reads(node))
            kept.append(node)
    small = ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    graph = small.graph
    graph.name = model.graph.name
    graph.node.extend(reversed(kept))
    graph.initializer.extend(t for t in model.graph.initializer if t.name in needed)
    graph.input.extend(i for i in model.graph.input if i.name in needed)
    graph.output.extend(o for o in model.graph.output if o.name in outputs)
    graph.value_info.extend(v for v in model.graph.value_info if v.name in needed)
    return small


def fed(model: ModelProto, names: Collection[str]) -> ModelProto:
    """A model that takes those of these tensors that it makes as inputs instead; itself where it makes none."""
    left = [node for node in model.graph.node if set(node.output).isdisjoint(names)]
    made = {name for node in model.graph.node for name in node.output}.intersection(names)
    if not made:
        return model
    copy = ModelProto()
    copy.CopyFrom(model)
    known = dict(kinds_of(model.graph))
    del copy.graph.node[:]
    copy.graph.node.extend(left)
    copy.graph.input.extend(value_info(name, known[name]) for name in names if name in made)
    return copy


def with_outputs(model: ModelProto, names: Collection[str]) -> ModelProto:
    """The whole model, with further tensors among its outputs; itself where they are all there."""
    if {o.name for o in model.graph.output}.issuperset(names):
        return model
    grown = ModelProto()
    grown.CopyFrom(model)
    known, there = dict(kinds_of(model.graph)), {o.name for o in model.graph.output}
    grown.graph.output.extend(value_info(name, known[name]) for name in names if name not in there)
    return grown
