"""Maps of several layers, or of several versions of an image, as one."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from backlit_server.methods.scaling import normalize, resize

FUSIONS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "mean": lambda maps: maps.mean(0),
    "max": lambda maps: maps.max(0),
    "product": lambda maps: maps.prod(0),
    "tanh-max": lambda maps: np.tanh(2 * maps).max(0),
}
"""What becomes of maps (layers, rows, height, width) between 0 and 1.

mean: as pytorch-grad-cam does it; max: as torchcam; product: only what every layer finds, RefineCAM; tanh-max: shallow
layers, whose few peaks are high, are lifted first: LayerCAM, 2021, eq. 9.
"""


def fused(layers: Sequence[np.ndarray], how: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """One map a row from those of each layer (rows, height, width), and the steps that made it.

    Negative values become 0; each map is scaled to 0..1, then resized to the largest.
    """
    height, width = (max(maps.shape[axis] for maps in layers) for axis in (1, 2))
    finished = [resize(normalize(maps.clip(0)), (height, width)) for maps in layers]
    steps = ("relu", "normalize min-max", f"resize {height}x{width} bilinear, half-pixel centres", f"fuse {how}")
    return FUSIONS[how](np.stack(finished)), steps
