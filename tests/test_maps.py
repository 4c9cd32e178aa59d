"""The maps themselves, on real models: closed forms that follow from the weights in the file."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from backlit_server.engine.engine import Engine
from bare import ask, last_linear, stored, values

rng = np.random.default_rng(11)


@dataclass(frozen=True)
class Case:
    """A model whose head is global pooling and one linear layer (or the maps of the classes themselves)."""

    file: str
    input: str
    shape: tuple[int, ...]
    layer: str
    scores: str
    classes: tuple[int, ...]


POOLING_LINEAR = [
    Case("efficientnet-lite0", "input", (3, 224, 224), "/_swish_1/Clip_output_0", "logits", (281, 0, 999)),
    Case("squeezenet11-ndf", "image", (3, 227, 227), "conv10", "logits", (281, 967, 3)),
    Case("opennsfw-nhwc-tf2onnx", "input:0", (224, 224, 3), "Relu_48:0", "fc_nsfw/BiasAdd:0", (0, 1)),
    Case("age-resnet10-dlib", "images", (3, 64, 64), "layer_3_relu", "logits", (28, 0, 80)),
    Case("ppocr-textcls-mobilenetv3", "x", (3, 48, 192), "pool2d_9.tmp_0", "linear_1.tmp_1", (0, 1)),
    Case("digits40-cnn-gap", "input", (1, 40, 40), "/4/4.2/Relu_output_0", "logits", (0, 5, 9)),
    Case("vww96-mnv1-nhwc", "input_1", (96, 96, 3), "Relu__83:0", "Add__87:0", (0, 1)),
]


@dataclass(frozen=True, eq=False)
class Looked:
    """`all_weights` and `logits` (images, classes) are those of all classes, `weights` those of the asked ones."""

    maps: Callable[..., np.ndarray]
    features: np.ndarray
    all_weights: np.ndarray
    logits: np.ndarray
    classes: list[int]

    @property
    def weights(self) -> np.ndarray:
        return self.all_weights[self.classes]

    @property
    def places(self) -> int:
        return self.features.shape[2] * self.features.shape[3]

    @property
    def cam(self) -> np.ndarray:
        return weighted(self.features, self.weights)

    @property
    def grad_cam_plus_plus(self) -> np.ndarray:
        rising, means = np.maximum(self.weights, 0), self.features.mean((2, 3))
        return np.einsum("nck,nkhw->nchw", rising / (2 + rising * means[:, None]), self.features)


@pytest.fixture(scope="module", params=POOLING_LINEAR, ids=lambda case: case.file)
def looked(request, shared: Path, engine: Engine):
    """A way to ask the engine about a batch of two, and in float64 what its maps follow from."""
    case: Case = request.param
    file = shared / "models" / f"{case.file}.onnx"
    digest = stored(engine.store, file)
    x = rng.normal(size=(2, *case.shape)).astype(np.float32)
    features, logits = (a.astype(np.float64) for a in values(file, [case.layer, case.scores], {case.input: x}))
    weights = last_linear(file, features.shape[1]).astype(np.float64)

    def maps(method: str, **parameters) -> np.ndarray:
        answers = ask(engine, digest, x, method, case.classes, **parameters)
        assert [a.image for a, _ in answers] == [i for i in range(2) for _ in case.classes]
        assert {a.layer for a, _ in answers} == {case.layer}
        heatmaps = np.stack([heatmap for _, heatmap in answers])
        return heatmaps.reshape(2, len(case.classes), *features.shape[2:])

    return Looked(maps, features, weights, logits, list(case.classes))


def same(ours: np.ndarray, theirs: np.ndarray, share: float = 1e-5) -> bool:
    """Equal to this share of each map's own largest value."""
    largest = np.abs(theirs).max((2, 3), keepdims=True)
    return bool((np.abs(ours - theirs) <= share * largest + 1e-12).all())


def weighted(features: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.einsum("ck,nkhw->nchw", weights, features)


def test_cam_is_the_weights_times_the_features(looked: Looked):
    assert same(looked.maps("cam"), looked.cam)


@pytest.mark.parametrize("method", ["grad-cam", "hires-cam", "xgrad-cam"])
def test_the_gradient_methods_are_cam_over_the_number_of_places(looked: Looked, method: str):
    assert same(looked.maps(method), looked.cam / looked.places)


def test_shapley_cam_is_grad_cam_where_the_head_is_linear(looked: Looked):
    assert same(looked.maps("shapley-cam"), looked.cam / looked.places, 1e-4)


def test_layer_cam_takes_the_positive_weights(looked: Looked):
    assert same(looked.maps("layer-cam"), weighted(looked.features, np.maximum(looked.weights, 0)) / looked.places)


def test_grad_cam_plus_plus_weighs_by_relu_of_w_over_two_plus_w_times_the_mean(looked: Looked):
    assert same(looked.maps("grad-cam++"), looked.grad_cam_plus_plus)


def test_noise_changes_nothing_where_the_head_is_linear(looked: Looked):
    assert same(looked.maps("smooth-grad-cam++", samples=3), looked.grad_cam_plus_plus)


def test_ablation_cam_weighs_by_what_each_mean_adds_to_the_score(looked: Looked):
    added = looked.weights * looked.features.mean((2, 3))[:, None] / looked.logits[:, looked.classes, None]
    # A difference of scores knows as many digits as float32 leaves it.
    assert same(looked.maps("ablation-cam"), np.einsum("nck,nkhw->nchw", added, looked.features), 1e-3)


def test_recipro_cam_is_cam_over_the_number_of_places_and_the_bias(looked: Looked):
    bias = looked.logits[:, looked.classes] - looked.features.mean((2, 3)) @ looked.weights.T
    assert same(looked.maps("recipro-cam"), looked.cam / looked.places + bias[:, :, None, None], 1e-4)


def test_eigen_grad_cam_is_the_first_direction_of_the_weighted_features(looked: Looked):
    found = looked.maps("eigen-grad-cam")
    for features, heatmaps in zip(looked.features, found, strict=True):
        for weights, heatmap in zip(looked.weights, heatmaps, strict=True):
            places = (features.reshape(len(weights), -1).T * weights) / looked.places
            along = places @ np.linalg.svd(places, full_matrices=False)[2][0]
            along *= np.sign((along * places.sum(1)).sum())
            assert np.allclose(heatmap.ravel(), along, atol=1e-4 * abs(along).max())


def test_finer_cam_is_the_cam_of_a_difference(looked: Looked):
    found = looked.maps("finer-cam", alpha=0.5, similar=1)
    for image, heatmaps in enumerate(found):
        for target, heatmap in zip(looked.classes, heatmaps, strict=True):
            away = abs(looked.logits[image] - looked.logits[image, target])
            away[target] = np.inf
            weights = looked.all_weights[target] - 0.5 * looked.all_weights[away.argmin()]
            expected = np.einsum("k,khw->hw", weights, looked.features[image]) / looked.places
            assert np.allclose(heatmap, expected, atol=1e-4 * abs(expected).max())
