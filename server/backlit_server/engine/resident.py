"""Tensors that stay on a device between two sessions, and come to the host when somebody asks for their numbers.

Everything goes by ONNX Runtime's IO binding (https://onnxruntime.ai/docs/performance/tune-performance/iobinding.html).
"""

import functools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
import onnxruntime
from onnx import helper

ALIGNED = 256  # bytes: where a tensor of an arena begins, so that kernels may read several numbers at once


class Place(NamedTuple):
    """Where tensors stay, as ONNX Runtime calls it: a kind of device, and which one."""

    kind: str
    ordinal: int


HOST = Place("cpu", 0)


@dataclass(frozen=True, eq=False)
class Held:
    """What a session left on the device; it may be let go before what it left."""

    value: onnxruntime.OrtValue
    place: Place

    @functools.cached_property
    def numbers(self) -> np.ndarray:
        """All of it on the host, copied once."""
        return self.value.numpy()


class Resident(np.lib.mixins.NDArrayOperatorsMixin):
    """A tensor on a device, or some of its rows: an array to everyone, but for sessions, which read it where it is.

    Shape, type and rows cost nothing; whatever else is asked of it, its numbers on the host answer.
    """

    def __init__(self, held: Held, shape: tuple[int, ...], dtype: np.dtype, first: int = 0) -> None:
        self.shape, self.dtype = shape, dtype
        self._held, self._first = held, first

    @classmethod
    def whole(cls, value: onnxruntime.OrtValue, place: Place) -> "Resident":
        """All that a session left in one tensor, which has a first axis."""
        return cls(Held(value, place), tuple(value.shape()), helper.tensor_dtype_to_np_dtype(value.element_type()))

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    @property
    def base(self) -> Held | None:
        """What these are rows of, None where they are all, as arrays tell it."""
        return None if len(self) == self._held.value.shape()[0] else self._held

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        if key is Ellipsis:
            return self
        if isinstance(key, slice) and key.step is None:
            start, stop, _ = key.indices(len(self))
            return Resident(self._held, (max(0, stop - start), *self.shape[1:]), self.dtype, self._first + start)
        return np.asarray(self)[key]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        rows = self._held.numbers[self._first : self._first + len(self)]
        return np.array(rows, dtype, copy=copy)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        arrays = (np.asarray(one) if isinstance(one, Resident) else one for one in inputs)
        return getattr(ufunc, method)(*arrays, **options)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # protocols that numpy looks for, which __array__ goes before
            raise AttributeError(name)
        return getattr(np.asarray(self), name)

    def bind(self, binding: onnxruntime.IOBinding, name: str) -> None:
        """Makes it an input of a run; rows that begin where no tensor would go by way of the host."""
        offset = self._first * math.prod(self.shape[1:]) * self.dtype.itemsize
        if offset % ALIGNED:
            binding.bind_cpu_input(name, np.asarray(self))
            return
        value = self._held.value
        binding.bind_input(name, *self._held.place, value.element_type(), self.shape, value.data_ptr() + offset)


def can_stay(told: str) -> bool:
    """Whether values of a type, as ONNX Runtime tells it, can lie on a device: no text, no sequence."""
    return told.startswith("tensor(") and told != "tensor(string)"


def run_bound(
    session: onnxruntime.InferenceSession,
    outputs: Sequence[str],
    feeds: Mapping[str, np.ndarray],
    options: onnxruntime.RunOptions,
    place: Place,
    staying: Collection[str],
) -> list[np.ndarray]:
    """One run whose inputs may be on a device, and whose outputs of these names stay there as Residents."""
    binding = session.io_binding()
    for name, given in feeds.items():
        if isinstance(given, Resident):
            given.bind(binding, name)
        else:
            binding.bind_cpu_input(name, given)
    for name in outputs:
        kind, ordinal = place if name in staying else HOST
        binding.bind_output(name, kind, ordinal)
    session.run_with_iobinding(binding, options)
    if not staying:
        return binding.copy_outputs_to_cpu()
    made = zip(outputs, binding.get_outputs(), strict=True)
    return [_made(value, place) if name in staying else value.numpy() for name, value in made]


def _made(value: onnxruntime.OrtValue, place: Place) -> np.ndarray:
    """A tensor that stays; a single number is not worth it."""
    return cast(np.ndarray, Resident.whole(value, place)) if value.shape() else value.numpy()
