"""The maps themselves, on real models: closed forms that follow from the weights in the file."""

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
    classes: tuple[int, ...]


POOLING_LINEAR = [
    Case("efficientnet-lite0", "input", (3, 224, 224), "/_swish_1/Clip_output_0", (281, 0, 999)),
    Case("squeezenet11-ndf", "image", (3, 227, 227), "conv10", (281, 967, 3)),
    Case("opennsfw-nhwc-tf2onnx", "input:0", (224, 224, 3), "Relu_48:0", (0, 1)),
    Case("age-resnet10-dlib", "images", (3, 64, 64), "layer_3_relu", (28, 0, 80)),
    Case("ppocr-textcls-mobilenetv3", "x", (3, 48, 192), "pool2d_9.tmp_0", (0, 1)),
    Case("digits40-cnn-gap", "input", (1, 40, 40), "/4/4.2/Relu_output_0", (0, 5, 9)),
    Case("vww96-mnv1-nhwc", "input_1", (96, 96, 3), "Relu__83:0", (0, 1)),
]


@pytest.fixture(scope="module", params=POOLING_LINEAR, ids=lambda case: case.file)
def looked(request, shared: Path, engine: Engine):
    """A case, a way to ask the engine about a batch of two, and the closed forms in float64."""
    case: Case = request.param
    file = shared / "models" / f"{case.file}.onnx"
    digest = stored(engine.store, file)
    x = rng.normal(size=(2, *case.shape)).astype(np.float32)
    features = values(file, [case.layer], {case.input: x})[0].astype(np.float64)
    weights = last_linear(file, features.shape[1]).astype(np.float64)[list(case.classes)]

    def maps(method: str, **parameters) -> np.ndarray:
        answers = ask(engine, digest, x, method, case.classes, **parameters)
        assert [a.image for a, _ in answers] == [i for i in range(2) for _ in case.classes]
        assert {a.layer for a, _ in answers} == {case.layer}
        heatmaps = np.stack([heatmap for _, heatmap in answers])
        return heatmaps.reshape(2, len(case.classes), *features.shape[2:])

    return maps, features, weights


def same(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Equal to 1e-5 of each map's own largest value."""
    largest = np.abs(theirs).max((2, 3), keepdims=True)
    return bool((np.abs(ours - theirs) <= 1e-5 * largest + 1e-12).all())


def weighted(features: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.einsum("ck,nkhw->nchw", weights, features)


def test_cam_is_the_weights_times_the_features(looked):
    maps, features, weights = looked
    assert same(maps("cam"), weighted(features, weights))


@pytest.mark.parametrize("method", ["grad-cam", "hires-cam", "xgrad-cam"])
def test_the_gradient_methods_are_cam_over_the_number_of_places(looked, method):
    maps, features, weights = looked
    places = features.shape[2] * features.shape[3]
    assert same(maps(method), weighted(features, weights) / places)


def test_layer_cam_takes_the_positive_weights(looked):
    maps, features, weights = looked
    places = features.shape[2] * features.shape[3]
    assert same(maps("layer-cam"), weighted(features, np.maximum(weights, 0)) / places)


def test_grad_cam_plus_plus_weighs_by_relu_of_w_over_two_plus_w_times_the_mean(looked):
    maps, features, weights = looked
    rising = np.maximum(weights, 0)
    means = features.mean((2, 3))
    alphas = rising / (2 + rising * means[:, None])
    assert same(maps("grad-cam++"), np.einsum("nck,nkhw->nchw", alphas, features))
