"""Score-CAM and its relatives against loops written out."""

from collections.abc import Callable

import numpy as np
import pytest
from skimage.transform import resize

from backlit_server.methods.asking import Ask, Outcome, Partial, Scores, drive
from backlit_server.methods.score_cam import score_cam

rng = np.random.default_rng(2)
X = rng.normal(size=(1, 2, 8, 12))
A = rng.normal(size=(1, 5, 4, 6))
A[0, 3] = 0.7  # a constant map
W = rng.normal(size=(2, 8, 12, 3))
SEEDS = np.eye(3)[[2, 0]]


def scores(images: np.ndarray) -> np.ndarray:
    return np.tanh(images.reshape(len(images), -1) @ W.reshape(-1, 3))


def chance(found: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-found @ seeds.T))


def answer(ask: Ask) -> np.ndarray:
    assert isinstance(ask, Scores)
    return scores(ask.images)


def heatmaps(batch: int, **parameters) -> np.ndarray:
    *way, last = drive(score_cam(X, A, SEEDS, chance, batch, **parameters), answer)
    assert isinstance(last, Outcome)
    partials = [step for step in way if isinstance(step, Partial)]
    assert partials[-1].progress == 1
    assert np.allclose(partials[-1].heatmaps, last.heatmaps)
    return last.heatmaps


def expected(maps: list[int], likely: Callable[[np.ndarray, int], np.ndarray]) -> np.ndarray:
    """sum_k likely(mask of map k) A_k, with scikit-image's bilinear enlargement."""
    total = np.zeros((2, 4, 6))
    for k in maps:
        large = np.asarray(resize(A[0, k], (8, 12), order=1, mode="edge", anti_aliasing=False))
        mask = (large - large.min()) / (large.max() - large.min())
        total += likely(mask, k)[:, None, None] * A[0, k]
    return total


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_score_cam_weighs_a_map_by_the_probability_behind_it(batch: int):
    assert np.allclose(heatmaps(batch), expected([0, 1, 2, 4], lambda mask, _: chance(scores(X * mask), SEEDS)[0]))


def test_faster_score_cam_takes_the_maps_that_vary_most():
    most = sorted(np.argsort(A[0].std((1, 2)))[-2:])
    assert np.allclose(heatmaps(3, most=2), expected(most, lambda mask, _: chance(scores(X * mask), SEEDS)[0]))


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_is_cam_is_the_mean_over_masks_that_fade_in(batch: int):
    def likely(mask: np.ndarray, _: int) -> np.ndarray:
        return np.mean([chance(scores(X * mask * i / 4), SEEDS)[0] for i in (1, 2, 3, 4)], 0)

    assert np.allclose(heatmaps(batch, steps=4), expected([0, 1, 2, 4], likely))


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_ss_cam_is_the_mean_over_noisy_maps(batch: int):
    draw = np.random.default_rng(9)
    total = np.zeros((2, 4, 6))
    for k in (0, 1, 2, 4):
        for _ in range(3):
            noisy = A[0, k] + 0.2 * np.ptp(A[0, k]) * draw.normal(size=(4, 6))
            large = np.asarray(resize(noisy, (8, 12), order=1, mode="edge", anti_aliasing=False))
            mask = (large - large.min()) / (large.max() - large.min())
            total += chance(scores(X * mask), SEEDS)[0][:, None, None] * A[0, k] / 3
    assert np.allclose(heatmaps(batch, samples=3, noise=0.2, seed=9), total)


def test_a_layer_of_constant_maps_gives_a_map_of_nothing():
    *_, last = drive(score_cam(X, np.ones((1, 3, 4, 6)), SEEDS, chance, 4), answer)
    assert isinstance(last, Outcome)
    assert not last.heatmaps.any()
