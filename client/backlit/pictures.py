"""Heatmaps over pictures, for people. Needs the extra: pip install 'backlit[pictures]'.

from backlit import pictures

pictures.overlay("cat.jpg", model.explain("cat.jpg", target="top3")).savefig("cat-grad-cam.png")
"""

import io
import math
import textwrap
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np

from backlit.answers import Explanation
from backlit.pixels import Picture, PilImage
from backlit.placement import place, seen
from backlit_proto.errors import BadQuestion

try:
    import matplotlib
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from PIL import Image, ImageOps
except ImportError as missing:
    raise ImportError(f"drawing needs {missing.name}: pip install 'backlit[pictures]'", name=missing.name) from missing

COLUMNS = 4
TILE = 3.4  # inches a picture
TITLE = 0.3  # inches above it
CHARACTERS = 44  # of a title, across a picture
STRONGEST = 0.75  # opacity of the hottest spot: the photograph stays readable under it
UNSEEN = 0.6  # brightness of what lies outside the model's view


def overlay(
    picture: Picture | np.ndarray,
    explanations: Sequence[Explanation],
    *,
    input_size: tuple[int, int] | None = None,
    colors: str = "turbo",
) -> Figure:
    """The picture and one overlay an explanation, each titled with method, class, score and what to be wary of.

    `input_size` (height, width) of the model is needed only where the answer's preprocessing does not say it;
    `colors` is any of matplotlib's colour maps.
    """
    photo = load(picture)
    beside = max(1, min(COLUMNS - 1, len(explanations)))
    rows = max(1, math.ceil(len(explanations) / beside))
    tall = min(max(photo.shape[0] / photo.shape[1], 0.5), 2.0) * TILE + TITLE
    figure = Figure(figsize=((beside + 1) * TILE, rows * tall), layout="constrained", dpi=120)
    axes = figure.subplots(rows, beside + 1, squeeze=False)
    for axis in axes.ravel():
        axis.set_axis_off()
    _show(axes[0, 0], photo, _name(picture))
    for axis, explanation in zip(axes[:, 1:].ravel(), explanations, strict=False):
        _show(axis, blend(photo, explanation, input_size=input_size, colors=colors), title(explanation))
    return figure


def blend(
    picture: Picture | np.ndarray,
    explanation: Explanation,
    *,
    input_size: tuple[int, int] | None = None,
    colors: str = "turbo",
) -> np.ndarray:
    """The picture (uint8, height x width x 3) under the positive part of the heatmap, exactly where it belongs."""
    photo = load(picture).astype(np.float32) / 255
    shape = photo.shape[0], photo.shape[1]
    heat = place(flat(explanation.heatmap), seen(shape, explanation.provenance.preprocessing, input_size), shape)
    hottest = np.nanmax(heat, initial=0)
    heat = np.maximum(heat, 0) / hottest if hottest > 0 else heat * 0
    outside = np.isnan(heat)
    alpha = STRONGEST * np.where(outside, 0, heat)[..., np.newaxis]
    color = matplotlib.colormaps[colors](np.where(outside, 0, heat))[..., :3]
    photo[outside] *= UNSEEN
    return np.rint(255 * (photo * (1 - alpha) + color * alpha)).astype(np.uint8)


def flat(heatmap: np.ndarray) -> np.ndarray:
    """Height x width: of a heatmap with channels, their mean."""
    values = np.asarray(heatmap, np.float32)
    return values.mean(0) if values.ndim == 3 else values.reshape(values.shape if values.ndim == 2 else (1, 1))


def title(explanation: Explanation) -> str:
    """Method, class and score; and the status where it is not OK."""
    target = explanation.name or ("" if explanation.target is None else f"class {explanation.target}")
    lines = [f"{explanation.method}: {target or 'seed'} ({explanation.score:.2f})"]
    return "\n".join(lines + ([] if explanation.status == "OK" else [explanation.status.lower().replace("_", " ")]))


def load(picture: Picture | np.ndarray) -> np.ndarray:
    """The picture as uint8, height x width x 3, turned the way its camera was held."""
    if isinstance(picture, np.ndarray):
        return np.asarray(Image.fromarray(picture).convert("RGB"))
    if isinstance(picture, PilImage):
        return np.asarray(picture.convert("RGB"))
    source = io.BytesIO(picture) if isinstance(picture, bytes | bytearray | memoryview) else Path(picture)
    try:
        with Image.open(source) as image:
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except OSError as error:
        raise BadQuestion(f"a picture cannot be read: {error}") from None


def _name(picture: Picture | np.ndarray) -> str:
    return Path(picture).stem if isinstance(picture, str | PathLike) else ""


def _show(axis: Axes, pixels: np.ndarray, text: str) -> None:
    axis.imshow(pixels)
    lines = [line for paragraph in text.splitlines() for line in textwrap.wrap(paragraph, CHARACTERS)]
    axis.set_title("\n".join(lines), fontsize=9, parse_math=False)
