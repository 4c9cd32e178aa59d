"""Weights of a model, listed and read, for whoever asks to see them."""

from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, external_data_helper, helper, numpy_helper

from backlit_proto import backlit_pb2 as pb
from backlit_proto.tensors import DATA_TYPES, DTYPES, data_type_of
from backlit_server.engine.files import ModelFile
from backlit_server.engine.runtime import Runtime
from backlit_server.graph import canonical, pruned, with_outputs
from backlit_server.graph.reading.weights import Weights, weights, weights_at

FLOAT32 = np.dtype(np.float32)


def list_weights(file: ModelFile) -> pb.ListWeightsResponse:
    """Those of all convolutions and dense layers, in the order of the graph."""
    return pb.ListWeightsResponse(weights=[_message(found) for found in weights(canonical(file.model))])


def read_weights(file: ModelFile, layer: str, runtime: Runtime) -> tuple[pb.Weights, np.ndarray]:
    """Those of one layer: the file's own, or what it makes of others, as of integers that stand for floats."""
    graph = canonical(file.model)
    found = weights_at(graph, layer)
    stored = next((tensor for tensor in graph.graph.initializer if tensor.name == found.name), None)
    values = _computed(graph, found, file.folder, runtime) if stored is None else _stored(stored, file.folder)
    values = values if values.dtype in DATA_TYPES else values.astype(FLOAT32)
    message = _message(found)
    message.tensor.data_type = data_type_of(values.dtype)
    return message, np.ascontiguousarray(values, DTYPES[message.tensor.data_type])


def _stored(tensor: TensorProto, folder: Path | None) -> np.ndarray:
    if external_data_helper.uses_external_data(tensor):
        return numpy_helper.to_array(tensor, str(folder))
    return numpy_helper.to_array(tensor)


def _computed(graph: ModelProto, found: Weights, folder: Path | None, runtime: Runtime) -> np.ndarray:
    """What no input has a part in is the same in every run."""
    return runtime.open(pruned(with_outputs(graph, [found.name]), [found.name]), folder).run({})[found.name]


def _message(found: Weights) -> pb.Weights:
    values = pb.TensorSpec(name=found.name, shape=found.shape, dim_names=[""] * len(found.shape))
    values.data_type = DATA_TYPES.get(helper.tensor_dtype_to_np_dtype(found.dtype), pb.DATA_TYPE_FLOAT32)
    return pb.Weights(tensor=values, node=found.node.name, operator=found.node.op_type, axes=found.axes)
