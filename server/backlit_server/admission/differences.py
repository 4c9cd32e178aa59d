"""Derivatives along a direction by finite differences, and how far they may be off."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

COARSE = 4  # pieces a side of the patches of a smooth direction


@dataclass(frozen=True)
class Slope:
    """The derivative, and how far from it the true one may lie."""

    value: float
    doubt: float


def slope(f: Callable[[np.ndarray], float], x: np.ndarray, direction: np.ndarray, steps: Sequence[float]) -> Slope:
    """The derivative of f at x along a direction, by central differences at descending steps.

    Long steps bend and cross kinks: what a step and the one before it disagree by. Short ones drown in rounding: what
    f at x differs from the mean of its values at both sides of the shortest step. The step with the least of both
    together is taken. (Press et al., Numerical Recipes, 2007, section 5.7.)
    """
    middle = f(x)
    sides = [(f(_moved(x, step * direction)), f(_moved(x, -step * direction))) for step in steps]
    noise = abs(sum(sides[-1]) - 2 * middle) + np.finfo(x.dtype).eps * abs(middle)
    values = [(up - down) / (2 * step) for (up, down), step in zip(sides, steps, strict=True)]
    found = (
        Slope(value, abs(value - before) + noise / step)
        for before, value, step in zip(values, values[1:], steps[1:], strict=False)
    )
    return min(found, key=lambda each: each.doubt)


def directions(gradient: np.ndarray, spatial: Sequence[int], random: np.random.Generator) -> Iterator[np.ndarray]:
    """Directions to try, each with a mean square of one: the gradient's own, patches of noise, noise.

    Rounding drowns least along the gradient; but what a gradient misses altogether shows only beside it. `spatial`
    are the axes along which patches are drawn.
    """
    if gradient.any():
        # A step along the gradient changes the score by the root of the size more than one in any direction does.
        yield _unit(gradient) / gradient.size**0.25
    yield _unit(_patches(gradient.shape, spatial, random))
    yield _unit(random.normal(size=gradient.shape))


def _patches(shape: Sequence[int], spatial: Sequence[int], random: np.random.Generator) -> np.ndarray:
    """Noise that is constant over patches, COARSE of them a spatial axis."""
    coarse = [min(COARSE, size) if axis in spatial else size for axis, size in enumerate(shape)]
    noise = random.normal(size=coarse)
    for axis in spatial:
        noise = noise.take(np.arange(shape[axis]) * coarse[axis] // shape[axis], axis)
    return noise


def _unit(direction: np.ndarray) -> np.ndarray:
    return direction / np.sqrt(np.mean(np.square(direction)))


def _moved(x: np.ndarray, by: np.ndarray) -> np.ndarray:
    return (x + by).astype(x.dtype)
