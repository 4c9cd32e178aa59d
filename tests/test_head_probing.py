"""Methods that ask the head, or the model behind masks, against loops written out."""

import numpy as np
import pytest

from backlit_server.methods import head_probing, noise
from backlit_server.methods.asking import (
    Ask,
    Features,
    Gradients,
    HeadGradients,
    HeadScores,
    LayerGradients,
    Outcome,
    Scores,
    drive,
)

rng = np.random.default_rng(11)
X = rng.normal(size=(1, 2, 8, 10))
MIX = rng.normal(size=(5, 2))  # from the image's channels to the features', after pooling 2 x 2
HEAD = rng.normal(size=(3, 5, 4, 5))  # scores = sum(HEAD A) + sum(HEAD A^2) / 2
SEEDS = np.eye(3)[[1, 2]]


def features(images: np.ndarray) -> np.ndarray:
    pooled = images.reshape(len(images), 2, 4, 2, 5, 2).mean((3, 5))
    return np.maximum(np.einsum("kc,nchw->nkhw", MIX, pooled), 0)


def scores(made: np.ndarray) -> np.ndarray:
    return np.einsum("tkhw,nkhw->nt", HEAD, made + made**2 / 2)


def head_gradients(made: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    return np.einsum("nt,tkhw->nkhw", seeds, HEAD) * (1 + made)


ANSWERS = {
    Scores: lambda ask: scores(features(ask.images)),
    Features: lambda ask: features(ask.images),
    HeadScores: lambda ask: scores(ask.features),
    HeadGradients: lambda ask: head_gradients(each(ask.features, ask.seeds), ask.seeds),
    LayerGradients: lambda ask: head_gradients(features(each(ask.images, ask.seeds)), ask.seeds),
    # As if score 1 were sum(x^2).
    Gradients: lambda ask: 2 * each(ask.images, ask.seeds) * ask.seeds[:, 1, None, None, None],
}


def each(images: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """Every image once for each of its seeds."""
    return np.repeat(images, len(seeds) // len(images), 0)


def answer(ask: Ask) -> np.ndarray:
    return ANSWERS[type(ask)](ask)


def outcome(steps) -> np.ndarray:
    *_, last = drive(steps, answer)
    assert isinstance(last, Outcome)
    return last.heatmaps


def chance(found: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-found @ seeds.T))


A = features(X)
Y = scores(A)


@pytest.mark.parametrize("batch", [1, 2, 64])
def test_ablation_cam_sets_each_map_to_zero(batch: int):
    found = outcome(head_probing.ablation_cam(A, SEEDS, Y, batch))
    for heatmap, target in zip(found, (1, 2), strict=True):
        expected = np.zeros((4, 5))
        for k in range(5):
            without = A.copy()
            without[:, k] = 0
            expected += (Y - scores(without))[0, target] / Y[0, target] * A[0, k]
        assert np.allclose(heatmap, expected)


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_recipro_cam_keeps_one_place_at_a_time(batch: int):
    found = outcome(head_probing.recipro_cam(A, SEEDS, batch))
    for row in range(4):
        for column in range(5):
            alone = np.zeros_like(A)
            alone[:, :, row, column] = A[:, :, row, column]
            assert np.allclose(found[:, row, column], scores(alone)[0, [1, 2]])


def test_recipro_cam_with_blur_keeps_the_neighbours_too():
    found = outcome(head_probing.recipro_cam(A, SEEDS, 7, blur=True))
    around = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16
    for row in range(4):
        for column in range(5):
            padded = np.zeros((6, 7))
            padded[row : row + 3, column : column + 3] = around
            assert np.allclose(found[:, row, column], scores(A * padded[1:-1, 1:-1])[0, [1, 2]])


def test_ablation_cam_of_a_score_of_zero_is_not_divided():
    still = Y.copy()
    still[0, 1] = 0
    found = outcome(head_probing.ablation_cam(A, SEEDS[:1], still, 2))
    assert np.isfinite(found).all()


def test_shapley_cam_subtracts_half_the_curvature():
    found = outcome(head_probing.shapley_cam(A, SEEDS))
    curved = np.einsum("nt,tkhw->nkhw", SEEDS, HEAD)  # the Hessian is diagonal
    weights = (head_gradients(A, SEEDS) - curved * A / 2).mean((2, 3))
    assert np.allclose(found, np.einsum("nk,khw->nhw", weights, A[0]))


def test_random_cam_is_the_same_for_the_same_seed_and_ignores_the_target_score():
    one, same, other = (outcome(head_probing.random_cam(A, SEEDS, seed=s)) for s in (3, 3, 4))
    assert np.array_equal(one, same)
    assert not np.allclose(one, other)


@pytest.mark.parametrize("batch", [1, 4, 64])
def test_noisy_gradients_have_the_moments_of_their_noise(batch: int):
    """The gradient is 2 x for target 1: its mean is 2 x, its variance 4 times the noise's."""
    spread = 0.1 * np.ptp(X)
    settings = {"samples": 4000, "noise": 0.1, "seed": 2}
    mean = outcome(noise.smooth_grad(X, SEEDS[:1], batch, **settings))
    square = outcome(noise.square_grad(X, SEEDS[:1], batch, **settings))
    variance = outcome(noise.var_grad(X, SEEDS[:1], batch, **settings))
    tolerance = 5 * 2 * spread / np.sqrt(4000)
    assert np.allclose(mean[0], abs(2 * X[0]).max(0), atol=tolerance)
    assert np.allclose(square[0], (4 * X[0] ** 2 + 4 * spread**2).max(0), rtol=0.2, atol=0.2)
    assert np.allclose(variance[0], 4 * spread**2, rtol=0.2)


def test_smooth_grad_cam_plus_plus_without_noise_is_grad_cam_plus_plus_before_its_cancellations():
    found = outcome(noise.smooth_grad_cam_plus_plus(X, A, SEEDS, 8, samples=3, noise=0.0))
    g = head_gradients(A, SEEDS)
    alpha = g**2 / (2 * g**2 + g**3 * A.sum((2, 3), keepdims=True))
    weights = (alpha * np.maximum(g, 0)).sum((2, 3))
    assert np.allclose(found, np.einsum("nk,khw->nhw", weights, A[0]))
