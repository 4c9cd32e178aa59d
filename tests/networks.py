"""Random numbers, relevance at the input of a network, and a convolution as a matrix."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import onnx

import plain
from backlit_server.graph import differentiate
from backlit_server.graph.vjp import Rule

Table = Mapping[str, Rule]


def relevance(net: onnx.ModelProto, rules: Table, x: np.ndarray, seed: np.ndarray) -> np.ndarray:
    return plain.values(differentiate(net, ["y"], ["x"], rules), ["grad/x"], {"x": x, "grad/y": seed})[0]


class Normal(Protocol):
    """Draws normal numbers."""

    def __call__(self, *shape: int, scale: float = 1.0) -> np.ndarray: ...


def normals(seed: int) -> Normal:
    """Draws the same numbers one after the other, whoever else draws some."""
    random = np.random.default_rng(seed)
    return lambda *shape, scale=1.0: (random.standard_normal(shape) * scale).astype(np.float32)


def as_matrix(w: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A 3x3 convolution with stride 2 and a border of one over 6x6, as (inputs, outputs) and a bias an output."""
    matrix = np.zeros((2, 8, 8, 3, 3, 3), np.float64)
    for i, j in np.ndindex(3, 3):
        matrix[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3, :, i, j] += w.transpose(1, 2, 3, 0)
    return matrix[:, 1:7, 1:7].reshape(72, 27), b.repeat(9)
