"""A contact sheet: pictures down, methods across. Needs the extra: pip install 'backlit[pictures]'."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from backlit.answers import Explanation
from backlit.pictures import blend, load, wrapped

try:
    from matplotlib.figure import Figure
    from PIL import Image
except ImportError as missing:
    raise ImportError(f"drawing needs {missing.name}: pip install 'backlit[pictures]'", name=missing.name) from missing

TILE = 1.7  # inches across
TITLE, GAP = 0.3, 0.08  # inches above the sheet, and between its rows
PIXELS = 320  # of a tile's longer side


def sheet(
    shown: Mapping[Path, Mapping[str, Explanation]], methods: Sequence[str], input_size: tuple[int, int] | None
) -> Figure:
    """Each picture beside its overlays, one a method, with the names of the methods above."""
    photos = [_small(picture) for picture in shown]
    talls = [TILE * photo.shape[0] / photo.shape[1] for photo in photos] or [TILE]
    columns = len(methods) + 1
    figure = Figure(figsize=(columns * TILE, sum(talls) + TITLE + GAP * len(talls)), layout="constrained", dpi=120)
    axes = figure.subplots(len(talls), columns, squeeze=False, height_ratios=talls)
    for axis in axes.ravel():
        axis.set_axis_off()
    for axis, name in zip(axes[0], ("", *methods), strict=True):
        axis.set_title(wrapped(name.replace(":", "\n")), fontsize=7, parse_math=False)
    for line, photo, found in zip(axes, photos, shown.values(), strict=False):
        line[0].imshow(photo)
        for axis, method in zip(line[1:], methods, strict=True):
            # Boxes of detectors are in pixels of the picture itself.
            axis.imshow(blend(photo, replace(found[method], detection=None), input_size=input_size))
    return figure


def _small(picture: Path) -> np.ndarray:
    image = Image.fromarray(load(picture))
    image.thumbnail((PIXELS, PIXELS))
    return np.asarray(image)
