"""Optimised graphs taken apart: each weight goes where bytes are kept, with the forms that kernels packed it into."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, TensorProto

from backlit_server.graph.spelling.aside import external
from backlit_server.graph.spelling.reads import subgraphs

ALIGNED = 64  # bytes: kernels read packed weights in whole cache lines, and end the process where they cannot
PACKED = "prepacked_"  # before the names of external data that are packed forms: KEY|OFFSET;LENGTH;ALIGNMENT|...

Keep = Callable[[memoryview], Path]


def unpacked(file: Path, keep: Keep) -> ModelProto:
    """The optimised model in `file`, its weights beside it kept one by one and called by the names of their files."""
    model = onnx.load(file, load_external_data=False)
    runs: dict[str, np.memmap] = {}
    for tensor in _weights(model.graph):
        told = {entry.key: entry.value for entry in tensor.external_data}
        location = told["location"]
        if location not in runs:
            runs[location] = np.memmap(file.parent / location, np.uint8, "r")
        _keep(tensor, told, runs[location], keep)
    return model


def mapped(model: ModelProto) -> dict[str, int]:
    """The files of an unpacked model's weights, and how many bytes of each are read."""
    return dict(map(_mapped, _weights(model.graph)))


def _mapped(tensor: TensorProto) -> tuple[str, int]:
    told = {entry.key: entry.value for entry in tensor.external_data}
    packed = sum(length for key in told if key.startswith(PACKED) for _, length in _spans(told[key])[1])
    return told["location"], packed or int(told["length"])


def _keep(tensor: TensorProto, told: dict[str, str], run: np.memmap, keep: Keep) -> None:
    start, length = int(told.get("offset", 0)), int(told["length"])
    whole = bytearray(run[start : start + length].data)
    forms = {key: _spans(value) for key, value in told.items() if key.startswith(PACKED)}
    moved = {}
    for key, (name, spans) in forms.items():
        places = []
        for offset, size in spans:
            whole += bytes(-len(whole) % ALIGNED)
            places.append(f"{len(whole)};{size};0")
            whole += run[offset : offset + size].data
        moved[key] = "|".join([name, *places])
    del tensor.external_data[:]
    kept = {"location": keep(memoryview(whole)).name, "offset": "0", "length": str(length)} | moved
    for key, value in kept.items():
        tensor.external_data.add(key=key, value=value)


def _spans(packed: str) -> tuple[str, list[tuple[int, int]]]:
    """What a packed form is called, and where its parts lie."""
    name, *parts = packed.split("|")
    return name, [(int(offset), int(length)) for offset, length, _ in (part.split(";") for part in parts)]


def _weights(graph: GraphProto) -> Iterator[TensorProto]:
    """The tensors outside the file, those of bodies too."""
    yield from (tensor for tensor in graph.initializer if external(tensor))
    for node in graph.node:
        for body in subgraphs(node):
            yield from _weights(body)
