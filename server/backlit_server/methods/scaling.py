"""Maps in other sizes and ranges."""

import numpy as np

from backlit_server.methods.interpolation import BILINEAR, interpolation


def normalize(heatmaps: np.ndarray, epsilon: float = 0.0) -> np.ndarray:
    """Each row min-max to 0..1, its span enlarged by `epsilon`; a constant map becomes 0 (its status says so)."""
    axes = tuple(range(1, heatmaps.ndim))
    low, high = heatmaps.min(axes, keepdims=True), heatmaps.max(axes, keepdims=True)
    return (heatmaps - low) / np.where(high > low, high - low + heatmaps.dtype.type(epsilon), 1)


def spread(heatmaps: np.ndarray, low: float, high: float) -> np.ndarray:
    """`low` becomes 0 and `high` 1; what lies beyond is cut off."""
    return (heatmaps.clip(low, high) - low) / (high - low)


def resize(heatmap: np.ndarray, size: tuple[int, ...], kind: str = BILINEAR) -> np.ndarray:
    """Heatmaps (..., height, width) at another size, by a kind of INTERPOLATIONS.

    Bilinear has half-pixel centres and no antialiasing, as cv2.resize and ONNX Resize's default do it.
    """
    rows = interpolation(heatmap.shape[-2], size[0], kind)
    columns = interpolation(heatmap.shape[-1], size[1], kind)
    return (rows @ heatmap @ columns.T).astype(heatmap.dtype)
