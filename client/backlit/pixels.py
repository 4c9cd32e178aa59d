"""Pictures as the wire takes them: an encoded file, or uint8 pixels."""

from os import PathLike
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadQuestion
from backlit_proto.tensors import to_tensor


@runtime_checkable
class PilImage(Protocol):
    """A Pillow image, told by its methods: Pillow itself is not needed to send one."""

    @property
    def mode(self) -> str: ...

    def convert(self, mode: str) -> "PilImage": ...
    def tobytes(self) -> bytes: ...


Picture = str | PathLike | bytes | bytearray | memoryview | PilImage


def is_picture(given: object) -> bool:
    """Paths, encoded bytes and Pillow images are pictures whatever the model; uint8 arrays depend on it."""
    # Arrays first: to tell a Pillow image by its methods takes longer than all else that is done to one.
    return not isinstance(given, np.ndarray) and isinstance(given, Picture)


def is_pixels(array: np.ndarray) -> bool:
    """Height x width x 3 or height x width, uint8."""
    return array.dtype == np.uint8 and (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3))


def encode_picture(given: Picture | np.ndarray) -> pb.Picture:
    """One picture of any form; BadQuestion names the file that cannot be read."""
    if isinstance(given, np.ndarray):
        return pb.Picture(pixels=to_tensor(given))
    if isinstance(given, bytes | bytearray | memoryview):
        return pb.Picture(file=bytes(given))
    if isinstance(given, str | PathLike):
        return pb.Picture(file=_file(Path(given)))
    return pb.Picture(pixels=to_tensor(np.asarray(given if given.mode in ("RGB", "L") else given.convert("RGB"))))


def _file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadQuestion(f"no picture can be read from {str(path)!r}: {error.strerror}") from None
