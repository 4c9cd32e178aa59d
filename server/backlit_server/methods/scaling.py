"""Maps in other sizes and ranges."""

import numpy as np


def normalize(heatmaps: np.ndarray) -> np.ndarray:
    """Each row min-max to 0..1; a constant map becomes 0 (its status says so)."""
    axes = tuple(range(1, heatmaps.ndim))
    low, high = heatmaps.min(axes, keepdims=True), heatmaps.max(axes, keepdims=True)
    return (heatmaps - low) / np.where(high > low, high - low, 1)


def spread(heatmaps: np.ndarray, low: float, high: float) -> np.ndarray:
    """`low` becomes 0 and `high` 1; what lies beyond is cut off."""
    return (heatmaps.clip(low, high) - low) / (high - low)


def resize(heatmap: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Bilinear with half-pixel centres and no antialiasing, as cv2.resize and ONNX Resize's default do it."""
    rows = interpolation(heatmap.shape[-2], size[0])
    columns = interpolation(heatmap.shape[-1], size[1])
    return (rows @ heatmap @ columns.T).astype(heatmap.dtype)


def interpolation(source: int, target: int) -> np.ndarray:
    """The (target, source) matrix of linear interpolation along one axis; edges are repeated."""
    centres = ((np.arange(target) + 0.5) * source / target - 0.5).clip(0, source - 1)
    left = np.floor(centres).astype(int)
    right = np.minimum(left + 1, source - 1)
    share = centres - left
    matrix = np.zeros((target, source), np.float32)
    np.add.at(matrix, (np.arange(target), left), 1 - share)
    np.add.at(matrix, (np.arange(target), right), share)
    return matrix
