"""What each library computes otherwise than the papers, beside its formula written out."""

import numpy as np
import pytest

from backlit_server.methods import METHODS
from backlit_server.methods.profiles import PROFILES

rng = np.random.default_rng(11)
A = rng.random((2, 5, 3, 4))
G = rng.normal(size=(2, 5, 3, 4))


def summed(weights: np.ndarray) -> np.ndarray:
    return np.einsum("nk,nkhw->nhw", weights, A)


def by_places(weight) -> np.ndarray:
    """Weights (n, k) as the sum over places of a function of each gradient, its channel's features and gradients."""
    found = np.zeros(A.shape[:2])
    for n, k, i, j in np.ndindex(*A.shape):
        found[n, k] += weight(G[n, k, i, j], A[n, k], G[n, k])
    return found


def alpha(g: float, a: np.ndarray) -> float:
    return g**2 / (2 * g**2 + a.sum() * g**3)


OTHERWISE = {
    ("pytorch-grad-cam", "grad-cam++"): lambda: summed(
        by_places(lambda g, a, _: max(g, 0) * g**2 / (2 * g**2 + a.sum() * g**3 + 1e-6))
    ),
    ("pytorch-grad-cam", "xgrad-cam"): lambda: summed((G * A).sum((2, 3)) / (A.sum((2, 3)) + 1e-7)),
    ("pytorch-grad-cam", "fem"): lambda: summed(
        (A.mean((2, 3), keepdims=True) + 2 * A.std((2, 3), keepdims=True) < A).mean((2, 3))
    ),
    ("torchcam", "grad-cam++"): lambda: summed(by_places(lambda g, a, _: max(g, 0) ** 3)),
    ("torchcam", "xgrad-cam"): lambda: summed((G * A).sum((2, 3)) / (A.sum((2, 3)) + 1e-8)),
    ("tf-keras-vis", "grad-cam++"): lambda: summed(
        by_places(lambda g, a, gs: max(g, 0) * alpha(g, a) / sum(alpha(other, a) for other in gs.ravel()))
    ),
    ("lcam", "grad-cam++"): lambda: summed(
        by_places(lambda g, a, gs: max(g, 0) * g**2 / (2 * g**2 + (a * gs**3).sum()))
    ),
    ("keras-tutorial", "grad-cam"): lambda: 12 * summed(G.mean((2, 3))),
    ("captum", "saliency"): lambda: np.abs(G),
    ("captum", "gradient-x-input"): lambda: A * G,
    ("captum", "guided-backprop"): lambda: G,
    ("captum", "deconvnet"): lambda: G,
}
DECOMPOSED = {("pytorch-grad-cam", "eigen-cam"), ("pytorch-grad-cam", "kpca-cam")}


def test_every_deviation_has_a_case():
    rows = {(name, m): row for name, profile in PROFILES.items() for m, row in profile.methods.items()}
    # Those of many passes have their own in test_conventions_asking.py.
    assert set(OTHERWISE) | DECOMPOSED == {key for key, row in rows.items() if not row.many_passes}


@pytest.mark.parametrize(("name", "method"), OTHERWISE)
def test_deviations_equal_their_formulas_written_out(name, method):
    row = PROFILES[name].row(method)
    made = row.formula(*({"features": A, "grads": G}[need] for need in row.needs))
    assert np.allclose(made, OTHERWISE[name, method]())


@pytest.mark.parametrize("name", PROFILES)
def test_deviations_look_where_the_method_looks(name):
    for method, theirs in PROFILES[name].methods.items():
        ours = METHODS[method]
        assert (theirs.at, theirs.rules, theirs.needs_seed) == (ours.at, ours.rules, ours.needs_seed), method
        assert theirs.summary.endswith("."), method
        assert len(theirs.parameters) <= len(ours.parameters), method


def test_a_place_that_changes_nothing_has_no_weight():
    flat = np.zeros_like(G)
    for name in ("pytorch-grad-cam", "torchcam", "tf-keras-vis", "lcam"):
        assert not PROFILES[name].row("grad-cam++").formula(A, flat).any(), name


def test_the_centred_direction_is_the_first_component_of_the_places():
    found = PROFILES["pytorch-grad-cam"].row("eigen-cam").formula(A)
    places = A.reshape(2, 5, 12).transpose(0, 2, 1)
    places = places - places.mean(1, keepdims=True)
    for along, of in zip(found.reshape(2, 12), places, strict=True):
        lengths = np.linalg.eigvalsh(of.T @ of)
        assert np.isclose(along @ along, lengths[-1])
        assert np.isclose(along.mean(), 0)


def test_kernel_components_of_centred_places_have_their_largest_above_zero():
    row = PROFILES["pytorch-grad-cam"].row("kpca-cam")
    found = row.formula(A, kernel="linear").reshape(2, 12)
    centred = PROFILES["pytorch-grad-cam"].row("eigen-cam").formula(A).reshape(2, 12)
    assert np.allclose(np.abs(found), np.abs(centred))  # a linear kernel's components are the places' own
    assert (found[np.arange(2), np.abs(found).argmax(1)] > 0).all()
