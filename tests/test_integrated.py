"""Gradients on the way from baselines, of small models whose truth is known."""

import numpy as np
import pytest

from backlit_proto.errors import BadQuestion
from backlit_server.methods.asking import Ask, Gradients, Scores, drive
from backlit_server.methods.gradients import gradient_x_input, saliency
from backlit_server.methods.integrated import expected_gradients, integrated_gradients
from outcomes import outcome

rng = np.random.default_rng(5)
X = rng.normal(size=(1, 3, 6, 8))
W = rng.normal(size=(4, 3, 6, 8))
SEEDS = np.eye(4)[[2, 0]]


def cubic(ask: Ask) -> np.ndarray:
    """scores_c = sum(w_c x^3): its gradient, and the integral of it along any line, are known."""
    if isinstance(ask, Scores):
        return np.einsum("kchw,nchw->nk", W, ask.images**3)
    assert isinstance(ask, Gradients)
    each = np.repeat(ask.images, len(ask.seeds) // len(ask.images), 0)
    return np.einsum("nk,kchw,nchw->nchw", ask.seeds, W, 3 * each**2)


Y = cubic(Scores(X))


@pytest.mark.parametrize("baseline", [0.0, -0.5, rng.normal(size=X.shape)], ids=["zero", "number", "array"])
@pytest.mark.parametrize("batch", [1, 7, 100])
def test_integrated_gradients_are_exact_on_a_polynomial_and_complete(baseline: float | np.ndarray, batch: int):
    found = outcome(integrated_gradients(X, SEEDS, Y, batch, steps=5, baseline=baseline), cubic)
    b = np.broadcast_to(baseline, X.shape)
    integral = X**2 + X * b + b**2  # the mean of 3 x^2 from the baseline to the image
    exact = np.einsum("tk,kchw->tchw", SEEDS, W) * integral * (X - b)
    assert np.allclose(found.heatmaps, exact.sum(1))
    assert (found.facts["completeness error"] < 1e-9).all()


def test_a_coarse_integral_says_how_far_it_is_from_complete():
    found = outcome(integrated_gradients(X, SEEDS, Y, 4, steps=1), cubic)
    scores = Y @ SEEDS.T
    error = abs(found.heatmaps.sum((1, 2)) - scores[0]) / abs(scores[0])
    assert np.allclose(found.facts["completeness error"], error)
    assert (error > 0.01).all()


def test_every_partial_result_is_of_points_all_along_the_line():
    """Of a third of the points the estimate is near the whole integral, which the first third of the line is not."""
    first = next(p for p in drive(integrated_gradients(X, SEEDS, Y, 20, steps=30), cubic) if p)
    whole = outcome(integrated_gradients(X, SEEDS, Y, 20, steps=30), cubic)
    assert np.corrcoef(first.heatmaps.ravel(), whole.heatmaps.ravel())[0, 1] > 0.99
    assert np.abs(first.heatmaps - whole.heatmaps).max() < 0.2 * np.abs(whole.heatmaps).max()


@pytest.mark.parametrize(
    ("baseline", "said"),
    [
        (np.zeros((3, 8, 6)), r"baseline is a number, or an array of the shape of one image, \(3, 6, 8\).*\(3, 8, 6\)"),
        (np.zeros((2, 3, 6, 8)), r"this one has the shape \(2, 3, 6, 8\)"),
        (np.full((3, 6, 8), np.nan), "baseline holds NaN"),
    ],
)
def test_a_baseline_of_another_shape_is_refused(baseline: np.ndarray, said: str):
    with pytest.raises(BadQuestion, match=said):
        outcome(integrated_gradients(X, SEEDS, Y, 4, baseline=baseline), cubic)


BASELINES = rng.normal(size=(3, *X.shape[1:]))


def test_expected_gradients_are_the_mean_of_integrated_gradients():
    found = outcome(expected_gradients(X, SEEDS, Y, 16, baselines=BASELINES, samples=20_000), cubic)
    each = [outcome(integrated_gradients(X, SEEDS, Y, 16, baseline=b), cubic).heatmaps for b in BASELINES]
    error = np.abs(found.heatmaps - np.mean(each, 0)).max((1, 2))
    assert (error < 5 * found.facts["standard error"]).all()
    assert (found.facts["completeness error"] < 0.02).all()


def test_the_same_seed_makes_the_same_expected_gradients_in_batches_of_any_size():
    one, same = (outcome(expected_gradients(X, SEEDS, Y, b, samples=40, seed=3), cubic).heatmaps for b in (2, 64))
    other = outcome(expected_gradients(X, SEEDS, Y, 64, samples=40, seed=4), cubic).heatmaps
    assert np.allclose(one, same)
    assert not np.allclose(one, other)


def test_expected_gradients_end_when_they_are_sure_enough():
    steps = [p for p in drive(expected_gradients(X, SEEDS, Y, 32, samples=10_000, tolerance=0.05), cubic) if p]
    last = steps[-1]
    span = np.ptp(last.heatmaps, (1, 2))
    assert len(steps) < 95
    assert (last.facts["standard error"] <= 0.05 * span).all()


def test_saliency_and_gradient_x_input_are_their_definitions():
    g = rng.normal(size=(2, 3, 6, 8))
    assert np.allclose(saliency(g), np.abs(g).max(axis=1))
    assert np.allclose(saliency(g, channels="sum"), np.abs(g).sum(axis=1))
    assert np.allclose(saliency(g, channels="mean", signed=True), g.mean(axis=1))
    assert np.allclose(gradient_x_input(X, g), (X * g).sum(1))
