"""Methods of many passes, answered by small models whose truth is known."""

from collections.abc import Callable

import numpy as np
import pytest
from skimage.transform import resize

from backlit_server.methods.asking import Ask, Gradients, Outcome, Partial, Scores, Steps, drive
from backlit_server.methods.gradients import gradient_x_input, saliency
from backlit_server.methods.integrated import integrated_gradients
from backlit_server.methods.masks import random_masks, rise

rng = np.random.default_rng(5)
X = rng.normal(size=(1, 3, 6, 8))
W = rng.normal(size=(4, 3, 6, 8))
SEEDS = np.eye(4)[[2, 0]]


def outcome(steps: Steps, answer: Callable[[Ask], np.ndarray]) -> Outcome:
    """The end of a method, whose heatmaps its last partial shows already."""
    *way, last = drive(steps, answer)
    assert isinstance(last, Outcome)
    partials = [step for step in way if isinstance(step, Partial)]
    assert [p.progress for p in partials] == sorted(p.progress for p in partials)
    assert partials[-1].progress == 1
    assert np.allclose(partials[-1].heatmaps, last.heatmaps)
    return last


def cubic(ask: Ask) -> np.ndarray:
    """scores_c = sum(w_c x^3): its gradient, and the integral of it along any line, are known."""
    if isinstance(ask, Scores):
        return np.einsum("kchw,nchw->nk", W, ask.images**3)
    assert isinstance(ask, Gradients)
    return np.einsum("nk,kchw,nchw->nchw", ask.seeds, W, 3 * ask.images**2)


@pytest.mark.parametrize("baseline", [0.0, -0.5])
@pytest.mark.parametrize("batch", [1, 7, 100])
def test_integrated_gradients_are_exact_on_a_polynomial_and_complete(baseline: float, batch: int):
    found = outcome(integrated_gradients(X, SEEDS, batch, steps=5, baseline=baseline), cubic)
    b = np.full_like(X, baseline)
    integral = X**2 + X * b + b**2  # the mean of 3 x^2 from the baseline to the image
    exact = np.einsum("tk,kchw->tchw", SEEDS, W) * integral * (X - b)
    assert np.allclose(found.heatmaps, exact.sum(1))
    assert (found.facts["completeness error"] < 1e-9).all()


def test_a_coarse_integral_says_how_far_it_is_from_complete():
    found = outcome(integrated_gradients(X, SEEDS, 4, steps=1), cubic)
    scores = cubic(Scores(X)) @ SEEDS.T
    error = abs(found.heatmaps.sum((1, 2)) - scores[0]) / abs(scores[0])
    assert np.allclose(found.facts["completeness error"], error)
    assert (error > 0.01).all()


def test_saliency_and_gradient_x_input_are_their_definitions():
    g = rng.normal(size=(2, 3, 6, 8))
    assert np.allclose(saliency(g), np.abs(g).max(axis=1))
    assert np.allclose(saliency(g, channels="sum"), np.abs(g).sum(axis=1))
    assert np.allclose(saliency(g, channels="mean", signed=True), g.mean(axis=1))
    assert np.allclose(gradient_x_input(X, g), (X * g).sum(1))


def logistic(scores: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-scores @ seeds.T))


@pytest.mark.parametrize("batch", [1, 9, 50])
def test_rise_is_the_mean_of_masks_weighted_by_probability(batch: int):
    found = outcome(rise(X, SEEDS, logistic, batch, masks=50, cells=3, keep=0.4, seed=8), cubic)
    draw, masks = np.random.default_rng(8), []
    for start in range(0, 50, batch):
        masks.extend(random_masks(draw, min(batch, 50 - start), 3, 0.4, (6, 8)))
    weighted = [logistic(cubic(Scores(X * m)), SEEDS)[0][:, None, None] * m for m in masks]
    assert np.allclose(found.heatmaps, np.mean(weighted, 0) / 0.4, atol=1e-6)
    error = np.std(weighted, 0) / np.sqrt(50) / 0.4
    assert np.allclose(found.facts["standard error"], error.max((1, 2)), atol=1e-6)


def test_masks_are_enlarged_grids_shifted_by_part_of_a_cell():
    """Against scikit-image's resize, as the paper's authors made theirs."""
    masks = random_masks(np.random.default_rng(1), 20, 4, 0.5, (21, 30))
    draw = np.random.default_rng(1)
    grids = (draw.random((20, 4, 4)) < 0.5).astype(np.float32)
    rows, columns = draw.integers(6, size=20), draw.integers(8, size=20)
    for mask, grid, row, column in zip(masks, grids, rows, columns, strict=True):
        large = resize(grid, (5 * 6, 5 * 8), order=1, mode="reflect", anti_aliasing=False)
        assert np.allclose(mask, large[row : row + 21, column : column + 30], atol=1e-5)


def test_as_much_of_an_image_is_kept_as_asked_for():
    masks = random_masks(np.random.default_rng(2), 2000, 7, 0.3, (32, 32))
    assert abs(masks.mean() - 0.3) < 0.01
    assert masks.min() >= 0
    assert masks.max() <= 1
