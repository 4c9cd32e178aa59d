"""The weights of a linear head: found whatever the spelling, and never made up."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from backlit_server.graph import Anatomy, cut, examine, linear_weights
from real_models import anatomy_of, model_of, small

# The node that holds W in the file, and which way round.
WRITTEN = {
    "age-resnet10-dlib": ("Gemm", False),
    "digits40-cnn-gap": ("Gemm", True),
    "efficientnet-lite0": ("Gemm", True),
    "opennsfw-nhwc-tf2onnx": ("MatMul", False),
    "ppocr-textcls-mobilenetv3": ("MatMul", False),
    "shufflenet_v2_x0_5": ("Gemm", True),
    "vww96-mnv1-nhwc": ("MatMul", False),
}
NOT_LINEAR_MODELS = ("catsordogs-nhwc", "edgenext_xx_small", "gender-dlib", "mnist-dianna", "pplcnet-orientation")


def weights_at(model: onnx.ModelProto, found: Anatomy, layer: str) -> np.ndarray | None:
    made = cut(model, layer, found.scores.name, found.batched)
    return linear_weights(made, found.view_of(layer), found.scores.name)


@pytest.mark.parametrize("name", WRITTEN)
def test_the_measured_weights_are_those_in_the_file(shared: Path, name: str) -> None:
    model, found = model_of(shared, name), anatomy_of(shared, name)
    operator, transposed = WRITTEN[name]
    node = [n for n in model.graph.node if n.op_type == operator][-1]
    written = next(numpy_helper.to_array(t) for t in model.graph.initializer if t.name == node.input[1])
    weights = weights_at(model, found, found.default_layer)
    assert weights is not None
    np.testing.assert_allclose(weights, written.T if transposed else written, rtol=1e-5, atol=1e-6)


def test_maps_that_are_the_classes_have_the_identity_for_weights(shared: Path) -> None:
    found = anatomy_of(shared, "squeezenet11-ndf")
    weights = weights_at(model_of(shared, "squeezenet11-ndf"), found, found.default_layer)
    assert weights is not None
    np.testing.assert_allclose(weights, np.eye(1000), atol=1e-6)


def test_weights_at_a_layer_before_the_last_one_are_not_made_up(shared: Path) -> None:
    for name in ("efficientnet-lite0", "digits40-cnn-gap", "opennsfw-nhwc-tf2onnx"):
        found = anatomy_of(shared, name)
        crossed = [layer.name for layer in found.layers if layer.on_every_path]
        for layer in crossed[-4:-1]:
            assert weights_at(model_of(shared, name), found, layer) is None, (name, layer)


@pytest.mark.parametrize("name", NOT_LINEAR_MODELS)
def test_other_heads_have_no_linear_weights(shared: Path, name: str) -> None:
    found = anatomy_of(shared, name)
    assert weights_at(model_of(shared, name), found, found.default_layer) is None


# Ways to write pooling and one linear layer: each gives W = w whatever the spelling.
LINEAR = {
    "Gemm with alpha": "p = GlobalAveragePool(f) q = Flatten(p) y = Gemm<alpha = 0.5>(q, w2, b)",
    "ReduceMean and MatMul": "p = ReduceMean<keepdims = 0>(f, axes) q = MatMul(p, w) y = Add(q, b)",
    "AveragePool": "p = AveragePool<kernel_shape = [6, 6]>(f) q = Reshape(p, flat) r = MatMul(q, w) y = Add(r, b)",
    "1x1 convolution behind": "p = GlobalAveragePool(f) q = Conv(p, kernel, b) y = Flatten(q)",
    "1x1 convolution before": "q = Conv(f, kernel, b) p = GlobalAveragePool(q) y = Flatten(p)",
    "constants of its size that are not it": "p = GlobalAveragePool(f) q = Flatten(p) r = MatMul(q, w2) "
    "s = MatMul(q, minus) t = Add(r, s) y = Add(t, b)",
    "Dropout": "p = GlobalAveragePool(f) d = Dropout(p) q = Squeeze(d, axes) r = MatMul(q, w) y = Sub(r, b)",
}
NOT_LINEAR = {
    "a clip": "p = GlobalAveragePool(f) q = Flatten(p) r = MatMul(q, w) y = Relu(r)",
    "a part of the window": "p = AveragePool<kernel_shape = [5, 5]>(f) q = Flatten(p) y = MatMul(q, wide)",
    "padding": "p = AveragePool<kernel_shape = [6, 6], pads = [1, 1, 0, 0]>(f) q = Flatten(p) y = MatMul(q, wide)",
    "the features themselves": "q = Flatten(f) y = MatMul(q, long)",
    "a product": "p = GlobalAveragePool(f) q = Flatten(p) r = MatMul(q, w) y = Mul(r, r)",
    "one axis only": "p = ReduceMean<keepdims = 0>(f, last) q = Flatten(p) y = MatMul(q, tall)",
}
random = np.random.default_rng(0)
W = random.normal(size=(4, 5)).astype(np.float32)
WEIGHTS = {
    "w1": random.normal(size=(4, 3, 3, 3)).astype(np.float32),
    "w": W,
    "w2": 2 * W,
    "minus": -W,
    "kernel": W.T.reshape(5, 4, 1, 1).copy(),
    "b": np.arange(5, dtype=np.float32),
    "axes": np.array([2, 3]),
    "last": np.array([3]),
    "flat": np.array([0, 4]),
    "wide": random.normal(size=(16, 5)).astype(np.float32),
    "tall": random.normal(size=(24, 5)).astype(np.float32),
    "long": random.normal(size=(144, 5)).astype(np.float32),
}


def headed(text: str) -> onnx.ModelProto:
    used = {name: value for name, value in WEIGHTS.items() if name in text or name == "w1"}
    return small(f"g (float[N,3,8,8] x) => (float[N,5] y) {{ f = Conv(x, w1) {text} }}", **used)


@pytest.mark.parametrize("spelling", LINEAR)
def test_every_spelling_of_pooling_and_linear_is_found(spelling: str) -> None:
    model = headed(LINEAR[spelling])
    weights = weights_at(model, examine(model), "f")
    assert weights is not None
    np.testing.assert_allclose(weights, W, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("head", NOT_LINEAR)
def test_what_only_looks_like_pooling_and_linear_is_refuted(head: str) -> None:
    model = headed(NOT_LINEAR[head])
    assert weights_at(model, examine(model), "f") is None


def test_a_fixed_batch_is_no_obstacle_to_the_weights() -> None:
    text = "p = GlobalAveragePool(f) q = Reshape(p, one) y = MatMul(q, w)"
    weights = {"w1": WEIGHTS["w1"], "w": W, "one": np.array([1, 4])}
    model = small(f"g (float[1,3,8,8] x) => (float[1,5] y) {{ f = Conv(x, w1) {text} }}", **weights)
    found = weights_at(model, examine(model), "f")
    assert found is not None
    np.testing.assert_allclose(found, W, rtol=1e-5, atol=1e-6)
