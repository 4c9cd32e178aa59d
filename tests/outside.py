"""Models whose weights lie in files of their own, for tests."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from backlit_proto import backlit_pb2 as pb
from backlit_proto import parts
from written import CNN, model

SMALL = CNN.replace("H, W", "16, 16")
rng = np.random.default_rng(41)
WEIGHTS = {name: rng.normal(size=shape).astype(np.float32) for name, shape in (("w", (8, 3, 3, 3)), ("d", (8, 5)))}


def whole(text: str = SMALL, weights: Mapping[str, np.ndarray] = WEIGHTS) -> onnx.ModelProto:
    """A model as one file."""
    return model(text, **weights)


def placed(model: onnx.ModelProto, places: Mapping[str, tuple[str, int]]) -> dict[str, bytes]:
    """Moves weights out of the model to (file, offset); the bytes of these files."""
    files: dict[str, bytes] = {}
    for tensor in model.graph.initializer:
        if tensor.name in places:
            location, offset = places[tensor.name]
            data = numpy_helper.to_array(tensor).tobytes()
            files[location] = files.get(location, b"").ljust(offset, b"\0") + data
            told(tensor, location=location, offset=offset, length=len(data))
    return files


def told(tensor: TensorProto, **entries: object) -> None:
    """Lets a tensor say that it lies elsewhere, whether that is true or not."""
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    del tensor.external_data[:]
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=str(value))


def joined(model: onnx.ModelProto, files: Mapping[str, bytes]) -> tuple[list[pb.File], bytes]:
    """The files as they travel and are stored: the list, and all bytes, the model's last."""
    contents = {**dict(sorted(files.items())), parts.MODEL: model.SerializeToString()}
    listed = [
        pb.File(name=name, size=len(data), digest=hashlib.sha256(data).hexdigest()) for name, data in contents.items()
    ]
    return listed, b"".join(contents.values())


def laid(folder: Path, model: onnx.ModelProto, files: Mapping[str, bytes]) -> Path:
    """The files of a model beside each other, as a user has them."""
    for name, data in files.items():
        (folder / name).write_bytes(data)
    onnx.save(model, folder / "net.onnx")
    return folder / "net.onnx"
