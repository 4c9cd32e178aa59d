"""What operators compute that ONNX Runtime has no kernel for on the CPU, in numpy."""

from math import erf

import numpy as np


def gelu(x: np.ndarray) -> np.ndarray:
    return x * (1 + np.vectorize(erf)(x / np.sqrt(2))) / 2


def tanh_gelu(x: np.ndarray) -> np.ndarray:
    return x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2


def softmax(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    e = np.exp(x)
    return e / e.sum(axes, keepdims=True)


def attended(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Of (batch, tokens, heads, channels)."""
    weights = softmax(np.einsum("nqhc,nkhc->nhqk", q, k) / np.sqrt(q.shape[-1]), (3,))
    return np.einsum("nhqk,nkhc->nqhc", weights, v).reshape(*q.shape[:2], -1)


def attended_by_pairs(q: np.ndarray, kv: np.ndarray) -> np.ndarray:
    return attended(q.reshape(2, 4, 2, 4), *np.moveaxis(kv, 3, 0))


def mean_of_bytes(
    x: np.ndarray, scale: np.ndarray, zero: np.ndarray, y_scale: np.ndarray, y_zero: np.ndarray
) -> np.ndarray:
    floats = (x.astype(np.float32) - zero) * scale
    return np.clip(np.rint(floats.mean((2, 3)) / y_scale) + y_zero, 0, 255).astype(np.uint8)


def group_norm(x: np.ndarray, scale: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Of NHWC, two groups, with SiLU behind."""
    n, h, w, c = x.shape
    grouped = x.reshape(n, h, w, 2, c // 2)
    centred = grouped - grouped.mean((1, 2, 4), keepdims=True)
    y = (centred / np.sqrt(grouped.var((1, 2, 4), keepdims=True) + 1e-5)).reshape(x.shape) * scale + bias
    return y / (1 + np.exp(-y))


def nhwc_conv(x: np.ndarray, w: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Of a kernel of one place, OHWI."""
    return np.einsum("nhwi,oi->nhwo", x, w[:, 0, 0]) + bias
