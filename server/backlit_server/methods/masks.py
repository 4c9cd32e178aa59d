"""Perturbation by random masks: what the model says of an image of which parts are hidden."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from backlit_server.methods.asking import Ask, Partial, Scores, Steps, batches
from backlit_server.methods.estimates import due, mean_map, settled
from backlit_server.methods.filling import as_image, behind
from backlit_server.methods.parameters import Array, Count, Filling, Range, Seed, Tolerance

Probability = Callable[[Array, Array], Array]
"""From scores (n, *scores) and seeds (targets, *scores) to probabilities (n, targets)."""
Cells = Annotated[int, Range(2, 64)]
Kept = Annotated[float, Range(0.01, 1)]


@dataclass(frozen=True)
class Masking:
    """How many random masks, what they are like, what stands behind them, and when they are enough."""

    masks: int
    cells: int
    keep: float
    fill: Filling
    tolerance: float
    seed: int


def rise(
    image: Array,
    seeds: Array,
    probability: Probability,
    batch: int,
    *,
    masks: Count = 4000,
    cells: Cells = 7,
    keep: Kept = 0.5,
    fill: Filling = 0.0,
    tolerance: Tolerance = 0.0,
    seed: Seed = 0,
) -> Steps:
    """RISE: how likely the target is when a pixel is kept, over random masks of the image.

    sum_i p(x * m_i) m_i / (N keep). Petsiuk et al., RISE, 2018, eq. 6; masks as in section 3.2: a coarse random grid,
    enlarged bilinearly and shifted by a random part of a cell. All targets come of one pass over the masks. `standard
    error`: the largest of the map's values.
    """
    by = Masking(masks, cells, keep, fill, tolerance, seed)
    return over_masks(image, len(seeds), batch, by, Scores, lambda scores: probability(scores, seeds))


def over_masks(
    image: Array,
    targets: int,
    batch: int,
    by: Masking,
    ask: Callable[[Array], Ask],
    value: Callable[..., Array],
) -> Steps:
    """The mean over masks of what the model's answer is worth (n, targets), times the mask, over `keep`."""
    size, filling = image.shape[2:], as_image("fill", by.fill, image)
    draw, done = np.random.default_rng(by.seed), 0
    total, squares = np.zeros((2, targets, *size))
    for part in batches(by.masks, batch):
        made = random_masks(draw, part.stop - part.start, by.cells, by.keep, size)
        found = value((yield ask(behind(made, image, filling)))) / by.keep
        total += weighted_masks(found, made)
        squares += weighted_masks(found**2, made**2)
        done = part.stop
        if due(part, by.masks):
            known = mean_map(total, squares, done)
            yield Partial(known.heatmaps, done / by.masks, known.facts)
            if settled(known, done, by.tolerance):
                break
    return mean_map(total, squares, done)


def random_masks(draw: np.random.Generator, count: int, cells: int, keep: float, size: tuple[int, ...]) -> Array:
    """Masks (count, height, width) between 0 and 1: grids of cells, enlarged, each shifted by part of a cell.

    What makes a mask is drawn at once, so that the same masks come in batches of any size.
    """
    drawn = draw.random((count, cells * cells + 2))
    grids = (drawn[:, 2:] < keep).reshape(count, cells, cells).astype(np.float32)
    rows, columns = (_shifted(drawn[:, axis], cells, size[axis]) for axis in (0, 1))
    return rows @ grids @ columns.transpose(0, 2, 1)


def weighted_masks(weights: Array, masks: Array) -> Array:
    """Masks (n, height, width) summed with weights (n, targets): one matrix product in the masks' precision."""
    summed = weights.T.astype(masks.dtype) @ masks.reshape(len(masks), -1)
    return summed.reshape(-1, *masks.shape[1:])


def _shifted(shares: Array, cells: int, length: int) -> Array:
    """Matrices (n, length, cells) that enlarge one axis by linear interpolation, each shifted by a share of a cell."""
    cell = -(-length // cells)
    places = np.arange((cells + 1) * cell)
    centres = abs((places + 0.5) * cells / ((cells + 1) * cell) - 0.5)
    centres = cells - 1 - abs(cells - 1 - centres)  # beyond the outer cells' centres it goes back, as a mirror would
    matrix = np.maximum(0, 1 - abs(centres[:, None] - np.arange(cells))).astype(np.float32)
    return matrix[(shares * cell).astype(int)[:, None] + np.arange(length)]
