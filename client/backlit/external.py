"""The files beside a model that hold weights of it (ONNX external data), found without an ONNX library.

Walks the protobuf wire format itself: messages as the table says, everything else is skipped by its length, so that
a large file is hardly read.
"""

import mmap
from collections.abc import Iterator
from pathlib import Path

from backlit_proto.errors import BadModel
from backlit_proto.parts import MODEL, flat

# Message -> field number -> message, as far as tensors can lie in it (onnx.proto).
INSIDE: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse tensor", 23: "sparse tensor"},
    "sparse tensor": {1: "tensor", 2: "tensor"},
}
EXTERNAL_DATA, DATA_LOCATION, EXTERNAL = 13, 14, 1  # of a tensor
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
FIXED = {FIXED64: 8, FIXED32: 4}


def beside(model: Path) -> list[Path]:
    """The files that the weights of a model lie in, by name; BadModel for one that cannot be sent with it."""
    with model.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data.find(b"location") < 0:  # the key that every such weight has
            return []
        try:
            names = sorted(set(_locations(data, "model", 0, len(data))))
        except (IndexError, UnicodeDecodeError):  # no ONNX file: the server says that better
            return []
    return [_found(model, name) for name in names]


def _found(model: Path, name: str) -> Path:
    if not flat(name) or name == MODEL:
        raise BadModel(
            f"weights of {str(model)!r} lie in {name!r}: only files beside the model are taken, without folders; save "
            "it again with onnx.save(model, path, save_as_external_data=True, location='weights.bin')"
        )
    if not (path := model.with_name(name)).is_file():
        raise BadModel(f"weights of {str(model)!r} lie in {name!r}, which is not beside it: put it there")
    return path


def _locations(data: mmap.mmap, message: str, start: int, end: int) -> Iterator[str]:
    """The location of every external tensor in a message."""
    if message == "tensor":
        yield from _location(data, start, end)
        return
    for number, wire, at, stop in _fields(data, start, end):
        if wire == BYTES and number in INSIDE[message]:
            yield from _locations(data, INSIDE[message][number], at, stop)


def _location(data: mmap.mmap, start: int, end: int) -> Iterator[str]:
    fields = list(_fields(data, start, end))
    if any(number == DATA_LOCATION and _varint(data, at)[0] == EXTERNAL for number, _, at, _ in fields):
        for _, _, at, stop in (field for field in fields if field[0] == EXTERNAL_DATA):
            entry = {number: data[first:last] for number, _, first, last in _fields(data, at, stop)}
            if entry.get(1) == b"location":
                yield entry.get(2, b"").decode()


def _fields(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Number, wire type, and where the value begins and ends, of each field of a message."""
    while start < end:
        key, start = _varint(data, start)
        wire, size = key & 7, 0
        if wire == BYTES:
            size, start = _varint(data, start)
            stop = start + size
        else:
            stop = start + FIXED[wire] if wire in FIXED else _varint(data, start)[1]
        if stop > end:
            raise IndexError("a field ends behind its message")
        yield key >> 3, wire, start, stop
        start = stop


def _varint(data: mmap.mmap, at: int) -> tuple[int, int]:
    """A number, and where the next thing begins."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
