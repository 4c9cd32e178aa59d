"""What a model costs with one image, in multiply-accumulates and bytes: forward pass, head, and a Grad-CAM beside."""

from math import prod
from typing import Any

from onnx import GraphProto, ModelProto, TensorProto, helper

from backlit_proto.errors import NotDifferentiable
from backlit_server.engine.models import OpenModel
from backlit_server.engine.trial import sample
from backlit_server.graph import canonical, cut, pruned, seeded, with_outputs
from backlit_server.graph.macs import macs
from backlit_server.graph.recording.kinds import kinds_of


def costs(model: OpenModel) -> dict[str, Any]:
    """By part: macs, parameter_bytes, activation_bytes (of all tensors that nodes make). The backbone lies before the
    default layer, the head behind it; `grad_cam_over_forward` is the share of products that a Grad-CAM takes.
    """
    scores, layer = model.anatomy.scores.name, model.anatomy.default_layer
    whole = pruned(with_outputs(_sized(model), [scores]), {scores})
    found = {"forward": _cost(whole.graph)}
    if not layer:
        return found
    head = cut(whole, layer, scores).head
    found["backbone"] = _cost(pruned(with_outputs(whole, [layer]), {layer}).graph)
    found["head"] = _cost(head.graph)
    try:
        found["head_gradient"] = _cost(pruned(seeded(head, layer, scores, True), {f"grad/{layer}"}).graph)
    except NotDifferentiable:  # the card says so
        return found
    forward, gradient = found["forward"]["macs"], found["head_gradient"]["macs"]
    return found | {"grad_cam_over_forward": (forward + gradient) / forward if forward else None}


def _sized(model: OpenModel) -> ModelProto:
    """The model for one image of a certain size: every size that follows from that of the inputs is known."""
    sized = ModelProto()
    sized.CopyFrom(model.graph)
    given = sample(model.anatomy, 1, seed=0)
    for value in sized.graph.input:
        if value.name in given:
            value.type.CopyFrom(
                helper.make_tensor_type_proto(value.type.tensor_type.elem_type, given[value.name].shape)
            )
    return canonical(sized)


def _cost(graph: GraphProto) -> dict[str, Any]:
    products, lost = macs(graph)
    kinds = dict(kinds_of(graph))
    made = [kinds[name] for node in graph.node for name in node.output if name in kinds]
    return {
        "macs": products,
        "not_counted": lost,
        "parameter_bytes": sum(_bytes(t.data_type, tuple(t.dims)) for t in graph.initializer),
        "activation_bytes": sum(_bytes(kind.dtype, kind.fixed) for kind in made if kind.fixed is not None),
    }


def _bytes(dtype: int, shape: tuple[int, ...]) -> int:
    if dtype in (TensorProto.UNDEFINED, TensorProto.STRING):
        return 0
    return prod(shape) * helper.tensor_dtype_to_np_dtype(dtype).itemsize
