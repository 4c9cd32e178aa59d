"""Matrices that give one axis of a map another length: INTERPOLATIONS has one row a kind.

Each is (target, source); none of them smooths before it shrinks. With half-pixel centres place i of n lies at
(i + 1/2) / n of the axis.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

Array = np.ndarray
BILINEAR = "bilinear"


@dataclass(frozen=True)
class Interpolation:
    """A kind of interpolation, in words and as (source, target) -> matrix."""

    words: str
    matrix: Callable[[int, int], Array]


def interpolation(source: int, target: int, kind: str = BILINEAR) -> Array:
    """The (target, source) matrix of a kind."""
    return INTERPOLATIONS[kind].matrix(source, target)


def _bilinear(source: int, target: int) -> Array:
    """Edges are repeated."""
    return _between(_centres(source, target).clip(0, source - 1), source)


def _corners(source: int, target: int) -> Array:
    """First and last place stay first and last."""
    return _between(np.arange(target) * ((source - 1) / max(1, target - 1)), source)


def _nearest(source: int, target: int) -> Array:
    """The place whose share of the axis the left edge of each new place falls into."""
    matrix = np.zeros((target, source), np.float32)
    matrix[np.arange(target), np.arange(target) * source // target] = 1
    return matrix


def _cubic(source: int, target: int) -> Array:
    """Edges are repeated. Keys's kernel with a = -0.75."""
    matrix = np.zeros((target, source), np.float32)
    for places, shares in _taps(source, target, -0.75):
        np.add.at(matrix, (np.arange(target), places.clip(0, source - 1)), shares)
    return matrix


def _cubic_within(source: int, target: int) -> Array:
    """What falls outside is left out, and the rest made to sum to one. Keys's kernel with a = -0.5."""
    matrix = np.zeros((target, source), np.float32)
    for places, shares in _taps(source, target, -0.5):
        inside = (places >= 0) & (places < source)
        np.add.at(matrix, (np.arange(target)[inside], places[inside]), shares[inside])
    return matrix / matrix.sum(1, keepdims=True)


def _centres(source: int, target: int) -> Array:
    return (np.arange(target) + 0.5) * source / target - 0.5


def _between(centres: Array, source: int) -> Array:
    """Each centre between its two neighbours."""
    left = np.floor(centres).astype(int)
    right = np.minimum(left + 1, source - 1)
    share = centres - left
    matrix = np.zeros((len(centres), source), np.float32)
    np.add.at(matrix, (np.arange(len(centres)), left), 1 - share)
    np.add.at(matrix, (np.arange(len(centres)), right), share)
    return matrix


def _taps(source: int, target: int, a: float) -> list[tuple[Array, Array]]:
    """The four neighbours of each centre, with their shares. Keys, Cubic convolution interpolation, 1981, eq. 4."""
    centres = _centres(source, target)
    left = np.floor(centres).astype(int)
    found = []
    for places in (left - 1, left, left + 1, left + 2):
        far = abs(centres - places)
        near = ((a + 2) * far - (a + 3)) * far**2 + 1
        beyond = a * (((far - 5) * far + 8) * far - 4)
        found.append((places, np.where(far <= 1, near, np.where(far < 2, beyond, 0))))
    return found


INTERPOLATIONS: Mapping[str, Interpolation] = {
    BILINEAR: Interpolation("bilinear, half-pixel centres", _bilinear),
    "corners": Interpolation("bilinear, corners aligned", _corners),
    "cubic": Interpolation("bicubic (a = -0.75), half-pixel centres", _cubic),
    "cubic-within": Interpolation("bicubic (a = -0.5), half-pixel centres", _cubic_within),
    "nearest": Interpolation("nearest", _nearest),
}
