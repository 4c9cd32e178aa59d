"""EigenGrad-CAM and Finer-CAM by the weights of other methods, on arrays with known gradients."""

import numpy as np
import pytest

from backlit_proto.errors import BadQuestion
from backlit_server.methods import METHODS
from backlit_server.methods.asking import Ask, HeadGradients, Outcome, drive
from backlit_server.methods.principal import first_direction
from backlit_server.methods.variations import WEIGHINGS, eigen_grad_cam, finer_cam, summands

rng = np.random.default_rng(3)
A = rng.random((1, 5, 4, 3))
HEAD = rng.normal(size=(6, 5, 4, 3))  # scores = sum(HEAD A)
SCORES = np.array([[3.0, 1.0, 2.9, -4.0, 2.0, 8.0]])
SEEDS = np.eye(6)[[0, 3]]


def outcome(steps) -> Outcome:
    def answer(ask: Ask) -> np.ndarray:
        assert isinstance(ask, HeadGradients)
        assert np.array_equal(ask.features, A)
        return np.einsum("nt,tkhw->nkhw", ask.seeds, HEAD)

    *_, last = drive(steps, answer)
    assert isinstance(last, Outcome)
    return last


G = np.einsum("nt,tkhw->nkhw", SEEDS, HEAD)


@pytest.mark.parametrize("weights", WEIGHINGS)
def test_what_channels_add_makes_the_map_of_the_method(weights: str):
    made = METHODS[weights].formula(np.repeat(A, 2, 0), G)
    whole = made[0] if isinstance(made, tuple) else made
    assert np.allclose(summands(weights, A, G).sum(1), whole)


def test_eigen_grad_cam_is_the_first_direction_of_features_times_gradients():
    assert np.allclose(outcome(eigen_grad_cam(A, SEEDS)).heatmaps, first_direction(A * G))


def test_eigen_smoothing_replaces_the_sum_over_the_weighted_maps():
    found = outcome(eigen_grad_cam(A, SEEDS, weights="grad-cam")).heatmaps
    weighted = A * G.mean((2, 3), keepdims=True)
    for heatmap, maps in zip(found, weighted, strict=True):
        places = maps.reshape(5, -1).T
        along = places @ np.linalg.svd(places)[2][0]
        assert np.allclose(heatmap.ravel(), along * np.sign((along * places.sum(1)).sum()))


def test_finer_cam_explains_the_difference_to_the_nearest_scores():
    found = outcome(finer_cam(A, SEEDS, SCORES, alpha=0.5, similar=2))
    first = HEAD[0] - 0.5 * (HEAD[2] + HEAD[4]) / 2  # 2.9 and 2.0 are nearest to 3.0
    second = HEAD[3] - 0.5 * (HEAD[1] + HEAD[4]) / 2  # 1.0 and 2.0 to -4.0
    for heatmap, gradient in zip(found.heatmaps, (first, second), strict=True):
        assert np.allclose(heatmap, np.einsum("k,khw->hw", gradient.mean((1, 2)), A[0]))
    assert np.array_equal(found.facts["similar class 1"], [2, 1])
    assert np.array_equal(found.facts["similar class 2"], [4, 4])


def test_finer_cam_compares_with_as_many_classes_as_there_are():
    found = outcome(finer_cam(A, SEEDS[:1], SCORES, alpha=1.0, similar=99, weights="hires-cam"))
    gradient = HEAD[0] - HEAD[1:].mean(0)
    assert np.allclose(found.heatmaps[0], (gradient * A[0]).sum(0))


def test_finer_cam_says_when_there_is_nothing_to_compare_with():
    with pytest.raises(BadQuestion, match="use grad-cam"):
        next(finer_cam(A, np.ones((1, 6)), SCORES))
