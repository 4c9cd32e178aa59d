"""Perturbation by random masks: what the model says of an image of which parts are hidden."""

from collections.abc import Callable

import numpy as np

from backlit_server.methods.asking import Array, Outcome, Partial, Scores, Steps, batches

Probability = Callable[[Array, Array], Array]
"""From scores (n, *scores) and seeds (targets, *scores) to probabilities (n, targets)."""


def rise(
    image: Array,
    seeds: Array,
    probability: Probability,
    batch: int,
    *,
    masks: int = 4000,
    cells: int = 7,
    keep: float = 0.5,
    seed: int = 0,
) -> Steps:
    """RISE: how likely the target is when a pixel is kept, over random masks of the image.

    sum_i p(x * m_i) m_i / (N keep). Petsiuk et al., RISE, 2018, eq. 6; masks as in section 3.2: a coarse random grid,
    enlarged bilinearly and shifted by a random part of a cell. All targets come of one pass over the masks.
    """
    draw = np.random.default_rng(seed)
    height, width = image.shape[2:]
    total, squares = np.zeros((2, len(seeds), height, width))
    for part in batches(masks, batch):
        mask = random_masks(draw, part.stop - part.start, cells, keep, (height, width)).astype(image.dtype)
        found = probability((yield Scores(image * mask[:, None])), seeds)
        flat = mask.reshape(len(mask), -1)
        total += (found.T @ flat).reshape(total.shape)
        squares += ((found**2).T @ flat**2).reshape(total.shape)
        yield Partial(total / (part.stop * keep), part.stop / masks)
    mean = total / masks
    error = np.sqrt(np.maximum(squares / masks - mean**2, 0) / masks) / keep
    return Outcome(mean / keep, {"standard error": error.max((1, 2))})


def random_masks(draw: np.random.Generator, count: int, cells: int, keep: float, size: tuple[int, int]) -> Array:
    """Masks (count, height, width) between 0 and 1: grids of cells, enlarged, each shifted by part of a cell."""
    grids = (draw.random((count, cells, cells)) < keep).astype(np.float32)
    rows, columns = (_shifted(draw, count, cells, length) for length in size)
    return rows @ grids @ columns.transpose(0, 2, 1)


def _shifted(draw: np.random.Generator, count: int, cells: int, length: int) -> Array:
    """Matrices (count, length, cells) that enlarge one axis by linear interpolation, each from an offset of its own."""
    cell = -(-length // cells)
    offsets = draw.integers(cell, size=count)
    places = np.arange((cells + 1) * cell)
    centres = abs((places + 0.5) * cells / ((cells + 1) * cell) - 0.5)
    centres = cells - 1 - abs(cells - 1 - centres)  # beyond the outer cells' centres it goes back, as a mirror would
    matrix = np.maximum(0, 1 - abs(centres[:, None] - np.arange(cells))).astype(np.float32)
    return matrix[offsets[:, None] + np.arange(length)]
