"""Heatmaps over pictures, for people. Needs the extra: pip install 'backlit[pictures]'.

from backlit import pictures

pictures.overlay("cat.jpg", model.explain("cat.jpg", target="top3")).savefig("cat-grad-cam.png")
"""

import io
import math
import textwrap
from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from os import PathLike
from pathlib import Path

import numpy as np

from backlit.answers import Explanation
from backlit.pixels import Picture, PilImage
from backlit.placement import flat, place, seen
from backlit_proto.errors import BadQuestion

try:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from PIL import Image, ImageDraw, ImageOps

    from backlit.shading import two_colored, two_sided, warmed
except ImportError as missing:
    raise ImportError(f"drawing needs {missing.name}: pip install 'backlit[pictures]'", name=missing.name) from missing

COLUMNS = 4
TILE = 3.4  # inches a picture
TITLE = 0.15  # inches above it, and for each line of text
LINE = 0.15
CHARACTERS = 44  # of a title, across a picture
EDGE = 200  # of the picture's shorter side: the line of a box
CHANNELS = "mean of {count} channels; backlit features draws each"
UNSEEN = 0.6  # brightness of what lies outside the model's view


def overlay(
    picture: Picture | np.ndarray,
    explanations: Sequence[Explanation],
    *,
    input_size: tuple[int, int] | None = None,
    colors: str = "turbo",
    share: float | str | None = None,
) -> Figure:
    """The picture and one overlay an explanation, each titled with method, class, score and what to be wary of.

    `input_size` (height, width) of the model is needed only where the answer's preprocessing does not say it;
    `colors` is any of matplotlib's colour maps; `share` as in blend.
    """
    photo = load(picture)
    beside = _beside(explanations)
    rows = max(1, math.ceil(len(explanations) / beside))
    lines = max((wrapped(title(e)).count("\n") + 1 for e in explanations), default=1)
    tall = min(max(photo.shape[0] / photo.shape[1], 0.5), 2.0) * TILE + TITLE + LINE * lines
    figure = Figure(figsize=((beside + 1) * TILE, rows * tall), layout="constrained", dpi=120)
    axes = figure.subplots(rows, beside + 1, squeeze=False)
    for axis in axes.ravel():
        axis.set_axis_off()
    _show(axes[0, 0], photo, _name(picture))
    for axis, explanation in zip(axes[:, 1:].ravel(), explanations, strict=False):
        _show(axis, blend(photo, explanation, input_size=input_size, colors=colors, share=share), title(explanation))
    return figure


def _beside(explanations: Sequence[Explanation]) -> int:
    """How many overlays make a row: those of one method or of one target, where that is as many each time."""
    most = max(1, min(COLUMNS - 1, len(explanations)))
    for shared in (attrgetter("method"), attrgetter("target")):
        lengths = {len(list(some)) for _, some in groupby(explanations, shared)}
        if len(lengths) == 1 and 1 < max(lengths) <= most:
            return max(lengths)
    return most


def blend(
    picture: Picture | np.ndarray,
    explanation: Explanation,
    *,
    input_size: tuple[int, int] | None = None,
    colors: str = "turbo",
    share: float | str | None = None,
) -> np.ndarray:
    """The picture (uint8, height x width x 3) under the heatmap, exactly where it belongs.

    Under its positive part in `colors`; a map of single pixels with signs in red for the target and blue against it. A
    heatmap without places, as of scores, covers nothing. The box of a detector is drawn around what it found; with a
    `share`, as in `backlit.boxes`, that of the largest hot region as well.
    """
    photo = load(picture).astype(np.float32) / 255
    shape, values = (photo.shape[0], photo.shape[1]), flat(explanation.heatmap)
    if values.size > 1:
        heat = place(values, seen(shape, explanation.provenance.preprocessing, input_size), shape)
        if two_sided(values, explanation.provenance.steps):
            photo = two_colored(photo, heat, values)
        else:
            photo = warmed(photo, heat, values, colors)
        photo[np.isnan(heat)] *= UNSEEN
    drawn = outlined(np.rint(255 * photo).astype(np.uint8), _box_in(shape, explanation, input_size))
    return outlined(drawn, explanation.box(shape, share=share, input_size=input_size) if share else None)


def outlined(photo: np.ndarray, box: Sequence[float] | None) -> np.ndarray:
    """The picture with the edges of a box (x_min, y_min, x_max, y_max) in white with black beside it."""
    if box is None:
        return photo
    image = Image.fromarray(photo)
    width = max(1, round(min(photo.shape[:2]) / EDGE))
    draw = ImageDraw.Draw(image)
    x_min, y_min, x_max, y_max = box
    for inset, color in ((width, "black"), (0, "white")):
        corners = (x_min - inset, y_min - inset, x_max + inset, y_max + inset)
        draw.rectangle(corners, outline=color, width=width)
    return np.asarray(image)


def _box_in(
    photo: tuple[int, int], explanation: Explanation, input_size: tuple[int, int] | None
) -> tuple[float, ...] | None:
    """The detected box in pixels of the photo, which it is told in unless the caller prepared the input."""
    corners = explanation.detection.corners if explanation.detection else None
    if corners is None or explanation.provenance.preprocessing or not input_size:
        return corners
    across = (photo[1] / input_size[1], photo[0] / input_size[0]) * 2
    return tuple(side * scale for side, scale in zip(corners, across, strict=True))


def title(explanation: Explanation) -> str:
    """Method, class and score; what is drawn of many channels; and the status where it is not OK."""
    lines = [f"{explanation.method}: {explanation.subject} ({explanation.score:.2f})"]
    count, *places = explanation.heatmap.shape if explanation.heatmap.ndim == 3 else (1,)
    lines += [CHANNELS.format(count=count)] if math.prod(places) > 1 else []
    return "\n".join(lines + ([] if explanation.status == "OK" else [explanation.status.lower().replace("_", " ")]))


def wrapped(text: str) -> str:
    """A title in lines that are no wider than a picture."""
    return "\n".join(line for paragraph in text.splitlines() for line in textwrap.wrap(paragraph, CHARACTERS))


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
    axis.set_anchor("S")  # what room there is belongs to the title
    axis.set_title(wrapped(text), fontsize=9, parse_math=False)
