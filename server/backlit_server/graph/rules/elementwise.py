"""Rules of element-wise operators that need more than a line."""

from collections.abc import Callable
from math import pi, sqrt
from typing import Any

import numpy as np

from backlit_server.graph.recording.sym import Array
from backlit_server.graph.rules.masks import where_between

SIX = 6  # a Clip from 0 to 6 is how ReLU6 is written


def clip(g: Array, y: Array, x: Array, lo: Array, hi: Array) -> tuple[Any, ...]:
    """Where the bounds cross (lo > hi), y is hi everywhere."""
    if is_relu6(lo, hi):
        return where_between(g, y, SIX), lambda: np.where(x < lo, g, 0), lambda: np.where(x > hi, g, 0)
    inside = np.where(x == y, g, 0)
    if lo is not None and hi is not None:
        return inside, lambda: np.where((x < lo) & (lo <= hi), g, 0), lambda: np.where((x > hi) | (lo > hi), g, 0)
    return inside, lambda: np.where(x < lo, g, 0), lambda: np.where(x > hi, g, 0)


def is_relu6(lo: Array, hi: Array) -> bool:
    """Whether these are the bounds of a ReLU6."""
    return all(b is not None and b.value is not None and b.value == at for b, at in ((lo, 0), (hi, SIX)))


def dropout(g: Any, y: Any, x: Array, ratio: Array, training: Array, **_: Any) -> tuple[Any, ...]:
    """Without training the identity; with it, what the mask of this run keeps is scaled by 1 / (1 - ratio)."""
    if training is None or _is_zero(training) or (ratio is not None and _is_zero(ratio)):
        return g[0], None
    rate = 0.5 if ratio is None else ratio.astype(g[0].dtype)
    return np.where(training, np.where(y[1], g[0] / (1 - rate), 0), g[0]), None


def _is_zero(x: Array) -> bool:
    return x.constant and not x.value.any()


def extremum(g: Array, y: Array, *xs: Array) -> tuple[Array, ...]:
    """Max and Min: those that are equal to the result share the gradient."""
    chosen = [(x == y).astype(g.dtype) for x in xs]
    count = sum(chosen[1:], chosen[0])
    return tuple(g * c / count for c in chosen)


def mish(g: Array, y: Array, x: Array) -> Array:
    gate = np.tanh(x.op("Softplus"))
    return g * (gate + x * (1 - gate * gate) * x.op("Sigmoid"))


def modulo(g: Array, y: Array, a: Array, b: Array, fmod: int) -> tuple[Any, ...]:
    """fmod: a - b trunc(a / b). The other kind does not exist for floats."""
    return g, lambda: -g * np.sign(a / b) * np.floor(abs(a / b))


def power(g: Array, y: Array, a: Array, b: Array) -> tuple[Any, ...]:
    """d/da = b a^(b-1), which is 0 where b = 0 whatever a; d/db = y log(a), 0 where a is not positive."""

    def base() -> Array:
        exponent = b.astype(a.dtype)
        if exponent.value is not None and exponent.value.size == 1 and exponent.value.item() == 2:
            return g * (2 * a)
        return np.where(exponent == 0, 0, g * exponent * a ** (exponent - 1))

    return base, lambda: np.where(a > 0, g * y * np.log(np.where(a > 0, a, 1)), 0)


def swish(g: Array, y: Array, x: Array, alpha: float) -> Array:
    gate = (x * alpha).op("Sigmoid")
    return g * (gate + alpha * y * (1 - gate))


def _gelu_slope(x: Array) -> Array:
    """Of x Phi(x), Phi the normal distribution."""
    return 0.5 * (1 + (x / sqrt(2)).op("Erf")) + x * np.exp(-0.5 * x * x) / sqrt(2 * pi)


def _gelu_tanh_slope(x: Array) -> Array:
    """Of 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))."""
    gate = np.tanh(sqrt(2 / pi) * (x + 0.044715 * x * x * x))
    return 0.5 * (1 + gate) + 0.5 * x * (1 - gate * gate) * sqrt(2 / pi) * (1 + 3 * 0.044715 * x * x)


GELU_SLOPES: dict[str, Callable[[Array], Array]] = {"none": _gelu_slope, "tanh": _gelu_tanh_slope}
