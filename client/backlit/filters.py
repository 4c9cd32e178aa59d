"""Weights as pictures. Needs the extra: pip install 'backlit[pictures]'.

from backlit import filters

filters.drawn(model.weights("/features/0/Conv")).savefig("filters.png")
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from backlit import sheets
from backlit.mosaics import mosaic, squarest
from backlit.weights import Weights
from backlit_proto.errors import BadQuestion

MOST = 4096  # little pictures in one
WIDEST = 64  # of them in a row, where it has to be one row an output
MOST_PLACES = 2048  # inputs across, and outputs down, of a matrix
SIDES = ("output", "input")
COLORS = 3  # inputs of a convolution that reads a picture


@dataclass(frozen=True)
class Kernels:
    """Weights (outputs, inputs, height, width), those chosen; `title` says what they are and what was left out."""

    values: np.ndarray
    title: str


def drawn(weights: Weights, outputs: Sequence[int] = (), inputs: Sequence[int] = (), *, bgr: bool = False) -> Figure:
    """The weights as a picture; zero is white, what is below it blue, above it red, as the scale beside it says.

    Filters that read a picture of three colours are drawn in these, zero grey. A kernel of several places is a little
    picture: one row an output, one column an input. Where each output reads one input, or there is one place only, the
    rows are broken, or there is one picture of all. `outputs` and `inputs` choose; () are all that fit.
    """
    whole = kernels(weights)
    across, *size = whole.shape[1:]
    if size == [1, 1]:
        return _matrix(_chosen(weights, whole, (outputs, inputs), (MOST_PLACES, MOST_PLACES)))
    if across == COLORS and not inputs:
        return _colored(_chosen(weights, whole, (outputs, ()), (MOST, COLORS)), bgr)
    widest = len(inputs) or min(across, WIDEST)
    return _gridded(_chosen(weights, whole, (outputs, inputs), (MOST // widest, WIDEST)))


def kernels(weights: Weights) -> np.ndarray:
    """The weights as (outputs, inputs, height, width): a dense layer has one place, depths lie one by one."""
    values, axes = weights.values.astype(np.float32), weights.layer.axes
    if "B" in axes:
        raise BadQuestion(f"{weights.layer} are many matrices: draw one of values with sheets.maps")
    order = [axes.index(axis) for axis in "OIDHW" if axis in axes]
    values = values.transpose(order)
    return values.reshape(*values.shape[:2], -1, values.shape[-1] if "W" in axes else 1)


def _chosen(
    weights: Weights, whole: np.ndarray, given: tuple[Sequence[int], Sequence[int]], most: tuple[int, int]
) -> Kernels:
    """The outputs and inputs that were asked for, or as many as fit."""
    kept = [_indices(*one) for one in zip(SIDES, given, whole.shape, most, strict=False)]
    left_out = [
        f"{len(some)} of {count} {side}s"
        for side, some, count in zip(SIDES, kept, whole.shape, strict=False)
        if len(some) < count
    ]
    title = "\n".join(line for line in (str(weights.layer), weights.note, ", ".join(left_out)) if line)
    return Kernels(whole[np.ix_(*kept)], title)


def _indices(side: str, given: Sequence[int], count: int, most: int) -> list[int]:
    wrong = [index for index in given if not 0 <= index < count]
    if wrong:
        raise BadQuestion(f"there is no {side} {wrong[0]}; this layer has the {side}s 0 to {count - 1}")
    return list(given) or list(range(min(count, most)))


def _matrix(found: Kernels) -> Figure:
    values = found.values[:, :, 0, 0]
    return sheets.maps(values[np.newaxis], found.title, shades=sheets.around_zero(values), nrow=1)


def _colored(found: Kernels, bgr: bool) -> Figure:
    """Each filter as a picture, from the strongest below zero (0) to the strongest above it (1), all alike."""
    values = found.values[:, ::-1] if bgr else found.values
    most = float(np.abs(values).max()) or 1.0
    count, _, *size = values.shape
    pictures = mosaic(0.5 + values / (2 * most), nrow=squarest(count, *size), padding=1, pad_value=sheets.PAD)
    return sheets.page(pictures, f"{found.title}\nas colours, grey is zero, the strongest {most:.3g}")


def _gridded(found: Kernels) -> Figure:
    outputs, inputs, *size = found.values.shape
    nrow = inputs if inputs > 1 else squarest(outputs, *size)
    shades = sheets.around_zero(found.values)
    return sheets.maps(found.values.reshape(-1, *size), found.title, shades=shades, nrow=nrow, padding=1)
