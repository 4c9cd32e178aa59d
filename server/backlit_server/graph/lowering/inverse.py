"""The inverse of small matrices, which ONNX has no operator for."""

from collections.abc import Callable

import numpy as np

from backlit_server.graph.lowering.fused import unsupported
from backlit_server.graph.recording.sym import Array


def inverse(x: Array) -> Array:
    """Inverse of matrices of up to three rows, by their cofactors."""
    size = x.shape[-1]
    if size not in COFACTORS:
        raise unsupported(f"it inverts matrices of {size} rows; up to 3 can be written out")
    return COFACTORS[size](x)


def _inverse_of_two(x: Array) -> Array:
    (a, b), (c, d) = ([x[..., i : i + 1, j : j + 1] for j in range(2)] for i in range(2))
    rows = [np.concatenate([d, -b], -1), np.concatenate([-c, a], -1)]
    return np.concatenate(rows, -2) / (a * d - b * c)


def _inverse_of_three(x: Array) -> Array:
    """The rows of the adjugate are cross products of columns."""
    columns = [x[..., :, j] for j in range(3)]
    rows = [_cross(columns[(i + 1) % 3], columns[(i + 2) % 3]) for i in range(3)]
    determinant = (columns[0] * rows[0]).sum(-1, keepdims=True)
    return np.concatenate([(row / determinant)[..., None, :] for row in rows], -2)


def _cross(a: Array, b: Array) -> Array:
    turned = ([1, 2, 0], [2, 0, 1])
    return a[..., turned[0]] * b[..., turned[1]] - a[..., turned[1]] * b[..., turned[0]]


COFACTORS: dict[int, Callable[[Array], Array]] = {1: lambda x: 1 / x, 2: _inverse_of_two, 3: _inverse_of_three}
