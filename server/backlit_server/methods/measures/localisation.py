"""Where the heatmap lies beside a box that is known to hold the target."""

from typing import Annotated

import numpy as np

from backlit_proto.errors import BadQuestion
from backlit_server.methods.measures.measuring import Box, Measured, Measuring, Subject
from backlit_server.methods.parameters import Range
from backlit_server.methods.scaling import resize

Pixels = Annotated[float, Range(0, 10_000)]

CORNERS = 4


def pointing_game(of: Subject, *, box: Box = (), tolerance: Pixels = 15.0) -> Measuring:
    """Pointing game: 1 where the hottest pixel lies in the box, or so near that it may count as in it, else 0.

    Zhang et al., Top-down Neural Attention by Excitation Backprop, 2016, section 5.1, where 15 pixels are near.
    """
    yield from ()  # it asks for nothing
    x_min, y_min, x_max, y_max = _located(of, box)
    row, column = np.unravel_index(resize(of.heatmap, of.size).argmax(), of.size)
    away = np.hypot(_outside(column + 0.5, x_min, x_max), _outside(row + 0.5, y_min, y_max))
    return Measured(float(away <= tolerance), {"pixels from the box": float(away)})


def energy_in_box(of: Subject, *, box: Box = ()) -> Measuring:
    """Energy-based pointing game: the share of the positive heatmap that lies in the box; 0 where none is positive.

    Wang et al., Score-CAM, 2020, section 4.3, eq. 8.
    """
    yield from ()  # it asks for nothing
    x_min, y_min, x_max, y_max = _located(of, box)
    heat = resize(of.heatmap, of.size).clip(0)
    rows, columns = (np.arange(side) + 0.5 for side in of.size)
    inside = heat[(rows >= y_min) & (rows <= y_max)][:, (columns >= x_min) & (columns <= x_max)]
    return Measured(float(inside.sum() / heat.sum()) if heat.any() else 0.0)


def _located(of: Subject, box: Box) -> Box:
    if len(box) != CORNERS or not (box[0] < box[2] and box[1] < box[3]):
        raise BadQuestion(
            "say where the target is: box=[x_min, y_min, x_max, y_max] in pixels of the picture that was sent, or of "
            f"the input where an array was, the maxima the larger ones; got {list(box)}"
        )
    return of.located(box)


def _outside(at: float, low: float, high: float) -> float:
    """How far a coordinate lies outside an interval."""
    return max(low - at, at - high, 0.0)
