"""Measures of what a heatmap is: faithful, stable, sparse, random; on arrays, worked by hand."""

import numpy as np
import pytest
from scipy import stats

from backlit_server.methods.measures.measuring import Heatmaps, ShuffledHeatmap
from linear_model import SHARES, SIZE, W, X, linear, measured, rng, softmax


def test_shares_of_a_linear_model_are_complete_and_faithful():
    assert measured("completeness", SHARES).value < 1e-12
    half = measured("completeness", SHARES / 2)
    assert np.isclose(half.value, 0.5)
    assert np.isclose(half.facts["sum"], half.facts["difference"] / 2)
    assert measured("infidelity", 3 * SHARES).facts["relative"] < 1e-12  # whatever the scale
    assert np.isclose(measured("infidelity", 3 * SHARES).facts["scale"], 1 / 3)


def test_infidelity_of_an_idle_map_is_the_mean_square_of_the_losses():
    found = measured("infidelity", np.zeros(SIZE), samples=3, patch=0.5, seed=2)
    corners = np.random.default_rng(2).integers(0, [12 - 6 + 1, 16 - 6 + 1], (3, 2))
    losses = [SHARES[r : r + 6, c : c + 6].sum() for r, c in corners]
    assert np.isclose(found.value, np.mean(np.square(losses)))
    assert found.facts["relative"] == 1


def test_max_sensitivity_is_the_largest_change_among_the_samples():
    found = measured("max-sensitivity", SHARES, samples=7, radius=0.1, seed=3)
    draw, reach = np.random.default_rng(3), 0.1 * np.ptp(X)
    changes = [(W[1] * draw.uniform(-reach, reach, X.shape[1:])).sum(0) for _ in range(7)]
    shares = np.linalg.norm(changes, axis=(1, 2)) / np.linalg.norm(SHARES)
    assert np.isclose(found.value, shares.max())
    assert np.isclose(found.facts["mean"], shares.mean())


def test_a_map_that_never_changes_is_not_sensitive():
    def answer(ask: Heatmaps) -> np.ndarray:
        return np.repeat(SHARES[None], len(ask.images), 0)

    assert measured("max-sensitivity", SHARES, answer).value == 0


def test_adcc_is_the_harmonic_mean_of_its_three_parts():
    mask = (SHARES - SHARES.min()) / np.ptp(SHARES)
    image = X * mask
    before, after = softmax(linear(X))[0, 1], softmax(linear(image))[0, 1]
    coherency = (1 + np.corrcoef(SHARES.ravel(), (W[1] * image[0]).sum(0).ravel())[0, 1]) / 2
    drop = max(0, before - after) / before
    found = measured("adcc", SHARES, normalisation="min-max")
    expected = {"coherency": coherency, "complexity": mask.mean(), "average drop": drop}
    assert {k: round(v, 12) for k, v in found.facts.items()} == {k: round(v, 12) for k, v in expected.items()}
    assert np.isclose(found.value, stats.hmean([coherency, 1 - mask.mean(), 1 - drop]))


@pytest.mark.parametrize(
    ("heatmap", "gini"),
    [([[0, 0], [0, 7]], 0.75), ([[2, 2], [2, 2]], 0), ([[1, -3], [0, 0]], 0.625), ([[0, 0], [0, 0]], 0)],
)
def test_sparseness_is_the_gini_index(heatmap, gini):
    assert measured("sparseness", np.array(heatmap)).value == pytest.approx(gini)


def test_randomisation_compares_ranks_stage_by_stage():
    found = measured("randomisation", SHARES, layers=[1, 2, 5])
    assert np.allclose(found.curve, [1, 1, -1])
    assert np.isclose(found.value, 1 / 3)
    assert np.allclose(measured("randomisation", SHARES, layers=[5], values="absolute").curve, [1])


def test_ranks_are_compared_as_spearman_does():
    other = np.round(rng.normal(size=SIZE), 1)  # with ties

    def answer(ask: ShuffledHeatmap) -> np.ndarray:
        return other[None]

    expected = np.corrcoef(stats.rankdata(SHARES), stats.rankdata(other))[0, 1]
    assert np.isclose(measured("randomisation", SHARES, answer, layers=[1]).value, expected)


def test_what_a_heatmap_took_is_measured_too():
    assert measured("seconds", SHARES).value == 0.5
    passes = measured("forward-passes", SHARES)
    assert (passes.value, dict(passes.facts)) == (7, {"backward passes": 2, "head passes": 3})
