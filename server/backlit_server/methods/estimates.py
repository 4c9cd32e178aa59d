"""Means over random samples: how sure they are, and when that is enough."""

import numpy as np

from backlit_server.methods.asking import Outcome
from backlit_server.methods.parameters import Array

FEWEST = 30  # samples; of fewer, a standard error says little
ERROR = "standard error"


def mean_map(total: Array, squares: Array, count: int) -> Outcome:
    """The mean of `count` maps, from their sum and the sum of their squares, and its largest standard error a map."""
    mean = total / count
    error = np.sqrt(np.maximum(squares / count - mean**2, 0) / count)
    return Outcome(mean, {ERROR: largest(error)})


def settled(found: Outcome, count: int, tolerance: float) -> bool:
    """Whether `count` samples do: the standard error of every map is at most this share of the map's span."""
    enough = tolerance * (largest(found.heatmaps) + largest(-found.heatmaps))
    return tolerance > 0 and count >= FEWEST and bool((found.facts[ERROR] <= enough).all())


def due(part: slice, count: int) -> bool:
    """Whether it is time to tell how far it has come: with each hundredth of `count` things, and each 128 of them."""
    step = min(max(1, count // 100), 128)
    return part.stop == count or part.start // step != part.stop // step


def largest(maps: Array) -> Array:
    """The largest value of each."""
    return maps.reshape(len(maps), -1).max(1)
