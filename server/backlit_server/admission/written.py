"""An export as one run of bytes: one file, or the weights that are too large for it and then the model."""

import hashlib
from io import BufferedRandom, BufferedReader
from pathlib import Path

from onnx import ModelProto, TensorProto

from backlit_proto import backlit_pb2 as pb
from backlit_proto import parts
from backlit_server.engine.files import ModelFile

PAGE = 4096  # bytes: weights that begin at one can be mapped


def write(file: ModelFile, result: Path, weights_name: str) -> None:
    """Writes the model to `result`, and beside it, if they are two, the list of the files."""
    if file.folder is None:
        result.write_bytes(file.model.SerializeToString())
        return
    with result.open("w+b") as out:
        _write_weights(file.model, file.folder, weights_name, out)
        weights = _described(weights_name, out)
        data = file.model.SerializeToString()
        out.write(data)
    model = pb.File(name=parts.MODEL, size=len(data), digest=hashlib.sha256(data).hexdigest())
    parts.listing_beside(result).write_bytes(parts.listing([weights, model]))


def _write_weights(model: ModelProto, folder: Path, name: str, out: BufferedRandom) -> None:
    """Copies what lies outside the model, each weight to the beginning of a page, and tells the model where it is."""
    for tensor in model.graph.initializer:
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        told = {entry.key: entry.value for entry in tensor.external_data}
        out.write(bytes(-out.tell() % PAGE))
        place = {"location": name, "offset": out.tell(), "length": int(told["length"])}
        with (folder / told["location"]).open("rb") as source:
            source.seek(int(told["offset"]))
            _copy(source, out, place["length"])
        del tensor.external_data[:]
        for key, value in place.items():
            tensor.external_data.add(key=key, value=str(value))


def _copy(source: BufferedReader, out: BufferedRandom, count: int) -> None:
    while count:
        count -= out.write(source.read(min(count, 1 << 20)))


def _described(name: str, out: BufferedRandom) -> pb.File:
    """The file of all that was written so far."""
    size = out.tell()
    out.seek(0)
    return pb.File(name=name, size=size, digest=hashlib.file_digest(out, "sha256").hexdigest())
