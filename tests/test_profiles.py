"""Profiles: where each library looks, what it explains and how it finishes, through the engine."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser
from PIL import Image

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadQuestion, NotExplainable
from backlit_server.engine.engine import Engine
from backlit_server.methods.profiles import PROFILES, profile
from bare import ask, responses, stored, values

rng = np.random.default_rng(11)
POOLED = """<ir_version: 10, opset_import: ["" : 21]> net (float[N, 3, 16, 12] x) => (float[N, 4] y) {
    a = Conv<strides = [2, 2], pads = [1, 1, 1, 1]>(x, w1, b1)
    r = Relu(a)
    c = Conv<pads = [1, 1, 1, 1]>(r, w2)
    n = Mul(c, scale)
    f = Relu(n)
    m = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(f)
    p = GlobalAveragePool(m)
    v = Flatten(p)
    y = MatMul(v, d)
}"""
WEIGHTS = {
    "w1": rng.normal(size=(5, 3, 3, 3)),
    "b1": rng.normal(size=5),
    "w2": rng.normal(size=(6, 5, 3, 3)),
    "scale": np.ones((1, 6, 1, 1)),
    "d": rng.normal(size=(6, 4)),
}
X = rng.normal(size=(2, 3, 16, 12)).astype(np.float32)


def saved(folder: Path, text: str) -> Path:
    model = parser.parse_model(text)
    model.graph.initializer.extend(numpy_helper.from_array(v.astype(np.float32), n) for n, v in WEIGHTS.items())
    onnx.save(model, file := folder / "net.onnx")
    return file


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    return saved(tmp_path_factory.mktemp("models"), POOLED)


@pytest.fixture(scope="module")
def digest(engine: Engine, file: Path) -> str:
    return stored(engine.store, file)


LOOKED_AT = {
    "paper": "m",
    "pytorch-grad-cam": "m",
    "torchcam": "m",
    "captum": "m",
    "tf-keras-vis": "c",
    "openvino": "m",
    "lcam": "m",
    "keras-tutorial": "c",
}


@pytest.mark.parametrize(("name", "layer"), LOOKED_AT.items())
def test_each_library_looks_at_its_own_layer_unless_one_is_named(engine, digest, name, layer):
    ((answer, _), _) = ask(engine, digest, X, profile=name)
    assert answer.layer == layer
    ((answer, _), _) = ask(engine, digest, X, profile=name, layer="f")
    assert answer.layer == "f"


def test_every_profile_says_where_it_looks():
    assert set(LOOKED_AT) == set(PROFILES)


FINISHED = {
    "paper": (),
    "pytorch-grad-cam": (
        "relu",
        "normalize min-max with 1e-07",
        "resize 16x12 bilinear, half-pixel centres",
        "normalize min-max with 1e-07",
    ),
    "torchcam": ("relu", "normalize min-max with 1e-08"),
    "captum": (),
    "tf-keras-vis": ("relu", "resize 16x12 bilinear, corners aligned", "normalize min-max with 1e-07"),
    "openvino": ("normalize min-max with 1e-12", "resize 16x12 bilinear, half-pixel centres", "uint8"),
    "lcam": ("normalize min-max", "resize 16x12 bilinear, half-pixel centres"),
    "keras-tutorial": ("relu", "normalize min-max", "resize 16x12 bilinear, half-pixel centres", "uint8"),
}


@pytest.mark.parametrize(("name", "steps"), FINISHED.items())
def test_the_steps_of_a_profile_are_listed_in_their_order(engine, digest, name, steps):
    (response, heatmaps), *_ = responses(engine, digest, X, "grad-cam", [], profile=name)
    assert tuple(response.provenance.steps) == steps
    assert response.provenance.profile == name
    asked = PROFILES[name].rendering
    assert heatmaps[0].dtype == asked.dtype
    assert (heatmaps[0].shape == (16, 12)) == (asked.size == "input")


def pooled(file: Path, target: int) -> tuple[np.ndarray, np.ndarray]:
    """Features behind the last pooling, and the gradients there, which a pooling + linear head has everywhere alike."""
    (features,) = values(file, ["m"], {"x": X})
    grads = WEIGHTS["d"][:, target].reshape(1, -1, 1, 1) / (features.shape[2] * features.shape[3])
    return features.astype(np.float64), np.broadcast_to(grads, features.shape)


def test_a_map_of_pytorch_grad_cam_comes_finished(engine, digest, file):
    features, grads = pooled(file, 1)
    total = features.sum((2, 3), keepdims=True)
    weights = np.maximum(grads, 0) * grads**2 / (2 * grads**2 + total * grads**3 + 1e-6)
    for raw, (_, heatmap) in zip(
        (features * weights.sum((2, 3), keepdims=True)).sum(1),
        ask(engine, digest, X, "grad-cam++", [1], profile="pytorch-grad-cam"),
        strict=True,
    ):
        low = np.maximum(raw, 0) - np.maximum(raw, 0).min()
        image = Image.fromarray((low / (1e-7 + low.max())).astype(np.float32))
        large = np.asarray(image.resize((12, 16), Image.Resampling.BILINEAR))
        large = large - large.min()
        assert np.allclose(heatmap, large / (1e-7 + large.max()), atol=1e-5)


def test_behind_global_pooling_torchcam_cubes_the_weights_and_tf_keras_vis_is_layer_cam(engine, digest, file):
    features, _ = pooled(file, 2)
    raw = pb.Rendering(size=pb.Rendering.SIZE_LAYER, relu=False, normalize=False)
    rising = np.maximum(WEIGHTS["d"][:, 2], 0)
    for name, weights in {"torchcam": rising**3, "tf-keras-vis": rising}.items():
        found = ask(engine, digest, X, "grad-cam++", [2], layer="m", profile=name, rendering=raw)
        for maps, (_, heatmap) in zip(features, found, strict=True):
            expected = np.einsum("k,khw->hw", weights, maps)
            assert np.allclose(heatmap / heatmap.max(), expected / expected.max(), atol=1e-5), name


def test_gradients_of_the_image_are_told_channel_by_channel_for_captum(engine, digest):
    ((_, signed), _) = ask(engine, digest, X, "saliency", [0], channels="sum", signed=True)
    ((_, saliency), _) = ask(engine, digest, X, "saliency", [0], profile="captum")
    ((_, products), _) = ask(engine, digest, X, "gradient-x-input", [0], profile="captum")
    assert saliency.shape == products.shape == (3, 16, 12)
    assert np.allclose(np.divide(products, X[0]).sum(0), signed, atol=1e-4)
    assert np.allclose(np.abs(np.divide(products, X[0])), saliency, atol=1e-4)


def test_what_a_profile_computes_otherwise_takes_its_own_parameters(engine, digest):
    with pytest.raises(BadQuestion, match="saliency has no parameter 'channels'; it takes none at all"):
        ask(engine, digest, X, "saliency", [0], profile="captum", channels="sum")


def test_a_profile_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(BadQuestion, match=r"no profile 'keras'; there are paper, pytorch-grad-cam, .*keras-tutorial"):
        profile("keras")


PLAIN = """<ir_version: 10, opset_import: ["" : 21]> net (float[N, 3, 8, 8] x) => (float[N, 3] y) {
    f = Relu(x)
    p = GlobalAveragePool(f)
    y = Flatten(p)
}"""


def test_a_model_without_the_layer_that_a_library_looks_at_is_refused_with_the_way_out(engine, tmp_path):
    onnx.save(parser.parse_model(PLAIN), tmp_path / "plain.onnx")
    digest = stored(engine.store, tmp_path / "plain.onnx")
    with pytest.raises(NotExplainable, match="last convolution is looked at, and this model has none: name a layer"):
        ask(engine, digest, X[:, :, :8, :8], profile="tf-keras-vis")
    assert len(ask(engine, digest, X[:, :, :8, :8], profile="tf-keras-vis", layer="f")) == 2


SOFTMAXED = POOLED.replace("y = MatMul(v, d)", "s = MatMul(v, d) y = Softmax(s)")
LOG_SOFTMAXED = POOLED.replace("y = MatMul(v, d)", "s = MatMul(v, d) y = LogSoftmax(s)")
EXPLAINED = {
    ("paper", POOLED): "y",
    ("paper", SOFTMAXED): "s",
    ("captum", POOLED): "y",
    ("captum", SOFTMAXED): "s/probability",
    ("captum", LOG_SOFTMAXED): "y",
    ("tf-keras-vis", SOFTMAXED): "s/probability",
    ("openvino", SOFTMAXED): "s",
    ("lcam", POOLED): "y/probability",
    ("lcam", SOFTMAXED): "s/probability",
}


@pytest.mark.parametrize(("name", "text"), EXPLAINED)
def test_each_library_explains_scores_or_outputs_unless_told_otherwise(engine, tmp_path, name, text):
    digest = stored(engine.store, saved(tmp_path, text))
    ((answer, _), _) = ask(engine, digest, X, targets=[1], profile=name)
    assert answer.target.scores == EXPLAINED[name, text]
    ((scored, _), _) = ask(engine, digest, X, targets=[1], profile=name, scale="score")
    assert scored.target.scores == ("y" if text == POOLED else "s")


def test_the_gradient_of_a_probability_is_that_of_its_softmax(engine, file, digest):
    features, _ = pooled(file, 0)
    (scores,) = values(file, ["y"], {"x": X})
    p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    seeds = p[:, [1]] * (np.eye(4)[1] - p)
    raw = pb.Rendering(size=pb.Rendering.SIZE_LAYER, relu=False, normalize=False)
    expected = np.einsum("nk,nkhw->nhw", seeds @ WEIGHTS["d"].T, features) / features[0, 0].size
    found = ask(engine, digest, X, targets=[1], profile="lcam", rendering=raw)
    for wanted, (_, heatmap) in zip(expected, found, strict=True):
        assert np.allclose(heatmap, wanted, atol=1e-5 * np.abs(wanted).max())
