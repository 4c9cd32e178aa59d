"""Is this the gradient of that function? A verdict that allows for rounding and kinks."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from time import monotonic

import numpy as np

from backlit_server.admission.differences import directions, slope

POINTS = 5  # made-up inputs that must disagree, and none agree, before a gradient is called wrong
TRIES = 10  # inputs made up at most: at some a network may be dead, and they say nothing
FEWEST = 2  # directions at an input: the gradient's own, and one beside it
TRUSTED = 0.1  # most doubt, as a share, with which a finite difference says anything
BEYOND = 3  # times the doubt that a difference must exceed


@dataclass(frozen=True)
class Precision:
    """What to expect of functions computed in a float type; steps are shares of the input's size."""

    dtype: np.dtype
    steps: tuple[float, ...]
    tolerance: float


SINGLE = Precision(np.dtype(np.float32), tuple(2.0**-k for k in (6, 9, 12, 15)), 1e-2)
KINKED = replace(SINGLE, steps=tuple(2.0**-k for k in (12, 14, 16)))  # longer ones cross too many kinks of a network
HALF = replace(KINKED, tolerance=5e-2)  # a gradient in half precision beside differences in single
DOUBLE = Precision(np.dtype(np.float64), tuple(2.0**-k for k in (12, 16, 20)), 2e-3)


@dataclass(frozen=True)
class Point:
    """A function around an input x: `values` gives tensors, `gradient` that of a weighted sum of them, at x."""

    x: np.ndarray
    values: Callable[[np.ndarray], np.ndarray]
    gradient: Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Finding:
    """One direction: the derivative by the gradient and by differences; error and doubt are shares of their size."""

    gradient: float
    difference: float
    error: float
    doubt: float

    @property
    def excess(self) -> float:
        """The error that doubt does not explain."""
        return self.error - BEYOND * self.doubt


@dataclass(frozen=True)
class Verdict:
    """`agrees` is None where finite differences cannot tell; `worst` has the largest excess of the last input."""

    agrees: bool | None
    worst: Finding | None
    directions: int


@dataclass(frozen=True)
class Time:
    """Moments of time.monotonic() after which nothing more is begun: in doubt, which a disagreement raises, later."""

    usual: float
    in_doubt: float


def compare(
    make: Callable[[np.random.Generator], Point], spatial: Sequence[int], precision: Precision, seed: int, time: Time
) -> Verdict:
    """Makes up inputs until the gradient agrees at one; a gradient is wrong when POINTS disagree, and none agrees.

    `spatial` are the axes of height and width.
    """
    random = np.random.default_rng(seed)
    worst: list[Finding] = []
    tried = 0
    for _ in range(TRIES):
        until = time.in_doubt if worst else time.usual
        found = [f for f in _findings(make(random), spatial, precision, random, until) if f.doubt < TRUSTED]
        tried += len(found)
        if found:
            worst.append(max(found, key=lambda each: each.excess))
            if worst[-1].excess <= precision.tolerance:
                return Verdict(True, worst[-1], len(found))
        if len(worst) == POINTS or monotonic() > (time.in_doubt if worst else time.usual):
            break
    return Verdict(False if len(worst) == POINTS else None, worst[-1] if worst else None, tried)


def _findings(
    point: Point, spatial: Sequence[int], precision: Precision, random: np.random.Generator, until: float
) -> Iterator[Finding]:
    """What the directions at one input say, one after the other; the first FEWEST always have their turn."""
    weights = random.normal(size=point.values(point.x).shape)
    gradient = point.gradient(weights).astype(np.float64)

    def weighted(at: np.ndarray) -> float:
        return float(np.vdot(weights, point.values(at).astype(np.float64)))

    size = float(np.sqrt(np.mean(np.square(point.x, dtype=np.float64)))) or 1.0
    for k, direction in enumerate(directions(gradient, spatial, random)):
        if k < FEWEST or monotonic() < until:
            yield _finding(weighted, gradient, point.x, size * direction, precision.steps)


def _finding(
    f: Callable[[np.ndarray], float], gradient: np.ndarray, x: np.ndarray, direction: np.ndarray, steps: Sequence[float]
) -> Finding:
    along, found = float(np.vdot(gradient, direction)), slope(f, x, direction, steps)
    # A random direction may happen to stand at a right angle to the gradient: the usual size of a derivative counts.
    usual = float(np.linalg.norm(gradient) * np.linalg.norm(direction) / np.sqrt(x.size))
    scale = max(abs(along), abs(found.value), usual)
    if not scale or not np.isfinite([scale, found.value, found.doubt]).all():
        return Finding(along, found.value, 0.0, np.inf)
    return Finding(along, found.value, abs(along - found.value) / scale, found.doubt / scale)
