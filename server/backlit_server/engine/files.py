"""Models read from where the store keeps them: one run of bytes, of one file or of several.

Weights that lie in files of their own are brought into the model, so that all who work on it see one model. Where
that would be too much for one message, the largest stay where they are, and ONNX Runtime maps them from there.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto, NodeProto, TensorProto, helper

from backlit_proto import backlit_pb2 as pb
from backlit_proto import parts
from backlit_proto.errors import BadModel, CorruptModel, UnknownModel
from backlit_server.graph.spelling.naming import name_apart

FIT = 1 << 30  # bytes up to which a model is brought together; it is copied now and then
MOST = (1 << 31) - 1  # bytes that a message can have
BITS = {"INT4": 4, "UINT4": 4, "FLOAT4E2M1": 4, "INT2": 2, "UINT2": 2}  # element types of less than a byte


@dataclass(frozen=True)
class ModelFile:
    """A parsed model; `folder` is where ONNX Runtime finds the weights that stayed outside, None if none did."""

    model: onnx.ModelProto
    folder: Path | None


@dataclass(frozen=True)
class Place:
    """A tensor outside the model: its file, and where its values lie in the run of all bytes."""

    tensor: TensorProto
    file: str
    start: int
    size: int


def read(path: Path) -> ModelFile:
    """The model whose bytes are in `path`; BadModel when they are none, or the files are not those it needs."""
    return _assembled(path, parts.files_in(path), _bytes(path))


def verified(path: Path, digest: str) -> ModelFile:
    """As read(); CorruptModel when the bytes are not those that were uploaded."""
    try:
        files, data = parts.files_in(path, digest), _bytes(path)
    except FileNotFoundError:
        raise UnknownModel(f"there is no model {digest[:12]} any more: it was deleted") from None
    if parts.damaged(files, digest, [data]):
        raise CorruptModel(f"the stored bytes of model {digest[:12]} were changed: delete it and upload it again")
    return _assembled(path, files, data)


def _bytes(path: Path) -> memoryview:
    """All bytes; those of several files, which may be many, are mapped."""
    if parts.listing_beside(path).exists():
        return np.memmap(path, np.uint8, "r").data
    return memoryview(path.read_bytes())


def _assembled(path: Path, files: Sequence[pb.File], data: memoryview) -> ModelFile:
    model = _parsed(data[len(data) - files[-1].size :])
    weights, inner = (_places(tensors, files[:-1]) for tensors in (model.graph.initializer, _inner(model)))
    _check_all_read([*weights, *inner], files[:-1])
    weights.sort(key=lambda place: place.size, reverse=True)
    # Not ByteSize(), which writes the whole model to see how long it is.
    outside = _too_many(files[-1].size + sum(place.size for place in (*weights, *inner)), weights)
    for place in weights[:outside]:
        _point(place, path.name)
    for place in (*weights[outside:], *inner):
        _bring(place, data)
    return ModelFile(model, path.parent if outside else None)


def _parsed(data: memoryview) -> onnx.ModelProto:
    try:
        model = onnx.load_model_from_string(bytes(data))
    except DecodeError:
        raise BadModel("the file is not an ONNX model: it cannot be parsed") from None
    if not model.HasField("graph"):
        raise BadModel("the file is not an ONNX model: it holds no graph")
    name_apart(model.graph)
    return model


def _too_many(total: int, weights: Sequence[Place]) -> int:
    """How many of the weights, the largest first, stay outside so that the rest is small enough."""
    staying = 0
    while total > FIT and staying < len(weights):
        total -= weights[staying].size
        staying += 1
    if total > MOST:
        raise BadModel(f"besides its weights outside, the model has {total >> 20} MB; {MOST >> 20} MB are taken")
    return staying


def _point(place: Place, location: str) -> None:
    """Tells where the values lie among all the bytes, which ONNX Runtime reads."""
    del place.tensor.external_data[:]
    for key, value in {"location": location, "offset": place.start, "length": place.size}.items():
        place.tensor.external_data.add(key=key, value=str(value))


def _bring(place: Place, data: memoryview) -> None:
    place.tensor.raw_data = data[place.start : place.start + place.size].tobytes()
    place.tensor.ClearField("external_data")
    place.tensor.ClearField("data_location")


def _check_all_read(places: Sequence[Place], files: Sequence[pb.File]) -> None:
    if unread := {file.name for file in files} - {place.file for place in places}:
        listed = ", ".join(map(repr, sorted(unread)))
        raise BadModel(f"no weight of the model lies in {listed}: leave out what it does not need")


def _places(tensors: Iterable[TensorProto], files: Sequence[pb.File]) -> list[Place]:
    """Those of the tensors that lie outside the model, and where."""
    starts = accumulate((file.size for file in files), initial=0)
    runs = {file.name: (start, file.size) for file, start in zip(files, starts, strict=False)}
    return [_place(tensor, runs) for tensor in tensors if tensor.data_location == TensorProto.EXTERNAL]


def _place(tensor: TensorProto, runs: Mapping[str, tuple[int, int]]) -> Place:
    told = {entry.key: entry.value for entry in tensor.external_data}
    location, who = told.get("location", ""), f"the weight {tensor.name!r}"
    if not parts.flat(location):
        raise BadModel(
            f"{who} lies in {location!r}: weights are taken from files beside the model only, without folders; "
            "save it again with onnx.save(model, path, save_as_external_data=True, location='weights.bin')"
        )
    if location not in runs:
        raise BadModel(f"{who} lies in {location!r}, which was not sent: upload it together with the model")
    (start, available), size = runs[location], _size(tensor)
    try:
        offset, length = int(told.get("offset", 0)), int(told.get("length", size))
    except ValueError:
        raise BadModel(f"{who} does not say in numbers where in {location!r} it lies") from None
    if length != size:
        raise BadModel(f"{who} has {size} bytes by its shape and type, and {length} by what it says of {location!r}")
    if not 0 <= offset <= available - size:
        raise BadModel(f"{who} is at bytes {offset} to {offset + size} of {location!r}, which has {available}")
    return Place(tensor, location, start + offset, size)


def _size(tensor: TensorProto) -> int:
    name = TensorProto.DataType.Name(tensor.data_type)
    if min(tensor.dims, default=0) < 0 or name in ("UNDEFINED", "STRING"):
        raise BadModel(f"the weight {tensor.name!r} of type {name} and shape {list(tensor.dims)} cannot lie in a file")
    bits = BITS.get(name) or 8 * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    return -(-math.prod(tensor.dims) * bits // 8)


def _inner(model: onnx.ModelProto) -> Iterator[TensorProto]:
    """Every constant but the weights of the main graph."""
    for sparse in model.graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for nodes in (model.graph.node, *(function.node for function in model.functions)):
        yield from _in_nodes(nodes)


def _in_nodes(nodes: Iterable[NodeProto]) -> Iterator[TensorProto]:
    for attribute in (attribute for node in nodes for attribute in node.attribute):
        if attribute.type == AttributeProto.TENSOR:
            yield attribute.t
        yield from attribute.tensors
        for graph in (*([attribute.g] if attribute.type == AttributeProto.GRAPH else []), *attribute.graphs):
            yield from graph.initializer
            yield from _in_nodes(graph.node)
