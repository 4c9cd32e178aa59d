"""Mosaics with a caption and a scale, for people. Needs the extra: pip install 'backlit[pictures]'.

from backlit import sheets

(e,) = model.explain("cat.jpg", "feature-maps")
sheets.maps(e.heatmap, f"{e.layer} of cat.jpg").savefig("cat-features.png")
"""

from dataclasses import dataclass

import numpy as np

from backlit.mosaics import mosaic, normalized, squarest

try:
    import matplotlib
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure
except ImportError as missing:
    raise ImportError(f"drawing needs {missing.name}: pip install 'backlit[pictures]'", name=missing.name) from missing

DPI = 100
SIDE = 960  # pixels: small mosaics are enlarged, each pixel by the same whole number, to about this
MARGIN, BAR = 8, 12  # pixels around the mosaic, and the width of the scale
NUMBERS = 64  # pixels for the numbers of the scale
LINE = 17  # pixels a line of the caption
PAD = 0.75  # grey between maps: neither end nor middle of a scale
NARROWEST = 480  # pixels, so that a caption has room
FROM_LOW_TO_HIGH, AROUND_ZERO = "viridis", "RdBu_r"


@dataclass(frozen=True)
class Shades:
    """A colour map (any of matplotlib's) and the values at its ends."""

    low: float
    high: float
    colors: str = FROM_LOW_TO_HIGH

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Values (n, h, w) as colours (n, 3, h, w) from 0 to 1."""
        shares = Normalize(self.low, self.high, clip=True)(values)
        return np.moveaxis(matplotlib.colormaps[self.colors](shares)[..., :3], -1, 1)


def spanning(values: np.ndarray) -> Shades:
    """From the smallest to the largest value."""
    return Shades(float(values.min()), float(values.max()))


def around_zero(values: np.ndarray) -> Shades:
    """Zero is white, what is below blue, above red, equally strong on both sides."""
    most = float(np.abs(values).max())
    return Shades(-most, most, AROUND_ZERO)


def maps(
    values: np.ndarray, title: str = "", *, shades: Shades | None = None, nrow: int | None = None, padding: int = 2
) -> Figure:
    """Maps (n, h, w) as one picture, in the same colours for the same values; `shades` None: spanning all of them."""
    shades = shades or spanning(values)
    return page(_grid(shades(values), nrow, padding), title, shades)


def maps_each(values: np.ndarray, title: str = "", *, nrow: int | None = None, padding: int = 2) -> Figure:
    """As `maps`, but each in colours of its own, from its smallest to its largest value."""
    colors = Shades(0, 1)(normalized(values, each=True))
    return page(_grid(colors, nrow, padding), f"{title}\neach from its smallest to its largest value".strip())


def page(pixels: np.ndarray, title: str = "", shades: Shades | None = None) -> Figure:
    """A picture (3, H, W) below its caption, every pixel enlarged alike; with `shades` the scale is drawn beside it."""
    zoom = max(1, SIDE // max(pixels.shape[1:]))
    height, width = (side * zoom for side in pixels.shape[1:])
    caption = LINE * (title.count("\n") + 1) if title else 0
    beside = MARGIN + BAR + NUMBERS if shades else 0
    across, down = max(NARROWEST, width + 2 * MARGIN + beside), height + 2 * MARGIN + caption
    figure = Figure(figsize=(across / DPI, down / DPI), dpi=DPI)
    axis = figure.add_axes((MARGIN / across, MARGIN / down, width / across, height / down))
    axis.set_axis_off()
    axis.imshow(np.moveaxis(pixels, 0, -1), interpolation="nearest", aspect="auto")
    figure.text(MARGIN / across, 1 - MARGIN / 2 / down, title, fontsize=9, va="top", parse_math=False)
    if shades:
        bar = figure.add_axes(((2 * MARGIN + width) / across, MARGIN / down, BAR / across, height / down))
        figure.colorbar(ScalarMappable(Normalize(shades.low, shades.high), shades.colors), cax=bar)
        bar.tick_params(labelsize=8)
    return figure


def _grid(colors: np.ndarray, nrow: int | None, padding: int) -> np.ndarray:
    nrow = squarest(len(colors), *colors.shape[-2:]) if nrow is None else nrow
    return mosaic(colors, nrow=nrow, padding=padding, pad_value=PAD)
