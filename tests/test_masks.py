"""Images behind masks, against loops written out and a model whose truth is known."""

import numpy as np
import pytest
from skimage.transform import resize as enlarged

from backlit_proto.errors import BadQuestion
from backlit_server.methods.asking import Ask, Outcome, Partial, Scores, drive
from backlit_server.methods.masks import random_masks, rise
from backlit_server.methods.occlusion import occlusion
from backlit_server.methods.scaling import resize
from backlit_server.methods.sidu import sidu
from outcomes import outcome

rng = np.random.default_rng(5)
X = rng.normal(size=(1, 3, 6, 8))
W = rng.normal(size=(4, 3, 6, 8))
SEEDS = np.eye(4)[[2, 0]]
FILLS = pytest.mark.parametrize("fill", [0.0, 0.5, rng.normal(size=X.shape)], ids=["zero", "number", "array"])


def cubic(ask: Ask) -> np.ndarray:
    assert isinstance(ask, Scores)
    return scores(ask.images)


def scores(images: np.ndarray) -> np.ndarray:
    return np.einsum("kchw,nchw->nk", W, images**3)


def linear(ask: Ask) -> np.ndarray:
    assert isinstance(ask, Scores)
    return np.einsum("kchw,nchw->nk", W, ask.images)


def logistic(found: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-found @ seeds.T))


def softmax(found: np.ndarray) -> np.ndarray:
    raised = np.exp(found - found.max(1, keepdims=True))
    return raised / raised.sum(1, keepdims=True)


Y = scores(X)


@FILLS
@pytest.mark.parametrize("batch", [1, 9, 50])
def test_rise_is_the_mean_of_masks_weighted_by_probability(batch: int, fill: float | np.ndarray):
    found = outcome(rise(X, SEEDS, logistic, batch, masks=50, cells=3, keep=0.4, seed=8, fill=fill), cubic)
    masks = random_masks(np.random.default_rng(8), 50, 3, 0.4, (6, 8))
    weighted = [logistic(scores(X * m + fill * (1 - m)), SEEDS)[0][:, None, None] * m for m in masks]
    assert np.allclose(found.heatmaps, np.mean(weighted, 0) / 0.4, atol=1e-6)
    error = np.std(weighted, 0) / np.sqrt(50) / 0.4
    assert np.allclose(found.facts["standard error"], error.max((1, 2)), atol=1e-6)


def test_rise_of_a_linear_model_ranks_cells_by_what_they_add():
    """With the score itself for a probability, the mean is a constant and each place's share of the score."""
    x = np.ones((1, 1, 8, 8))
    w = np.zeros((1, 8, 8))
    w[0, 2:4, 4:6] = 1.0

    def added(ask: Ask) -> np.ndarray:
        assert isinstance(ask, Scores)
        return np.einsum("chw,nchw->n", w, ask.images)[:, None]

    found = outcome(rise(x, np.eye(1), lambda y, _: y, 100, masks=20_000, cells=4), added).heatmaps[0]
    masks = random_masks(np.random.default_rng(1), 40_000, 4, 0.5, (8, 8)).reshape(-1, 64)
    expected = np.dot(masks.T, masks.dot(w.ravel())).reshape(8, 8) / len(masks) / 0.5
    assert np.allclose(found, expected, atol=0.05)
    assert np.unravel_index(found.argmax(), found.shape) in [(2, 4), (2, 5), (3, 4), (3, 5)]


def test_rise_ends_when_it_is_sure_enough_and_says_how_sure():
    steps = list(drive(rise(X, SEEDS, logistic, 20, masks=10_000, cells=3, tolerance=0.1), cubic))
    last = steps[-1]
    assert isinstance(last, Outcome)
    progress = [p.progress for p in steps if isinstance(p, Partial)]
    assert progress[-1] < 0.5
    assert (last.facts["standard error"] <= 0.1 * np.ptp(last.heatmaps, (1, 2))).all()


def test_the_standard_error_is_how_far_runs_with_other_seeds_are_apart():
    runs = [outcome(rise(X, SEEDS, logistic, 100, masks=300, cells=3, seed=s), cubic) for s in range(60)]
    spread = np.std([run.heatmaps for run in runs], 0).max((1, 2))
    told = np.mean([run.facts["standard error"] for run in runs], 0)
    assert np.allclose(told, spread, rtol=0.3)


def test_masks_are_enlarged_grids_shifted_by_part_of_a_cell():
    """Against scikit-image's resize, as the paper's authors made theirs."""
    masks = random_masks(np.random.default_rng(1), 20, 4, 0.5, (21, 30))
    for mask, drawn in zip(masks, np.random.default_rng(1).random((20, 18)), strict=True):
        row, column = (drawn[:2] * (6, 8)).astype(int)
        grid = (drawn[2:].reshape(4, 4) < 0.5).astype(np.float32)
        large = enlarged(grid, (5 * 6, 5 * 8), order=1, mode="reflect", anti_aliasing=False)
        assert np.allclose(mask, np.asarray(large)[row : row + 21, column : column + 30], atol=1e-5)


def test_as_much_of_an_image_is_kept_as_asked_for():
    masks = random_masks(np.random.default_rng(2), 2000, 7, 0.3, (32, 32))
    assert abs(masks.mean() - 0.3) < 0.01
    assert masks.min() >= 0
    assert masks.max() <= 1


@FILLS
@pytest.mark.parametrize("batch", [1, 5, 64])
def test_occlusion_averages_what_each_patch_hides(batch: int, fill: float | np.ndarray):
    found = outcome(occlusion(X, SEEDS, Y, batch, patch=3, stride=2, fill=fill), cubic)
    total, count = np.zeros((2, 6, 8)), np.zeros((6, 8))
    for r in (0, 2, 3):
        for c in (0, 2, 4, 5):
            hidden = X.copy()
            hidden[:, :, r : r + 3, c : c + 3] = np.broadcast_to(fill, X.shape)[:, :, r : r + 3, c : c + 3]
            total[:, r : r + 3, c : c + 3] += (Y - scores(hidden))[0, [2, 0]][:, None, None]
            count[r : r + 3, c : c + 3] += 1
    assert np.allclose(found.heatmaps, total / count, rtol=1e-5, atol=1e-5)


def test_occlusion_of_a_linear_model_pixel_by_pixel_is_gradient_times_input():
    found = outcome(occlusion(X, SEEDS, linear(Scores(X)), 16, patch=1, stride=1), linear)
    assert np.allclose(found.heatmaps, np.einsum("tk,kchw,chw->thw", SEEDS, W, X[0]), atol=1e-5)


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"patch": 7}, "patch is from 1 to the image's shorter side, 6; got 7"),
        ({"patch": 3, "stride": 4}, "stride is from 1 to the patch, 3.*got 4"),
        ({"fill": np.zeros((3, 8, 6))}, "fill is a number"),
    ],
)
def test_occlusion_refuses_what_leaves_pixels_out(parameters: dict, said: str):
    with pytest.raises(BadQuestion, match=said):
        outcome(occlusion(X, SEEDS, Y, 4, **parameters), cubic)


@FILLS
@pytest.mark.parametrize("batch", [1, 2, 64])
def test_sidu_sums_masks_by_similarity_and_uniqueness(batch: int, fill: float | np.ndarray):
    features = rng.normal(size=(1, 5, 3, 4))
    found = outcome(sidu(X, features, SEEDS, Y, softmax, batch, threshold=0.2, fill=fill), cubic)
    active = (features[0] > 0.2).astype(float)
    large = [resize(one, (6, 8)) for one in active]
    told = [softmax(scores(X * m + fill * (1 - m)))[0] for m in large]
    alike = [np.exp(-(np.linalg.norm(p - softmax(Y)[0]) ** 2) / (2 * 0.25**2)) for p in told]
    unlike = [sum(np.linalg.norm(p - q) for q in told) for p in told]
    expected = np.sum([a * u * m for a, u, m in zip(alike, unlike, active, strict=True)], 0)
    assert np.allclose(found.heatmaps, np.stack([expected, expected]), atol=1e-4)
