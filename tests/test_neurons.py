"""Gradients of neurons: any element, channel or mask of any tensor, against slopes of plain ONNX Runtime."""

from pathlib import Path

import numpy as np
import pytest

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadQuestion
from backlit_proto.tensors import to_tensor
from backlit_server.engine.engine import Engine
from backlit_server.methods.scaling import resize
from bare import ask, stored, values

rng = np.random.default_rng(19)
STEP = 1e-2


@pytest.fixture
def digits(shared: Path) -> Path:
    return shared / "models" / "digits40-cnn-gap.onnx"


LAYER, NODE = "/4/4.2/Relu_output_0", "/4/4.2/Relu"
X = rng.random((1, 1, 40, 40)).astype(np.float32)


def features(file: Path, x: np.ndarray, layer: str = LAYER) -> np.ndarray:
    return values(file, [layer], {"input": x})[0]


def slope(file: Path, heatmap: np.ndarray, neuron, layer: str = LAYER) -> tuple[float, float]:
    """The neuron's slope along the heatmap: told by the heatmap, and by moving the image both ways."""
    along = (heatmap / np.linalg.norm(heatmap)).reshape(X.shape).astype(np.float32)
    after, before = (neuron(features(file, X + sign * STEP * along, layer)[0]) for sign in (1, -1))
    return float((heatmap * along[0, 0]).sum()), float(after - before) / (2 * STEP)


def test_a_number_is_the_mean_of_a_channel(engine: Engine, digits: Path):
    ((found, heatmap),) = ask(engine, stored(engine.store, digits), X, "neuron-gradient", [5], layer=LAYER)
    told, measured = slope(digits, heatmap, lambda a: a[5].mean())
    assert np.isclose(told, measured, rtol=0.05)
    assert np.isclose(found.target.score, features(digits, X)[0, 5].mean(), rtol=1e-3, atol=1e-5)
    assert found.target.scores == LAYER
    assert "channel 5" in found.target.description


def test_an_element_is_one_neuron(engine: Engine, digits: Path):
    a = features(digits, X)[0]
    place = np.unravel_index(a.argmax(), a.shape)
    target = pb.Target(element=pb.Element(index=[int(i) for i in place]))
    ((found, heatmap),) = ask(engine, stored(engine.store, digits), X, "neuron-gradient", [target], layer=NODE)
    told, measured = slope(digits, heatmap, lambda a: a[place])
    assert np.isclose(told, measured, rtol=0.1)
    assert np.isclose(found.target.score, a.max(), rtol=1e-4)
    rows, columns = np.nonzero(heatmap)
    assert np.ptp(rows) < 39 or np.ptp(columns) < 39  # no more than its receptive field


@pytest.mark.parametrize("reduction", [pb.MaskTarget.REDUCTION_MEAN, pb.MaskTarget.REDUCTION_SUM])
def test_a_mask_is_a_channel_at_some_places(engine: Engine, digits: Path, reduction: pb.MaskTarget.Reduction):
    a = features(digits, X)[0]
    weights = np.zeros(a.shape[1:], np.float32)
    weights[:2, :3] = 1
    k = int((a * weights).sum((1, 2)).argmax())
    target = pb.Target(mask=pb.MaskTarget(class_index=k, weights=to_tensor(weights), reduction=reduction))
    ((found, heatmap),) = ask(engine, stored(engine.store, digits), X, "neuron-gradient", [target], layer=LAYER)
    share = weights / (weights.sum() if reduction == pb.MaskTarget.REDUCTION_MEAN else 1)
    told, measured = slope(digits, heatmap, lambda a: (a[k] * share).sum())
    assert np.isclose(told, measured, rtol=0.1)
    assert np.isclose(found.target.score, (a[k] * share).sum(), rtol=1e-4)


def test_without_a_target_the_most_active_channel_is_asked(engine: Engine, digits: Path):
    ((found, _),) = ask(engine, stored(engine.store, digits), X, "neuron-gradient", layer=LAYER)
    best = features(digits, X)[0].mean((1, 2)).argmax()
    assert f"channel {best} " in found.target.description


def test_each_channel_of_the_image_can_be_had(engine: Engine, digits: Path):
    digest = stored(engine.store, digits)
    ((_, each),) = ask(engine, digest, X, "neuron-gradient", [3], layer=LAYER, channels="each")
    ((_, total),) = ask(engine, digest, X, "neuron-gradient", [3], layer=LAYER)
    assert each.shape == (1, 40, 40)
    assert np.allclose(each.sum(0), total)


def test_tokens_have_channels_too(engine: Engine, shared: Path):
    file = shared / "models" / "digits40-vit-tiny.onnx"
    ((found, heatmap),) = ask(engine, stored(engine.store, file), X, "neuron-gradient", [2])
    told, measured = slope(file, heatmap, lambda a: a[:, 2].mean(), found.target.scores)
    assert np.isclose(told, measured, rtol=0.05)


@pytest.mark.parametrize(
    ("layer", "target", "says"),
    [
        (LAYER, 4000, "there is no channel 4000"),
        ("no-such-layer", 1, "cannot be explained"),
        (LAYER, pb.Target(mask=pb.MaskTarget(class_index=1)), "tells its channel, and the weights"),
        (LAYER, "top9999", "the top 9999 channels"),
    ],
)
def test_what_is_no_neuron_is_refused(engine: Engine, digits: Path, layer: str, target, says: str):
    with pytest.raises(BadQuestion, match=says):
        ask(engine, stored(engine.store, digits), X, "neuron-gradient", [target], layer=layer)


def test_guided_grad_cam_is_the_product_of_both(engine: Engine, digits: Path):
    digest = stored(engine.store, digits)
    maps = {m: ask(engine, digest, X, m, [4, 7]) for m in ("guided-grad-cam", "guided-backprop", "grad-cam")}
    for (_, product), (_, guided), (_, cam) in zip(*maps.values(), strict=True):
        assert np.allclose(product, guided * resize(cam.clip(0), (40, 40)), rtol=1e-3, atol=1e-7)
        assert product.any() == cam.clip(0).any()
