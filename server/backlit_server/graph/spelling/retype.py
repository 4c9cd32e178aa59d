"""The same model in another float type: finite differences want more digits than what is served needs."""

import numpy as np
from onnx import AttributeProto, GraphProto, ModelProto, TensorProto, helper, numpy_helper

from backlit_proto.errors import BadModel
from backlit_server.graph.recording.kinds import kinds_of
from backlit_server.graph.recording.sym import FLOATS
from backlit_server.graph.spelling.elsewhere import out_of_reach, values_of
from backlit_server.graph.spelling.reads import subgraphs

TYPES = frozenset(("to", "dtype"))  # attributes that name an element type


def retyped(model: ModelProto, dtype: int) -> ModelProto:
    """A copy of a canonical model that holds and computes all its floats in this type (TensorProto.DOUBLE, ...).

    Global pooling, which ONNX Runtime has in single precision alone, becomes a mean. Operators that want one input in
    single precision, as Resize its scales, make the result one that does not load.
    """
    copy = ModelProto()
    copy.CopyFrom(model)
    _retype(copy.graph, dtype)
    ranks = {name: len(kind.shape or ()) for name, kind in kinds_of(copy.graph)}
    for node in [node for node in copy.graph.node if node.op_type == "GlobalAveragePool"]:
        axes = numpy_helper.from_array(np.arange(2, ranks[node.input[0]]), f"{node.output[0]}/axes")
        copy.graph.initializer.append(axes)
        node.CopyFrom(helper.make_node("ReduceMean", [node.input[0], axes.name], list(node.output), node.name))
    return copy


def _retype(graph: GraphProto, dtype: int) -> None:
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.elem_type in FLOATS:
            value.type.tensor_type.elem_type = dtype
    for tensor in graph.initializer:
        _convert(tensor, dtype)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                _convert(attribute.t, dtype)
            elif attribute.name in TYPES and attribute.i in FLOATS:
                attribute.i = dtype
        for inner in subgraphs(node):
            _retype(inner, dtype)


def _convert(tensor: TensorProto, dtype: int) -> None:
    if tensor.data_type in FLOATS and tensor.data_type != dtype:
        if out_of_reach(tensor):
            raise BadModel(f"the weight {tensor.name!r} lies outside the model and keeps its type")
        values = values_of(tensor).astype(helper.tensor_dtype_to_np_dtype(dtype))
        tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values).reshape(tensor.dims), tensor.name))
