"""What stays the same from turn to turn of a Loop: the shapes of its states."""

from collections.abc import Mapping

from onnx import GraphProto, ModelProto, NodeProto, shape_inference

from backlit_server.graph.recording.kinds import Kind, kinds_of, type_proto, value_info
from backlit_server.graph.spelling.bodies import body_of, standing


def keep_shapes(model: ModelProto) -> None:
    """Declares, in place, the shape of every state that a Loop gives back in the shape it got it in.

    Inference leaves them open, since a state may grow. Here the first shape is assumed, and the body asked whether it
    stays.
    """
    graph = model.graph
    loops = [node for node in graph.node if node.op_type == "Loop" and not node.domain]
    kinds = dict(kinds_of(graph)) if loops else {}
    for node in loops:
        body = body_of(node)
        for value in (*body.input[:2], body.output[0]):  # the number of the turn and the condition are scalars
            value.type.tensor_type.shape.SetInParent()
        first = {k: kinds[name] for k, name in enumerate(node.input) if k > 1 and name in kinds}
        for k, kind in _kept(node, model, {k: kind for k, kind in first.items() if kind.shape is not None}).items():
            body.input[k].type.CopyFrom(type_proto(kind))
            body.output[k - 1].type.CopyFrom(type_proto(kind))
            _declare(graph, node.output[k - 2], kind)


def _declare(graph: GraphProto, name: str, kind: Kind) -> None:
    there = next((v for v in (*graph.output, *graph.value_info) if v.name == name), None)
    if there is None:
        graph.value_info.append(value_info(name, kind))
    else:
        there.type.CopyFrom(type_proto(kind))


def _kept(node: NodeProto, model: ModelProto, first: Mapping[int, Kind]) -> Mapping[int, Kind]:
    """Those of the assumed kinds, by input, that the body gives back when it gets them all."""
    given = {t.name: t for t in model.graph.initializer}
    trial = standing(body_of(node), model, dict(kinds_of(model.graph)), given.get)
    for k, kind in first.items():
        trial.graph.input[k].type.CopyFrom(type_proto(kind))
    for output in trial.graph.output:
        if output.type.HasField("tensor_type"):
            output.type.tensor_type.ClearField("shape")
    after = dict(kinds_of(shape_inference.infer_shapes(trial, data_prop=True).graph))
    kept = {k: kind for k, kind in first.items() if after.get(trial.graph.output[k - 1].name) == kind}
    return kept if len(kept) == len(first) else _kept(node, model, kept)
