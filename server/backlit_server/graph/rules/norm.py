"""Rules of normalisations."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from onnx import TensorProto

from backlit_server.graph.recording.indexing import FAR
from backlit_server.graph.recording.sym import Array


def batch_normalization(
    g: Any,
    y: Any,
    x: Array,
    scale: Array,
    bias: Array,
    mean: Array,
    variance: Array,
    *,
    training_mode: int,
    **more: Any,
) -> tuple[Callable[[], Array], ...]:
    """A linear map, a channel at a time; of a training network, statistics of the batch like any normalisation's."""
    if training_mode:
        return _with_batch_statistics(g, x, scale, **more)
    return _with_stored_statistics(g[0], x, scale, mean, variance, **more)


def _with_stored_statistics(
    g: Array, x: Array, scale: Array, mean: Array, variance: Array, *, epsilon: float, **_: Any
) -> tuple[Callable[[], Array], ...]:
    column = [-1] + [1] * (x.rank - 2)
    others = [axis for axis in range(x.rank) if axis != 1]
    inverse = 1 / np.sqrt(variance + epsilon)
    centred = x - mean.reshape(column)
    return (
        lambda: g * (scale * inverse).reshape(column),
        lambda: (g * centred).sum(others) * inverse,
        lambda: g.sum(others),
        lambda: -g.sum(others) * scale * inverse,
        lambda: (g * centred).sum(others) * scale * inverse**3 * -0.5,
    )


def _with_batch_statistics(g: Any, x: Array, scale: Array, *, epsilon: float, momentum: float) -> tuple[Any, ...]:
    """Training: the further outputs are running statistics, old ones times momentum and new ones times the rest."""
    axes = [axis for axis in range(x.rank) if axis != 1]
    column = [-1] + [1] * (x.rank - 2)
    normal, inverse = _statistics(x, axes, epsilon)
    new = (1 - momentum) / x.size_of(axes)
    parts = []
    if g[0] is not None:
        parts.append(_normalised(g[0] * scale.reshape(column), normal, inverse, axes))
    if g[1] is not None:
        parts.append((new * g[1]).reshape(column))
    if g[2] is not None:
        parts.append((2 * new * g[2]).reshape(column) * normal / inverse)
    slopes = ((g[0] * normal).sum(axes), g[0].sum(axes)) if g[0] is not None else (None, None)
    return sum(parts[1:], parts[0]), *slopes, *(None if t is None else t * momentum for t in g[1:3])


def layer_normalization(
    g: Any, y: Any, x: Array, scale: Array, bias: Array, *, axis: int, epsilon: float, stash_type: int
) -> tuple[Any, ...]:
    """Mean and inverse deviation come from the operator itself, computed in float32 even for half precision."""
    whole = {"axis": axis, "epsilon": epsilon, "stash_type": stash_type}
    known = y[1] is not None and y[2] is not None
    mean, inverse = y[1:] if known else x.op("LayerNormalization", scale, bias, outputs=3, **whole)[1:]
    axes = list(range(axis % x.rank, x.rank))
    centred = x - mean
    normal = centred * inverse
    parts = []
    if g[0] is not None:
        parts.append(_normalised(g[0] * scale, normal, inverse, axes))
    if g[1] is not None:
        parts.append(g[1] / x.size_of(axes))
    if g[2] is not None:
        parts.append(g[2] * -(inverse**2) * normal / x.size_of(axes))
    slopes = (g[0] * normal, g[0]) if g[0] is not None else (None, None)
    return sum(parts[1:], parts[0]), *slopes


def instance_normalization(
    g: Array, y: Array, x: Array, scale: Array, bias: Array, *, epsilon: float
) -> tuple[Any, ...]:
    axes = list(range(2, x.rank))
    column = [-1] + [1] * len(axes)
    normal, inverse = _statistics(x, axes, epsilon)
    return (
        lambda: _normalised(g * scale.reshape(column), normal, inverse, axes),
        lambda: (g * normal).sum([0, *axes]),
        lambda: g.sum([0, *axes]),
    )


def softmax(g: Array, y: Array, x: Array, *, axis: int) -> Array:
    """A row of nothing but -inf (attention that is masked altogether) is NaN, and has no gradient."""
    share = np.where(np.isnan(y), 0, y)
    return share * (g - (g * share).sum(axis, keepdims=True))


def local_response_normalization(
    g: Array, y: Array, x: Array, *, alpha: float, beta: float, bias: float, size: int
) -> Array:
    """y = x s^-beta, s = bias + alpha / size * (sum of squares of neighbouring channels)."""
    s = bias + alpha / size * _neighbours(x * x, (size - 1) // 2, size // 2)
    through = _neighbours(g * x * s ** (-beta - 1), size // 2, (size - 1) // 2)
    return g * s**-beta - 2 * alpha * beta / size * x * through


def lp_normalization(g: Array, y: Array, x: Array, *, axis: int, p: int) -> Array:
    """x over its norm along an axis; a zero stays zero."""
    size = abs(x).sum(axis, keepdims=True) if p == 1 else np.sqrt((x * x).sum(axis, keepdims=True))
    direction = np.sign(x) if p == 1 else y
    return (g - direction * (g * y).sum(axis, keepdims=True)) / (size + (size == 0))


def rms_normalization(
    g: Array, y: Array, x: Array, scale: Array, *, axis: int, epsilon: float, stash_type: int
) -> tuple[Any, ...]:
    """x over its root mean square, computed in float32 even for half precision."""
    axes = list(range(axis % x.rank, x.rank))
    wide = x.astype(max(TensorProto.FLOAT, x.dtype) if x.dtype == TensorProto.DOUBLE else TensorProto.FLOAT)
    inverse = 1 / np.sqrt((wide * wide).mean(axes, keepdims=True) + epsilon)
    normal = wide * inverse
    gs = g * scale
    return lambda: inverse * (gs - normal * (gs * normal).mean(axes, keepdims=True)), lambda: g * normal


def _statistics(x: Array, axes: Sequence[int], epsilon: float) -> tuple[Array, Array]:
    """x with mean 0 and deviation 1 over the axes, and the inverse of the deviation it had."""
    centred = x - x.mean(axes, keepdims=True)
    inverse = 1 / np.sqrt((centred * centred).mean(axes, keepdims=True) + epsilon)
    return centred * inverse, inverse


def _normalised(g: Array, normal: Array, inverse: Array, axes: Sequence[int]) -> Array:
    """The gradient of what was normalised: without its mean, and without its part along the result."""
    along = (g * normal).mean(axes, keepdims=True)
    return inverse * (g - g.mean(axes, keepdims=True) - normal * along)


def _neighbours(t: Array, before: int, behind: int) -> Array:
    """Sums over neighbouring channels."""
    wide = t.op("Pad", [before, behind], None, [1])
    beyond = before + behind
    parts = [wide.op("Slice", [k], [k - beyond if k < beyond else FAR], [1]) for k in range(beyond + 1)]
    return sum(parts[1:], parts[0])
