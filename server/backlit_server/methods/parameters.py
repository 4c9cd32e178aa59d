"""What a parameter of a method may be: the types that signatures are written in.

A signature says all there is to know of a parameter: `masks: Count = 4000` is a whole number from 1 to a billion.
"""

import math
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np


@dataclass(frozen=True)
class Range:
    """The numbers from `low` to `high`, both among them."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"from {self.low:,} to {self.high:,}"

    def checked(self, convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """The conversion, for values of the range alone."""

        def within(given: Any) -> Any:
            value = convert(given)
            if value not in self:
                raise ValueError(value)
            return value

        return within


Array = np.ndarray
Count = Annotated[int, Range(1, 1_000_000_000)]
Seed = Annotated[int, Range(0, 2**53 - 1)]  # what the wire's doubles tell apart
Tolerance = Annotated[float, Range(0, 1)]
"""Of a standard error, as a share of the map's span; 0: no early stop."""
Filling = float | Array
"""What stands for nothing: a number, or an array of the shape of one image."""
Images = Array | None
"""Images (n, channels, height, width); None: none are given."""


def conversion(kind: Any) -> tuple[Callable[[Any], Any], str]:
    """How a value from the wire, where all numbers are doubles, becomes one of this type, and what the type is called.

    It raises TypeError or ValueError for a value that is none.
    """
    if typing.get_origin(kind) is Literal:
        words = typing.get_args(kind)
        return _one_of(words), f"one of {', '.join(words)}"
    if typing.get_origin(kind) is Annotated:
        base, limits = typing.get_args(kind)
        convert, called = conversion(base)
        return limits.checked(convert), f"{called} {limits}"
    return CONVERSIONS[kind]


def type_name(kind: Any) -> str:
    """What ListMethods calls a type."""
    if typing.get_origin(kind) is Annotated:
        return type_name(typing.get_args(kind)[0])
    return TYPE_NAMES.get(kind) or (
        kind.__name__ if isinstance(kind, type) and not typing.get_args(kind) else str(kind)
    )


def _integer(value: Any) -> int:
    if isinstance(value, bool) or int(value) != value:
        raise ValueError(value)
    return int(value)


def _integers(value: Any) -> tuple[int, ...]:
    return tuple(_integer(v) for v in value)


def _numbers(value: Any) -> tuple[float, ...]:
    return tuple(map(_number, value if isinstance(value, Iterable) else (value,)))


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(value)
    return value


def _one_of(values: tuple[str, ...]) -> Callable[[Any], str]:
    """The conversion to one of several words."""

    def chosen(value: Any) -> str:
        if value not in values:
            raise ValueError(value)
        return value

    return chosen


def _number(value: Any) -> float:
    if isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(value)
    return float(value)


def _images(value: Any) -> Array:
    made = np.asarray(value, np.float32)
    if made.ndim < 2 or not np.isfinite(made).all():
        raise ValueError(value)
    return made


def _filling(value: Any) -> Filling:
    return _images(value) if isinstance(value, list | np.ndarray) else _number(value)


CONVERSIONS: dict[Any, tuple[Callable[[Any], Any], str]] = {
    int: (_integer, "a whole number"),
    float: (_number, "a number"),
    tuple[int, ...]: (_integers, "a list of whole numbers"),
    tuple[float, ...]: (_numbers, "a number or a list of numbers"),
    bool: (_boolean, "true or false"),
    Filling: (_filling, "a number, or an array of the shape of one input without NaN and infinity"),
    Images: (_images, "an array of one or more inputs without NaN and infinity"),
}
TYPE_NAMES: dict[Any, str] = {Filling: "float or array", Images: "array"}
