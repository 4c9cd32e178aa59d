"""Weights that stand in files of their own, one a tensor, called by absolute path: within reach, and of no weight.

A graph that was set on such weights is some hundred kilobytes; copies, cuts and gradients of it share them.
"""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from backlit_server.graph.spelling.aside import copy, external

HEAVY = 1 << 12  # bytes; below, a tensor stays where it is


def out_of_reach(tensor: TensorProto) -> bool:
    """Whether the values lie in a file that only ONNX Runtime reads, as those of models of more than 1 GiB."""
    return external(tensor) and not place_of(tensor)


def place_of(tensor: TensorProto) -> Path | None:
    """The file that holds the values and nothing before them, None for a tensor without such a file."""
    location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
    return Path(location) if external(tensor) and Path(location).is_absolute() else None


def values_of(tensor: TensorProto) -> np.ndarray:
    """The values of a tensor within reach; those in a file are mapped, not read."""
    place = place_of(tensor)
    if place is None:
        return numpy_helper.to_array(tensor)
    return np.memmap(place, helper.tensor_dtype_to_np_dtype(tensor.data_type), "r", shape=tuple(tensor.dims))


def moved_out(model: ModelProto, keep: Callable[[np.ndarray], Path]) -> ModelProto:
    """The model with its heavy weights where `keep` puts their bytes; the argument is not changed."""
    light = ModelProto()
    copy(model, light, but=("graph",))
    copy(model.graph, light.graph, but=("initializer",))  # a message never gives back what it once held
    for tensor in model.graph.initializer:
        kept = light.graph.initializer.add()
        if tensor.data_type not in WHOLE or external(tensor) or _nbytes(tensor) < HEAVY:
            kept.CopyFrom(tensor)
            continue
        values = np.ascontiguousarray(numpy_helper.to_array(tensor))
        kept.MergeFrom(TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims))
        point(kept, str(keep(values.reshape(-1).view(np.uint8))), values.nbytes)
    return light


def _nbytes(tensor: TensorProto) -> int:
    return math.prod(tensor.dims) * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize


def brought_in(model: ModelProto) -> ModelProto:
    """The model with all weights within reach in itself; the argument where there are none elsewhere."""
    if not any(map(place_of, model.graph.initializer)):
        return model
    whole = ModelProto()
    whole.CopyFrom(model)
    for tensor in whole.graph.initializer:
        if place_of(tensor):
            tensor.CopyFrom(numpy_helper.from_array(values_of(tensor), tensor.name))
    return whole


def point(tensor: TensorProto, location: str, length: int) -> None:
    """Tells where the values are."""
    tensor.data_location = TensorProto.EXTERNAL
    del tensor.external_data[:]
    for key, value in {"location": location, "offset": 0, "length": length}.items():
        tensor.external_data.add(key=key, value=str(value))


WHOLE = frozenset((
    TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BOOL, TensorProto.INT8, TensorProto.UINT8,
    TensorProto.INT16, TensorProto.UINT16, TensorProto.INT32, TensorProto.UINT32, TensorProto.INT64, TensorProto.UINT64,
))  # fmt: skip
"""Types of which numpy holds an element as the file does."""
