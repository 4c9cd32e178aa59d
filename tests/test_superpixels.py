"""KernelSHAP and LIME against exact Shapley values and least squares of other makers."""

import itertools
import math

import numpy as np
import pytest

from backlit_proto.errors import BadQuestion
from backlit_server.engine.superpixels import superpixels
from backlit_server.methods.asking import Ask, Outcome, Scores, Superpixels, drive
from backlit_server.methods.superpixels import kernel_shap, lime
from outcomes import outcome

rng = np.random.default_rng(3)
X = rng.normal(size=(1, 2, 6, 8))
LABELS = np.arange(6)[:, None] // 2 * 2 + np.arange(8) // 4  # six superpixels of 2 x 4
W = rng.normal(size=(3, 2, 6, 8))
SEEDS = np.array([[0, 1, 0], [1, 0, -0.5]])


def scores(images: np.ndarray) -> np.ndarray:
    """Far from linear: superpixels matter to each other."""
    parts = np.einsum("kchw,nchw->nkhw", W, images).reshape(len(images), 3, 3, 2, 2, 4).sum((3, 5))
    return parts.sum((2, 3)) + np.sin(parts).prod((2, 3)) + parts[:, :, 0, 0] * parts[:, :, 2, 1]


def answer(ask: Ask, labels: np.ndarray = LABELS) -> np.ndarray:
    if isinstance(ask, Superpixels):
        return labels
    assert isinstance(ask, Scores)
    return scores(ask.images)


def chance(found: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-found @ seeds.T))


def of_coalition(members: tuple[int, ...], fill: float) -> np.ndarray:
    """What targets are worth with these superpixels left."""
    return (scores(np.where(np.isin(LABELS, members), X, fill)) @ SEEDS.T)[0]


def shapley(fill: float) -> np.ndarray:
    """The definition: the mean of what each adds over all orders in which superpixels may come."""
    values = np.zeros((6, 2))
    for player in range(6):
        others = [p for p in range(6) if p != player]
        for size in range(6):
            weight = math.factorial(size) * math.factorial(5 - size) / math.factorial(6)
            for members in itertools.combinations(others, size):
                values[player] += weight * (of_coalition((*members, player), fill) - of_coalition(members, fill))
    return values


Y = scores(X)


@pytest.mark.parametrize("fill", [0.0, 0.7])
@pytest.mark.parametrize("batch", [1, 7, 64])
def test_kernel_shap_of_all_coalitions_is_exact(batch: int, fill: float):
    found = outcome(kernel_shap(X, SEEDS, Y, batch, samples=100, fill=fill), answer)
    assert np.allclose(found.heatmaps, shapley(fill).T[:, LABELS], atol=1e-5)
    assert (found.facts["standard error"] == 0).all()


def test_kernel_shap_of_random_coalitions_is_as_near_as_it_says_and_complete():
    runs = [outcome(kernel_shap(X, SEEDS, Y, 16, samples=40, seed=s), answer) for s in range(40)]
    maps, told = np.array([r.heatmaps for r in runs]), np.array([r.facts["standard error"] for r in runs])
    exact = shapley(0.0).T[:, LABELS]
    spread = np.sqrt(((maps - exact) ** 2).mean(0)).max((1, 2))
    assert np.allclose(np.median(told, 0), spread, rtol=0.5)
    whole = (Y - scores(np.zeros_like(X))) @ SEEDS.T
    assert np.allclose(maps[:, :, ::2, ::4].sum((2, 3)), whole, atol=1e-5)


def test_kernel_shap_of_a_linear_model_is_gradient_times_input_whatever_is_drawn():
    def linear(ask: Ask) -> np.ndarray:
        if isinstance(ask, Superpixels):
            return LABELS
        assert isinstance(ask, Scores)
        return np.einsum("kchw,nchw->nk", W, ask.images)

    whole = np.einsum("kchw,nchw->nk", W, X)
    found = outcome(kernel_shap(X, SEEDS, whole, 8, samples=14), linear)
    shares = np.einsum("tk,kchw,chw->thw", SEEDS, W, X[0])
    expected = np.stack([[one[k == LABELS].sum() for k in range(6)] for one in shares])
    assert np.allclose(found.heatmaps, expected[:, LABELS], atol=1e-5)


def test_too_few_samples_for_the_superpixels_are_refused_with_the_number_it_takes():
    labels = np.arange(48).reshape(6, 8)
    with pytest.raises(BadQuestion, match=r"samples is from 96 .* 48 segments.*got 60"):
        outcome(kernel_shap(X, SEEDS, Y, 8, samples=60), lambda ask: answer(ask, labels))


@pytest.mark.parametrize("penalty", [0.0, 1.0])
@pytest.mark.parametrize("batch", [1, 9, 64])
def test_lime_is_weighted_ridge_regression(batch: int, penalty: float):
    """Against numpy's least squares of the weighted rows, with a row more for each penalty."""
    found = outcome(lime(X, SEEDS, chance, batch, samples=80, penalty=penalty, seed=4), answer)
    kept = (np.random.default_rng(4).random((80, 6)) < 0.5).astype(float)
    kept[0] = 1
    told = chance(scores(X * kept[:, LABELS][:, None]), SEEDS)
    cosine = kept.sum(1) / np.maximum(np.sqrt(kept.sum(1)) * np.sqrt(6), 1e-12)
    weights = np.sqrt(np.exp(-((1 - cosine) ** 2) / 0.25**2))
    rows = np.sqrt(weights)[:, None] * np.hstack([kept, np.ones((80, 1))])
    rows = np.vstack([rows, np.sqrt(penalty) * np.eye(6, 7)])
    values = np.vstack([np.sqrt(weights)[:, None] * told, np.zeros((6, 2))])
    solution = np.linalg.lstsq(rows, values)[0]
    assert np.allclose(found.heatmaps, solution[:6].T[:, LABELS], atol=1e-6)
    left = weights @ (told - np.hstack([kept, np.ones((80, 1))]) @ solution) ** 2
    mean = weights @ told / weights.sum()
    assert np.allclose(found.facts["r2"], 1 - left / (weights @ (told - mean) ** 2))


def test_lime_ends_when_it_is_sure_enough():
    *_, last = drive(lime(X, SEEDS, chance, 16, samples=50_000, tolerance=0.05), answer)
    assert isinstance(last, Outcome)
    assert (last.facts["standard error"] <= 0.05 * np.ptp(last.heatmaps, (1, 2))).all()


def test_superpixels_are_about_as_many_as_asked_for_and_follow_the_colours():
    image = np.zeros((1, 3, 60, 60), np.float32)
    image[0, 0, :, 33:] = 1
    labels = superpixels(image, 16, 1.0)
    assert sorted(np.unique(labels)) == list(range(labels.max() + 1))
    assert 8 <= labels.max() + 1 <= 24
    reds = [image[0, 0][labels == k].mean() for k in range(labels.max() + 1)]
    assert all(min(red, 1 - red) < 0.1 for red in reds)
    assert superpixels(image[:, :1], 16, 20.0).shape == (60, 60)


def test_an_image_too_uneven_for_superpixels_is_refused():
    with pytest.raises(BadQuestion, match=r"raise the compactness, which is 0\.001"):
        superpixels(rng.random((1, 3, 64, 64)).astype(np.float32), 50, 1e-3)
