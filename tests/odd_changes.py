"""What exporters do to a file without changing what it computes, each as a change of a model."""

from collections.abc import Callable

import numpy as np
import onnx
from onnx import SparseTensorProto, TensorProto, helper, numpy_helper

Change = Callable[[onnx.ModelProto], object]


def listed_as_inputs(made: onnx.ModelProto) -> None:
    made.graph.input.extend(helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in made.graph.initializer)


def in_constant_nodes(made: onnx.ModelProto) -> None:
    for tensor in reversed(made.graph.initializer):
        made.graph.node.insert(0, helper.make_node("Constant", [], [tensor.name], value=tensor))
    del made.graph.initializer[:]


def as_typed_numbers(made: onnx.ModelProto) -> None:
    for tensor in made.graph.initializer:
        values = numpy_helper.to_array(tensor)
        tensor.CopyFrom(helper.make_tensor(tensor.name, tensor.data_type, values.shape, values.ravel()))


def sparse(made: onnx.ModelProto) -> None:
    """d as a sparse initialiser with nothing left out."""
    (tensor,) = (t for t in made.graph.initializer if t.name == "d")
    values = numpy_helper.to_array(tensor)
    indices = numpy_helper.from_array(np.arange(values.size), "d_indices")
    dense = numpy_helper.from_array(values.ravel(), "d")
    made.graph.initializer.remove(tensor)
    made.graph.sparse_initializer.append(SparseTensorProto(values=dense, indices=indices, dims=values.shape))


def dims(*sizes: int | str | None) -> Change:
    """Another shape for the input: numbers, names, or nothing at all."""

    def change(made: onnx.ModelProto) -> None:
        shape = made.graph.input[0].type.tensor_type.shape
        del shape.dim[:]
        for size in sizes:
            dim = shape.dim.add()
            if isinstance(size, int):
                dim.dim_value = size
            elif size is not None:
                dim.dim_param = size

    return change


def shapeless(made: onnx.ModelProto) -> None:
    for value in made.graph.output:
        value.type.tensor_type.ClearField("shape")


def stale(made: onnx.ModelProto) -> None:
    made.graph.value_info.append(helper.make_tensor_value_info("f", TensorProto.FLOAT, [7, 4, 1, 1]))


def reversed_nodes(made: onnx.ModelProto) -> None:
    nodes = list(made.graph.node)[::-1]
    del made.graph.node[:]
    made.graph.node.extend(nodes)


def named(names: Callable[[int], str]) -> Change:
    def change(made: onnx.ModelProto) -> None:
        for k, node in enumerate(made.graph.node):
            node.name = names(k)

    return change


def renamed(names: dict[str, str]) -> Change:
    """Other names for tensors, everywhere."""

    def change(made: onnx.ModelProto) -> None:
        graph = made.graph
        for value in (*graph.input, *graph.output, *graph.initializer):
            value.name = names.get(value.name, value.name)
        for node in graph.node:
            for places in (node.input, node.output):
                places[:] = [names.get(name, name) for name in places]

    return change


def unused(made: onnx.ModelProto) -> None:
    made.graph.initializer.append(numpy_helper.from_array(np.ones((64, 64), np.float32), "nobody reads this"))
    made.graph.initializer.append(numpy_helper.from_array(np.ones(1, np.int64), "nor this"))


def another_spelling(made: onnx.ModelProto) -> None:
    """The main domain by its long name, and operator sets that nothing uses."""
    made.opset_import[0].domain = "ai.onnx"
    made.opset_import.add(domain="ai.onnx.ml", version=3)
    made.opset_import.add(domain="com.example", version=1)
    for node in made.graph.node:
        node.domain = "ai.onnx"
