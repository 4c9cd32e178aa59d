"""Nodes that are told, once and for all, what they asked of other tensors in every run."""

from collections.abc import Callable, Mapping

from onnx import NodeProto, helper, numpy_helper

from backlit_server.graph.spelling.known import Known, reshape_target


def told(node: NodeProto, known: Known) -> bool:
    """Whether there was something to tell a node; it is changed in place."""
    return node.op_type in TOLD and not node.domain and TOLD[node.op_type](node, known)


def _type_of_cast(node: NodeProto, known: Known) -> bool:
    """A CastLike becomes a Cast to the type of the tensor that it no longer reads."""
    if node.input[1] not in known.kinds:
        return False
    node.op_type = "Cast"
    node.attribute.append(helper.make_attribute("to", known.kinds[node.input.pop()].dtype))
    return True


def _scalars_of_range(node: NodeProto, known: Known) -> bool:
    """ONNX Runtime takes a constant of one element for a Range only if it is a scalar, as the specification asks."""
    found = False
    for k, name in enumerate(node.input):
        if name in known.tensors and list(known.tensors[name].dims) == [1]:
            node.input[k] = f"{name}/scalar"
            known.tensors[node.input[k]] = numpy_helper.from_array(
                numpy_helper.to_array(known.tensors[name])[0], node.input[k]
            )
            found = True
    return found


def _shape_of_reshape(node: NodeProto, known: Known) -> bool:
    """A constant for a shape that was measured in every run."""
    if node.input[1] not in known.vectors:
        return False
    target = reshape_target(node, known)
    name = f"{node.output[0]}/shape"
    if target is None or name in known.kinds or name in known.tensors:
        return False
    known.tensors[name] = numpy_helper.from_array(target, name)
    node.input[1] = name
    return True


TOLD: Mapping[str, Callable[[NodeProto, Known], bool]] = {
    "CastLike": _type_of_cast,
    "Range": _scalars_of_range,
    "Reshape": _shape_of_reshape,
}
