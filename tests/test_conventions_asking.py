"""What other libraries compute otherwise in several passes, against loops written out."""

import numpy as np
import pytest

from backlit_server.methods.asking import Ask, Gradients, HeadGradients, Outcome, Scores, drive
from backlit_server.methods.profiles import PROFILES
from backlit_server.methods.scaling import resize

rng = np.random.default_rng(17)
X = rng.normal(size=(1, 2, 9, 6))
A = rng.random((1, 5, 3, 2))
BY_PIXEL = rng.normal(size=(4, 2, 9, 6))  # scores are linear in the image
BY_PLACE = rng.normal(size=(4, 5, 3, 2))  # and in the features
SEEDS = np.eye(4)[[2, 0]]
ANSWERS = {
    Scores: lambda ask: np.einsum("tchw,nchw->nt", BY_PIXEL, ask.images),
    Gradients: lambda ask: np.einsum("nt,tchw->nchw", ask.seeds, BY_PIXEL) + (ask.rules == "guided"),
    HeadGradients: lambda ask: np.einsum("nt,tkhw->nkhw", ask.seeds, BY_PLACE),
}
SCORES = np.einsum("tkhw,nkhw->nt", BY_PLACE, A)
GIVEN = {"image": X, "features": A, "seeds": SEEDS, "scores": SCORES, "batch": 3}


def answer(ask: Ask) -> np.ndarray:
    return ANSWERS[type(ask)](ask)


def heatmaps(name: str, method: str) -> np.ndarray:
    row = PROFILES[name].row(method)
    *_, last = drive(row.formula(**{need: GIVEN[need] for need in row.needs}), answer)
    assert isinstance(last, Outcome)
    return last.heatmaps


def softmax(values: np.ndarray) -> np.ndarray:
    return np.exp(values) / np.exp(values).sum()


def scaled(channel: np.ndarray) -> np.ndarray:
    return (channel - channel.min()) / (np.ptp(channel) + 1e-8)


MASKS = {
    "pytorch-grad-cam": lambda channel: scaled(resize(channel, (9, 6), "corners")),
    "torchcam": lambda channel: resize(scaled(channel), (9, 6)),
}


@pytest.mark.parametrize("name", MASKS)
def test_score_cam_weighs_maps_by_a_softmax_of_the_scores_behind_their_masks(name):
    for found, target in zip(heatmaps(name, "score-cam"), (2, 0), strict=True):
        behind = np.array([(BY_PIXEL[target] * X[0] * MASKS[name](channel)).sum() for channel in A[0]])
        assert np.allclose(found, np.tensordot(softmax(behind), A[0], 1))


def test_finer_cam_is_grad_cam_of_the_score_less_those_of_similar_classes_weighted_by_their_softmax():
    def compared(features: np.ndarray, target: int, others: list[int]) -> float:
        scores = np.einsum("tkhw,khw->t", BY_PLACE, features)
        return scores[target] - softmax(scores[others]) @ scores[others]

    for found, target in zip(heatmaps("pytorch-grad-cam", "finer-cam"), (2, 0), strict=True):
        others = [c for c in range(4) if c != target]
        weights = np.zeros(5)
        for k in range(5):  # the mean of the gradients is the slope of all places of a channel together
            step = np.zeros_like(A[0])
            step[k] = 1e-6 / 6
            weights[k] = (compared(A[0] + step, target, others) - compared(A[0] - step, target, others)) / 2e-6
        assert np.allclose(found, np.tensordot(weights, A[0], 1), atol=1e-6)


def test_guided_grad_cam_tells_channels_apart_and_repeats_the_nearest_place():
    for found, target in zip(heatmaps("captum", "guided-grad-cam"), (2, 0), strict=True):
        where = np.maximum(np.tensordot(BY_PLACE[target].mean((1, 2)), A[0], 1), 0)
        assert np.allclose(found, (BY_PIXEL[target] + 1) * where.repeat(3, 0).repeat(3, 1))


def test_eigen_grad_cam_is_the_first_component_of_centred_products():
    for found, target in zip(heatmaps("pytorch-grad-cam", "eigen-grad-cam"), (2, 0), strict=True):
        places = (A[0] * BY_PLACE[target]).reshape(5, 6).T
        places = places - places.mean(0)
        assert np.isclose((found**2).sum(), np.linalg.eigvalsh(places.T @ places)[-1])
