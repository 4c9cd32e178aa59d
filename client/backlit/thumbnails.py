"""Pictures where vectors put them, for people. Needs the extra: pip install 'backlit[pictures]'."""

from collections.abc import Sequence

import numpy as np

from backlit.pictures import load
from backlit.pixels import Picture

try:
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage
    from PIL import Image
except ImportError as missing:
    raise ImportError(f"drawing needs {missing.name}: pip install 'backlit[pictures]'", name=missing.name) from missing

DPI = 100
SIDE = 11  # inches of the page
SHARE = 0.3  # of the page that thumbnails would cover if none lay over another
LARGEST, SMALLEST = 96, 20  # pixels of a thumbnail's longer side
COLORS = "tab10"


def scattered(
    pictures: Sequence[Picture | np.ndarray],
    places: np.ndarray,
    *,
    axes: tuple[str, str] = ("", ""),
    groups: Sequence[str] = (),
    title: str = "",
) -> Figure:
    """Each picture as a thumbnail at its place (n, 2); framed in the color of its group, where groups are told."""
    figure = Figure(figsize=(SIDE, SIDE), dpi=DPI, layout="constrained")
    axis = figure.add_subplot()
    axis.scatter(places[:, 0], places[:, 1], s=0)
    axis.margins(0.08)
    axis.set_xlabel(axes[0])
    axis.set_ylabel(axes[1])
    axis.set_title(title, fontsize=10, parse_math=False)
    axis.tick_params(labelsize=8)
    colors = group_colors(groups)
    frames = [colors[group] for group in groups] or ["0.6"] * len(pictures)
    for picture, place, color in zip(pictures, places, frames, strict=True):
        box = OffsetImage(thumbnail(picture, side(len(pictures))), zoom=72 / DPI)
        frame = {"edgecolor": color, "linewidth": 2 if groups else 0.5}
        axis.add_artist(AnnotationBbox(box, tuple(place), pad=0, bboxprops=frame))
    for group, color in colors.items():
        axis.plot([], [], "s", color=color, label=group)
    if colors:
        axis.legend(fontsize=8, loc="best")
    return figure


def side(count: int) -> int:
    """Pixels of a thumbnail's longer side, of so many."""
    return int(np.clip(SIDE * DPI * np.sqrt(SHARE / count), SMALLEST, LARGEST))


def thumbnail(picture: Picture | np.ndarray, longest: int) -> np.ndarray:
    """The picture (uint8, height x width x 3), its longer side so many pixels."""
    image = Image.fromarray(load(picture))
    image.thumbnail((longest, longest))
    return np.asarray(image)


def group_colors(groups: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """A colour a group, in the order of their names; of more than there are colours, some share one."""
    palette = matplotlib.colormaps[COLORS]
    return {group: palette(k % palette.N) for k, group in enumerate(sorted(set(groups)))}
