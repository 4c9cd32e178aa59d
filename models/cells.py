"""Many small pictures with labels on one sheet."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

GAP = 4  # pixels between pictures, and between a label and its pictures
MARGIN = 10  # pixels between cells
LETTERS = 12  # pixels high
LABEL = 16  # pixels for a label
COLORS = 256  # of a palette


@dataclass(frozen=True, eq=False)
class Cell:
    """Pictures (uint8, height x width x 3) that belong together, side by side below one label."""

    label: str
    tiles: Sequence[np.ndarray]


def contact_sheet(cells: Sequence[Cell], *, columns: int, side: int) -> Image.Image:
    """The cells row by row, every picture brought to `side` x `side` pixels."""
    across = max(len(cell.tiles) for cell in cells)
    width, height = across * (side + GAP) - GAP + MARGIN, side + LABEL + MARGIN
    sheet = Image.new("RGB", (width * columns + MARGIN, height * math.ceil(len(cells) / columns) + MARGIN), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(LETTERS)
    for k, cell in enumerate(cells):
        left, top = MARGIN + width * (k % columns), MARGIN + height * (k // columns)
        draw.text((left, top), shortened(cell.label, width - MARGIN, font), "black", font)
        for place, tile in enumerate(cell.tiles):
            small = Image.fromarray(tile).resize((side, side), Image.Resampling.LANCZOS)
            sheet.paste(small, (left + place * (side + GAP), top + LABEL))
    return sheet


def few_colors(sheet: Image.Image) -> Image.Image:
    """The sheet with a palette, which makes its file a quarter as large; rare colours are kept, as of a few maps."""
    return sheet.quantize(COLORS, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE)


def shortened(label: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """The label, or as much of its beginning as there is room for."""
    if font.getlength(label) <= width:
        return label
    return next((s for n in range(len(label), 0, -1) if font.getlength(s := f"{label[:n]}…") <= width), "")
