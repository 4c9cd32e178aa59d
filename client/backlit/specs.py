"""Tensors as a file declares them."""

from dataclasses import dataclass

import numpy as np

from backlit.words import word
from backlit_proto import backlit_pb2 as pb
from backlit_proto.tensors import DTYPES

NAMED = {dtype.name: dtype for dtype in DTYPES.values()}


@dataclass(frozen=True)
class TensorSpec:
    """A declared tensor; free dimensions are -1 in `shape`, and have their symbolic name (or "") in `dim_names`."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    dim_names: tuple[str, ...] = ()

    @classmethod
    def read(cls, message: pb.TensorSpec) -> "TensorSpec":
        known = DTYPES.get(message.data_type)
        dtype = known.name if known else word(pb.DataType, message.data_type).removeprefix("DATA_TYPE_").lower()
        return cls(message.name, dtype, tuple(message.shape), tuple(message.dim_names))

    def __str__(self) -> str:
        return f"{self.name} {self.dtype} {dimensions(self.shape, self.dim_names)}"


@dataclass(frozen=True)
class Input:
    """A graph input; `layout` is "NCHW", "NHWC", or "" when it is not an image."""

    tensor: TensorSpec
    layout: str

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width, where the file fixes them."""
        rows, columns = self.layout.find("H"), self.layout.find("W")
        if not self.layout or min(size := (self.tensor.shape[rows], self.tensor.shape[columns])) < 1:
            return None
        return size

    def __str__(self) -> str:
        return f"{self.tensor}  {self.layout or 'not an image'}"


def numpy_dtype(spec: TensorSpec) -> np.dtype:
    """The dtype to send: the declared one, float32 where numpy has none (bfloat16)."""
    return NAMED.get(spec.dtype, np.dtype(np.float32))


def dimensions(shape: tuple[int, ...], names: tuple[str, ...] = ()) -> str:
    """[N, 3, 224, 224]: free dimensions by their name, ? without one."""
    names = names or ("",) * len(shape)
    return "[" + ", ".join(str(n) if n >= 0 else name or "?" for n, name in zip(shape, names, strict=True)) + "]"
