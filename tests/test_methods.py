"""Formulas on plain numpy arrays: closed forms, and the table's own promises."""

import numpy as np
import pytest

from backlit_proto.errors import BadQuestion
from backlit_server.methods import METHODS, bind

rng = np.random.default_rng(7)
A = rng.random((2, 5, 3, 4))
G = rng.normal(size=(2, 5, 3, 4))
W = rng.normal(size=(2, 5, 1, 1))
Z = 3 * 4


def by_name(name: str, *tensors: np.ndarray) -> np.ndarray:
    made = METHODS[name].formula(*tensors)
    return made[0] if isinstance(made, tuple) else made


def test_cam_is_the_weighted_sum_of_the_maps():
    assert np.allclose(by_name("cam", A, W), np.einsum("nk,nkhw->nhw", W[:, :, 0, 0], A))


def test_grad_cam_weighs_a_map_by_the_mean_of_its_gradient():
    assert np.allclose(by_name("grad-cam", A, G), np.einsum("nk,nkhw->nhw", G.mean((2, 3)), A))


def test_hires_cam_multiplies_place_by_place():
    assert np.allclose(by_name("hires-cam", A, G), np.einsum("nkhw,nkhw->nhw", G, A))


def test_layer_cam_keeps_rising_places_only():
    assert np.allclose(by_name("layer-cam", A, G), np.einsum("nkhw,nkhw->nhw", np.maximum(G, 0), A))


def test_xgrad_cam_weighs_by_activity_and_ignores_silent_channels():
    silent = A.copy()
    silent[:, 2] = 0
    shares = np.divide(
        (G * silent).sum((2, 3)), silent.sum((2, 3)), out=np.zeros((2, 5)), where=silent.sum((2, 3)) != 0
    )
    assert np.allclose(by_name("xgrad-cam", silent, G), np.einsum("nk,nkhw->nhw", shares, silent))


def test_grad_cam_plus_plus_is_equation_19_of_the_paper():
    score = 3.0
    y, g = np.exp(score), G
    first, second, third = y * g, y * g**2, y * g**3  # derivatives of exp(score), score piecewise linear in A
    alpha = second / (2 * second + A.sum((2, 3), keepdims=True) * third)
    weights = (np.where(first > 0, alpha, 0) * np.maximum(first, 0)).sum((2, 3))
    paper = np.einsum("nk,nkhw->nhw", weights, A)
    assert np.allclose(by_name("grad-cam++", A, G) * y, paper)


def test_grad_cam_plus_plus_counts_places_where_its_denominator_vanishes():
    features = np.zeros((1, 1, 1, 2))
    features[0, 0, 0] = [-2.0, 0.0]
    heatmap, guarded = METHODS["grad-cam++"].formula(features, np.ones((1, 1, 1, 2)))
    assert np.isfinite(heatmap).all()
    assert guarded.tolist() == [2]


@pytest.mark.parametrize("name", ["grad-cam", "grad-cam++", "hires-cam", "layer-cam", "xgrad-cam"])
def test_maps_are_linear_in_the_number_of_rows(name):
    """One row at a time gives what all rows at once give."""
    alone = np.concatenate([by_name(name, A[[i]], G[[i]]) for i in range(len(A))])
    assert np.allclose(by_name(name, A, G), alone)


def test_grad_cam_elementwise_drops_what_speaks_against_the_target_map_by_map():
    assert np.allclose(by_name("grad-cam-elementwise", A, G), np.maximum(G * A, 0).sum(axis=1))


def test_saliency_and_gradient_x_input_are_their_definitions():
    assert np.allclose(by_name("saliency", G), np.abs(G).max(axis=1))
    assert np.allclose(METHODS["saliency"].formula(G, channels="sum"), np.abs(G).sum(axis=1))
    assert np.allclose(METHODS["saliency"].formula(G, channels="mean", signed=True), G.mean(axis=1))
    assert np.allclose(by_name("gradient-x-input", A, G), (A * G).sum(axis=1))


def test_eigen_cam_is_the_projection_on_the_first_singular_vector_with_more_for_more():
    for image, heatmap in zip(A, by_name("eigen-cam", A), strict=True):
        places = image.reshape(5, -1).T
        expected = places @ np.linalg.svd(places)[2][0]
        expected *= np.sign((expected * places.sum(1)).sum())
        assert np.allclose(heatmap.ravel(), expected)


def test_kpca_cam_with_a_linear_kernel_is_the_first_principal_component():
    for image, heatmap in zip(A, METHODS["kpca-cam"].formula(A, kernel="linear"), strict=True):
        places = image.reshape(5, -1).T
        centred = places - places.mean(0)
        along = centred @ np.linalg.svd(centred)[2][0]
        assert np.allclose(heatmap.ravel(), along * np.sign((along * places.sum(1)).sum()))


@pytest.mark.parametrize(
    ("kernel", "alike"),
    [("sigmoid", lambda x, y: np.tanh(x @ y / 5 + 1)), ("rbf", lambda x, y: np.exp(-((x - y) ** 2).sum() / 5))],
)
def test_kpca_cam_is_the_first_component_of_the_centred_kernel_matrix(kernel, alike):
    for image, heatmap in zip(A, METHODS["kpca-cam"].formula(A, kernel=kernel), strict=True):
        places = image.reshape(5, -1).T
        apart = places - places.mean(0)
        matrix = np.array([[alike(x, y) for y in apart] for x in apart])
        around = np.eye(Z) - 1 / Z
        values, vectors = np.linalg.eigh(around @ matrix @ around)
        along = vectors[:, -1] * np.sqrt(values[-1])
        assert np.allclose(heatmap.ravel(), along * np.sign((along * places.sum(1)).sum()))


def test_kpca_cam_refuses_more_places_than_it_can_compare():
    with pytest.raises(BadQuestion, match="ask at a later layer"):
        METHODS["kpca-cam"].formula(np.zeros((1, 1, 112, 112)))


def test_fem_keeps_places_far_above_the_mean_of_their_channel():
    features = rng.random((1, 3, 8, 8)) ** 8
    expected = sum(a.mean() * (a > a.mean() + 2 * a.std()) for a in features[0])
    assert np.allclose(by_name("fem", features)[0], expected)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"channels": "median"}, "saliency: parameter channels must be one of max, mean, sum, not 'median'"),
        ({"signed": 1.0}, "saliency: parameter signed must be true or false, not 1.0"),
    ],
    ids=str,
)
def test_a_parameter_of_the_wrong_kind_is_refused_with_the_right_one(given: dict, message: str):
    with pytest.raises(BadQuestion, match=f"^{message}$"):
        bind("saliency", given)


def test_feature_maps_come_in_the_order_asked_for():
    assert np.array_equal(METHODS["feature-maps"].formula(A, channels=(3, 0)), A[:, [3, 0]])


@pytest.mark.parametrize("name", METHODS)
def test_every_method_says_in_one_line_what_it_is(name):
    row = METHODS[name]
    assert row.summary.endswith(".")
    assert len(row.summary) <= 120
    assert all(p.documentation for p in row.parameters)


@pytest.mark.parametrize(
    ("name", "given", "says"),
    [
        ("no-such-cam", {}, "there are score, feature-maps, embedding, cam"),
        ("grad-cam", {"relu": True}, "it takes none at all"),
        ("feature-maps", {"channel": [1]}, "it takes channels"),
        ("feature-maps", {"channels": [1.5]}, "must be a list of whole numbers"),
        ("feature-maps", {"channels": 3}, "must be a list of whole numbers"),
        ("feature-maps", {"channels": [True]}, "must be a list of whole numbers"),
        ("score-cam", {"samples": 0}, "samples must be a whole number from 1 to 1,000, not 0"),
        ("score-cam", {"noise": -1}, "noise must be a number from 0 to 10"),
        ("finer-cam", {"similar": 0}, "similar must be a whole number from 1"),
        ("finer-cam", {"weights": "cam"}, "weights must be one of grad-cam, "),
        ("shapley-cam", {"step": 0}, "step must be a number from 0.0001 to 1"),
        ("random-cam", {"seed": -1}, "seed must be a whole number from 0"),
    ],
)
def test_an_unknown_name_or_value_is_refused_with_the_valid_ones(name, given, says):
    with pytest.raises(BadQuestion, match=says):
        bind(name, given)


def test_numbers_from_the_wire_become_the_parameters_own_type():
    assert bind("feature-maps", {"channels": [1.0, 2.0]}) == {"channels": (1, 2)}
    assert bind("feature-maps", {}) == {"channels": ()}
