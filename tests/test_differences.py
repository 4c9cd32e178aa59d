"""Finite differences come with their doubt, and a gradient is called wrong only beyond it."""

from time import monotonic

import numpy as np
import pytest

from backlit_server.admission.comparison import DOUBLE, KINKED, SINGLE, Point, Precision, Time, Verdict, compare
from backlit_server.admission.differences import directions, slope

X = np.array([0.5, -1.25, 2.0])
D = np.array([1.0, 2.0, -0.5])
FUNCTIONS = {
    "a line": (lambda x: x @ [1.0, 2.0, 3.0], 3.5),
    "a parabola": (lambda x: x @ x, 2 * X @ D),
    "waves": (lambda x: np.sin(40 * x).sum(), 40 * np.cos(40 * X) @ D),
    "a kink nearby": (lambda x: abs(x - X - 1e-3).sum(), -D.sum()),
    "nothing": (lambda x: 7.0, 0.0),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("precision", [SINGLE, KINKED, DOUBLE], ids=["single", "kinked", "double"])
def test_the_true_derivative_lies_within_the_doubt(name: str, precision: Precision) -> None:
    f, true = FUNCTIONS[name]
    x = X.astype(precision.dtype)
    found = slope(lambda x: float(precision.dtype.type(f(x))), x, D, precision.steps)
    assert abs(found.value - true) <= 3 * found.doubt + 1e-6 * abs(true)
    assert found.doubt <= 0.05 * max(1, abs(true))


def test_at_a_jump_there_is_nothing_but_doubt() -> None:
    found = slope(lambda x: float(np.floor(x[0])), np.array([1.0]), np.ones(1), DOUBLE.steps)
    assert found.doubt > abs(found.value) / 2


def test_directions_have_one_size_and_the_first_is_the_gradients_own() -> None:
    gradient = np.random.default_rng(0).normal(size=(1, 2, 9, 9))
    own, patches, noise = directions(gradient, (2, 3), np.random.default_rng(1))
    assert np.mean(patches**2) == pytest.approx(1)
    assert np.mean(noise**2) == pytest.approx(1)
    assert len(np.unique(patches)) == 2 * 4 * 4
    assert np.vdot(own, gradient) == pytest.approx(np.linalg.norm(own) * np.linalg.norm(gradient))


WRONG = {
    "twice as steep": lambda g: 2 * g,
    "the other way": lambda g: -g,
    "nothing at all": lambda g: 0 * g,
    "half of it missing": lambda g: g * (np.arange(g.size) % 2).reshape(g.shape),
    "noise beside it": lambda g: g + np.abs(g).mean() * np.random.default_rng(0).normal(size=g.shape),
}


def network(distorted=lambda g: g, hidden: int = 50):
    """A small network of ReLUs with weights of its own, and its gradient as told."""
    random = np.random.default_rng(5)
    first, second = random.normal(size=(hidden, 48)), random.normal(size=(4, hidden))

    def point(random: np.random.Generator) -> Point:
        x = random.normal(size=(1, 3, 4, 4)).astype(np.float32)

        def values(x: np.ndarray) -> np.ndarray:
            return second.astype(x.dtype) @ np.maximum(first.astype(x.dtype) @ x.ravel(), 0)

        def gradient(weights: np.ndarray) -> np.ndarray:
            return distorted(((second.T @ weights) * (first @ x.ravel() > 0) @ first).reshape(x.shape))

        return Point(x, values, gradient)

    return point


def verdict(point, precision: Precision = KINKED, seconds: float = 60) -> Verdict:
    until = monotonic() + seconds
    return compare(point, (2, 3), precision, 0, Time(until, until))


@pytest.mark.parametrize("seed", range(20))
def test_the_gradient_of_a_network_with_kinks_is_never_called_wrong(seed: int) -> None:
    assert compare(network(), (2, 3), KINKED, seed, Time(monotonic() + 60, monotonic() + 60)).agrees


@pytest.mark.parametrize("how", WRONG)
def test_a_wrong_gradient_is_called_wrong(how: str) -> None:
    found = verdict(network(WRONG[how]))
    assert found.agrees is False
    assert found.worst is not None
    assert found.worst.error > 0.1


def test_where_nothing_changes_nothing_is_claimed() -> None:
    flat = Point(np.ones((1, 1, 2, 2), np.float32), lambda x: np.zeros(3), lambda w: np.zeros((1, 1, 2, 2)))
    assert verdict(lambda random: flat).agrees is None


def test_without_time_two_directions_are_tried_and_nothing_is_claimed_against_the_gradient() -> None:
    found = verdict(network(), seconds=-1)
    assert (found.agrees, found.directions) == (True, 2)
    assert verdict(network(WRONG["the other way"]), seconds=-1).agrees is None
