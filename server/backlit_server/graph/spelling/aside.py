"""Large weights stand aside while a graph is worked on: onnx's tools serialise what they are given, up to 2 GiB."""

import math

import numpy as np
from google.protobuf.message import Message
from onnx import AttributeProto, ModelProto, NodeProto, SparseTensorProto, TensorProto, helper, numpy_helper

from backlit_proto.errors import BadModel
from backlit_server.graph.spelling.attempt import attempt
from backlit_server.graph.spelling.reads import names_read

LARGEST_DENSE = 1 << 28  # bytes that a sparse tensor may come to
HEAVY = 4096  # bytes; below are the shapes, axes and scales that converter and inference read
NUMBERS = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}


def set_aside(model: ModelProto) -> tuple[ModelProto, dict[str, TensorProto]]:
    """A copy whose heavy constants are declared as inputs instead, and those constants by name.

    Constant nodes become initialisers on the way; initialisers lose their place among the inputs.
    """
    light, weights, graph = ModelProto(), {}, model.graph
    copy(model, light, but=("graph",))
    copy(graph, light.graph, but=("node", "initializer", "sparse_initializer", "input"))
    lifted = {k: constant for k, node in enumerate(graph.node) if (constant := constant_of(node)) is not None}
    light.graph.node.extend(node for k, node in enumerate(graph.node) if k not in lifted)
    dense = (dense_of(sparse) for sparse in graph.sparse_initializer)
    constants = {t.name: t for t in (*graph.initializer, *dense, *lifted.values())}
    light.graph.input.extend(i for i in graph.input if i.name not in constants)
    for name, constant in constants.items():
        if external(constant) or constant.ByteSize() > HEAVY:
            weights[name] = constant
            light.graph.input.append(helper.make_tensor_value_info(name, constant.data_type, constant.dims))
        else:
            light.graph.initializer.append(constant)
    return light, weights


def put_back(light: ModelProto, weights: dict[str, TensorProto]) -> ModelProto:
    """The model with its heavy constants as initialisers again; constants that nothing reads are left out."""
    graph, used = light.graph, set(names_read(light.graph))
    inputs = [i for i in graph.input if i.name not in weights]
    small = [t for t in graph.initializer if t.name in used]
    del graph.input[:], graph.initializer[:]
    graph.input.extend(inputs)
    graph.initializer.extend(small)
    graph.initializer.extend(t for name, t in weights.items() if name in used)
    return light


def constant_of(node: NodeProto) -> TensorProto | None:
    """The tensor of a Constant node under the name of its output; None for other nodes and for strings."""
    if node.op_type != "Constant" or node.domain not in ("", "ai.onnx") or len(node.attribute) != 1:
        return None
    attribute = node.attribute[0]
    if attribute.name in NUMBERS:
        value = np.asarray(helper.get_attribute_value(attribute), NUMBERS[attribute.name])
        return numpy_helper.from_array(value, node.output[0])
    if attribute.name == "sparse_value":
        return dense_of(attribute.sparse_tensor, node.output[0])
    if attribute.name != "value" or attribute.type != AttributeProto.TENSOR:
        return None
    tensor = TensorProto()
    tensor.CopyFrom(attribute.t)
    tensor.name = node.output[0]
    return tensor


def dense_of(sparse: SparseTensorProto, name: str = "") -> TensorProto:
    """A sparse tensor written out, under its own name or another; BadModel for one that would fill the memory."""
    name, dims = name or sparse.values.name, list(sparse.dims)
    dtype = helper.tensor_dtype_to_np_dtype(sparse.values.data_type)
    if math.prod(dims) * dtype.itemsize > LARGEST_DENSE:
        raise BadModel(f"the sparse tensor {name!r} of shape {dims} is too large to be written out: export it dense")

    def written_out() -> TensorProto:
        indices, whole = numpy_helper.to_array(sparse.indices), np.zeros(dims, dtype)
        places = indices if indices.ndim == 1 else np.ravel_multi_index(tuple(indices.T), dims)
        whole.reshape(-1)[places] = numpy_helper.to_array(sparse.values)
        return numpy_helper.from_array(whole, name)

    return attempt(f"the sparse tensor {name!r} is damaged", written_out)


def external(tensor: TensorProto) -> bool:
    """Whether the values lie in another file."""
    return tensor.data_location == TensorProto.EXTERNAL


def copy(source: Message, target: Message, but: tuple[str, ...]) -> None:
    """All fields but some: copying the weights only to drop them would take time and twice the memory."""
    for field, value in source.ListFields():
        if field.name in but:
            continue
        if field.is_repeated:
            getattr(target, field.name).extend(value)
        else:
            setattr(target, field.name, value)
