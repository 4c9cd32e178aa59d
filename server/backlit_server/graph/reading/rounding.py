"""Quantised graphs as they would be without their roundings."""

from onnx import ModelProto, NodeProto, helper

from backlit_server.graph.reading.layers import MOVES
from backlit_server.graph.recording.kinds import kinds_of, value_info
from backlit_server.graph.vjp import ROUNDED

FLOATING = "DequantizeLinear"
BEFORE = "/unrounded"  # behind the name of the scores: what they were before they were rounded last


def unrounded(model: ModelProto) -> ModelProto:
    """The model with its tensors as the floats they were: what is rounded passes as it is, weights stay as they are."""
    copy = ModelProto()
    copy.CopyFrom(model)
    kinds, floats = dict(kinds_of(model.graph)), dict[str, int]()  # what were integers, and what they are now
    for node in copy.graph.node:
        dtype = next((floats[name] for name in node.input if name in floats), None)
        if node.op_type in ROUNDED:
            floats[node.output[0]] = kinds[node.input[0]].dtype
        elif node.op_type != FLOATING and dtype is not None:
            floats.update(dict.fromkeys(node.output, dtype))
        if node.op_type in ROUNDED or (node.op_type == FLOATING and dtype is not None):
            node.CopyFrom(helper.make_node("Identity", node.input[:1], node.output[:1], node.name))
    for value in copy.graph.value_info:
        if value.name in floats:
            value.type.tensor_type.elem_type = floats[value.name]
    return copy


def with_scores_unrounded(model: ModelProto, scores: str) -> tuple[ModelProto, str]:
    """The model, and the name of the scores as they were before they were rounded last, computed beside them.

    What lies beyond the scores that calibration saw is cut off there, and the map of the most certain answers would
    be black. So that rounding is left out like a final softmax. Without one the model itself comes back.
    """
    tail = _tail(model, scores)
    if not tail:
        return model, scores
    copy = ModelProto()
    copy.CopyFrom(model)
    name = tail[-1].input[0]
    for node in reversed(tail):
        if node.op_type not in (*ROUNDED, FLOATING):
            moved = copy.graph.node.add()
            moved.CopyFrom(node)
            moved.input[0] = name
            moved.output[:] = [output + BEFORE for output in node.output]
            name = moved.output[0]
    if name not in (o.name for o in copy.graph.output):
        copy.graph.output.append(value_info(name, dict(kinds_of(model.graph))[scores]))
    return copy, name


def _tail(model: ModelProto, scores: str) -> list[NodeProto]:
    """The nodes that only round and move the scores, from the last one to the first that rounds."""
    makers = {name: node for node in model.graph.node for name in node.output[:1]}
    tail, name = [], scores
    while name in makers and makers[name].op_type in MOVES | {FLOATING}:
        tail.append(makers[name])
        name = makers[name].input[0]
    while tail and tail[-1].op_type not in ROUNDED:
        tail.pop()
    return tail
