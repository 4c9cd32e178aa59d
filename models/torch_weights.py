"""Reads the arrays of a torch weights file in the legacy format, without torch and without running anything in it.

The format: five pickles (magic number, protocol, byte order, the dictionary of tensors, the storages' keys), then
each storage as a count of elements (int64) and its raw bytes. A pickle can call any function it names, so the
unpickler here knows three things and refuses the rest: an ordered dictionary, a tensor's view of a storage, and the
storages' types.
"""

import pickle
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from backlit_proto.errors import BadModel

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
STORAGES = {
    "HalfStorage": np.dtype("<f2"),
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "LongStorage": np.dtype("<i8"),
}


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """The file's tensors by name; BadModel for a file that holds anything else."""
    with path.open("rb") as file:
        magic, protocol, system, views, keys = (WeightsUnpickler(file).load() for _ in range(5))
        if (magic, protocol) != (MAGIC, PROTOCOL) or not system["little_endian"]:
            raise BadModel(f"{path.name} is not a little-endian weights file in torch's legacy format")
        dtypes = {view.storage: view.dtype for view in views.values()}
        storages = {key: read_storage(file, dtypes[key]) for key in keys}
    return {name: view.of(storages[view.storage]) for name, view in views.items()}


@dataclass(frozen=True)
class View:
    """One tensor: where it lies in which storage, in elements."""

    storage: str
    dtype: np.dtype
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def of(self, storage: np.ndarray) -> np.ndarray:
        """A copy of the tensor's elements, after checking that all of them lie in the storage."""
        last = self.offset + sum((n - 1) * step for n, step in zip(self.shape, self.strides, strict=True))
        if min(self.offset, *self.strides, *self.shape, 0) < 0 or last >= storage.size:
            raise BadModel(f"a tensor of shape {self.shape} reaches beyond its storage of {storage.size} elements")
        strides = [step * storage.itemsize for step in self.strides]
        return np.lib.stride_tricks.as_strided(storage[self.offset :], self.shape, strides, writeable=False).copy()


class WeightsUnpickler(pickle.Unpickler):
    """An unpickler that can build a dictionary of tensors and nothing else."""

    def find_class(self, module: str, name: str) -> Any:  # the pickle protocol's own type
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return view_of
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        raise BadModel(f"the weights file names {module}.{name}, which is not a tensor; it is not read any further")

    def persistent_load(self, pid: tuple) -> tuple[str, np.dtype]:
        kind, dtype, key, *_ = pid
        if kind != "storage":
            raise BadModel(f"the weights file refers to a {kind}; only storages are known")
        return key, dtype


def view_of(storage: tuple[str, np.dtype], offset: int, shape: Sequence, strides: Sequence, *_: object) -> View:
    """What torch._utils._rebuild_tensor_v2 stands for; gradients and hooks are left out."""
    return View(*storage, offset, tuple(shape), tuple(strides))


def read_storage(file: BinaryIO, dtype: np.dtype) -> np.ndarray:
    """The next storage of the file: its count of elements, then the elements."""
    count = int.from_bytes(file.read(8), "little")
    data = file.read(count * dtype.itemsize)
    if len(data) != count * dtype.itemsize:
        raise BadModel(f"the weights file ends within a storage of {count} elements")
    return np.frombuffer(data, dtype)
