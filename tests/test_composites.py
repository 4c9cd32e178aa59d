"""Composites of relevance rules: against their formulas on layers written as matrices, and on real models."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadQuestion
from backlit_server.engine.engine import Engine
from backlit_server.graph.overlays.composites import COMPOSITES, Settings
from bare import ask, stored
from networks import Normal, as_matrix, normals, relevance
from written import model

DRAWN = normals(7)
EPSILON, GAMMA, LOW, HIGH = 0.02, 0.4, (-3.0, -2.5), (3.5, 3.0)
TINY = 1e-6
Formula = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


# Of a layer x (inputs), w (inputs, outputs), b and r (outputs): what each input gets.
def by_epsilon(x: np.ndarray, w: np.ndarray, b: np.ndarray, r: np.ndarray) -> np.ndarray:
    z = x @ w + b
    return x * (w @ (r / (z + EPSILON * np.where(z < 0, -1, 1))))


def by_signs(alpha: float, beta: float) -> Formula:
    def formula(x: np.ndarray, w: np.ndarray, b: np.ndarray, r: np.ndarray) -> np.ndarray:
        z = x[:, None] * w
        made = z.clip(0) / (z.clip(0).sum(0) + b.clip(0) + TINY)
        opposed = z.clip(None, 0) / (z.clip(None, 0).sum(0) + b.clip(None, 0) - TINY)
        return ((alpha * made - beta * opposed) * r).sum(1)

    return formula


def by_gamma(x: np.ndarray, w: np.ndarray, b: np.ndarray, r: np.ndarray) -> np.ndarray:
    """x is not negative, as behind a ReLU; a ReLU that was shut has no relevance to share."""
    z = x[:, None] * (w + GAMMA * w.clip(0))
    return (z / (z.sum(0) + b + GAMMA * b.clip(0) + TINY) * r).sum(1)


def by_flat(x: np.ndarray, w: np.ndarray, b: np.ndarray, r: np.ndarray) -> np.ndarray:
    return ((w != 0) / (w != 0).sum(0) * r).sum(1)


def by_box(x: np.ndarray, w: np.ndarray, b: np.ndarray, r: np.ndarray) -> np.ndarray:
    low, high = (np.repeat(bound, 36)[:, None] for bound in (LOW, HIGH))
    z = x[:, None] * w - low * w.clip(0) - high * w.clip(None, 0)
    return (z / (z.sum(0) + b) * r).sum(1)


Z_PLUS, ALPHA_BETA = by_signs(1, 0), by_signs(2, 1)
LAYERS: dict[str, tuple[Formula, Formula, Formula]] = {  # first, further convolutions, dense
    "epsilon": (by_epsilon, by_epsilon, by_epsilon),
    "epsilon-plus": (Z_PLUS, Z_PLUS, by_epsilon),
    "epsilon-plus-flat": (by_flat, Z_PLUS, by_epsilon),
    "epsilon-gamma-box": (by_box, by_gamma, by_epsilon),
    "epsilon-alpha2-beta1": (ALPHA_BETA, ALPHA_BETA, by_epsilon),
    "epsilon-alpha2-beta1-flat": (by_flat, ALPHA_BETA, by_epsilon),
    "excitation-backprop": (Z_PLUS, Z_PLUS, Z_PLUS),
}


@pytest.mark.parametrize("name", COMPOSITES)
def test_each_layer_is_passed_by_its_own_rule(name: str, normal: Normal):
    """Two convolutions and a dense layer, all with biases."""
    w1, b1, w2, b2 = normal(3, 2, 3, 3, scale=0.3), normal(3, scale=0.1), normal(5, 3, 1, 1), normal(5, scale=0.1)
    w3, b3 = normal(4, 45, scale=0.3), normal(4, scale=0.1)
    net = model(
        """(float[N,2,6,6] x) => (float[N,4] y) {
            a = Conv<strides=[2,2], pads=[1,1,1,1]>(x, w1, b1)  c = Relu(a)  d = Conv(c, w2, b2)  e = Relu(d)
            f = Flatten(e)  y = Gemm<transB=1>(f, w3, b3) }""",
        w1=w1,
        b1=b1,
        w2=w2,
        b2=b2,
        w3=w3,
        b3=b3,
    )
    x, r = normal(1, 2, 6, 6), normal(1, 4)
    first, second, dense = LAYERS[name]
    matrix, bias = as_matrix(w1, b1)
    pointwise = np.kron(w2[:, :, 0, 0].T, np.eye(9))
    h1 = (x.ravel() @ matrix + bias).clip(0)
    h2 = (h1 @ pointwise + b2.repeat(9)).clip(0)
    back = second(h1, pointwise, b2.repeat(9), dense(h2, w3.T, b3, r[0]))
    expected = first(x.ravel(), matrix, bias, back)
    rules = COMPOSITES[name](Settings(EPSILON, GAMMA, LOW, HIGH))
    assert np.allclose(relevance(net, rules, x, r).ravel(), expected, rtol=2e-3, atol=2e-4)


BARE = """(float[N,2,6,6] x) => (float[N,4] y) {
    a = Conv<pads=[1,1,1,1]>(x, w1)  b = Relu(a)  c = AveragePool<kernel_shape=[2,2], strides=[2,2]>(b)
    d = Conv(c, w2)  e = Relu(d)  f = Flatten(e)  y = MatMul(f, w3) }"""


@pytest.mark.parametrize("name", [name for name in COMPOSITES if "beta" not in name])
def test_without_biases_the_pixels_share_the_whole_score(name: str, normal: Normal):
    net = model(BARE, w1=normal(6, 2, 3, 3), w2=normal(5, 6, 1, 1), w3=normal(45, 4))
    x, r = normal(3, 2, 6, 6), abs(normal(3, 4))
    got = relevance(net, COMPOSITES[name](Settings(1e-9, GAMMA, (), ())), x, r)
    assert np.allclose(got.sum((1, 2, 3)), r.sum(1), rtol=2e-3)


def test_bounds_that_are_not_told_are_each_images_own(normal: Normal):
    net = model(BARE, w1=normal(6, 2, 3, 3), w2=normal(5, 6, 1, 1), w3=normal(45, 4))
    x, r = normal(2, 2, 6, 6), normal(2, 4)
    both = relevance(net, COMPOSITES["epsilon-gamma-box"](Settings(EPSILON, GAMMA, (), ())), x, r)
    for one, image, seed in zip(both, x, r, strict=True):
        told = Settings(EPSILON, GAMMA, (float(image.min()),), (float(image.max()),))
        alone = relevance(net, COMPOSITES["epsilon-gamma-box"](told), image[None], seed[None])
        assert np.allclose(one, alone[0], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("low", "high"), [((1.0,), (0.0,)), ((0.0, 0.0), (1.0, 1.0, 1.0)), ((0.0,) * 3, (1.0,) * 3)])
def test_bounds_that_bound_nothing_are_refused(low: tuple[float, ...], high: tuple[float, ...], normal: Normal):
    net = model(BARE, w1=normal(6, 2, 3, 3), w2=normal(5, 6, 1, 1), w3=normal(45, 4))
    with pytest.raises(BadQuestion, match="low"):
        relevance(net, COMPOSITES["epsilon-gamma-box"](Settings(EPSILON, GAMMA, low, high)), normal(1, 2, 6, 6), R)


R = DRAWN(1, 4)


def test_what_is_asked_of_the_engine_starts_with_the_score_itself(engine: Engine, tmp_path: Path, normal: Normal):
    """A linear model with a batch norm: each pixel gets what it adds to the score."""
    scale, shift, mean, variance = (np.array([value], np.float32) for value in (2, 0, 0, 4))
    w = normal(36, 3)
    net = model(
        """(float[N,1,6,6] x) => (float[N,3] y) {
            a = Conv(x, one)  b = BatchNormalization<epsilon=0.0>(a, scale, shift, mean, variance)  c = Flatten(b)
            y = MatMul(c, w) }""",
        one=np.ones((1, 1, 1, 1), np.float32), scale=scale, shift=shift, mean=mean, variance=variance, w=w,
    )  # fmt: skip
    file = tmp_path / "linear.onnx"
    file.write_bytes(net.SerializeToString())
    x = abs(normal(2, 1, 6, 6))
    found = ask(engine, stored(engine.store, file), x, "lrp", [0, 2], composite="epsilon", epsilon=1e-9)
    for explanation, heatmap in found:
        adds = x[explanation.image, 0] * w[:, explanation.target.class_index].reshape(6, 6)
        assert np.allclose(heatmap, adds, rtol=1e-3, atol=1e-5)
        assert np.isclose(heatmap.sum(), explanation.target.score, rtol=1e-3)


@pytest.mark.parametrize("composite", COMPOSITES)
def test_a_real_network_has_a_map_by_every_composite(engine: Engine, shared: Path, composite: str):
    digest = stored(engine.store, shared / "models" / "digits40-cnn-gap.onnx")
    x = np.random.default_rng(1).random((2, 1, 40, 40)).astype(np.float32)
    maps = [h for _, h in ask(engine, digest, x, "lrp", [3, 5], composite=composite)]
    assert np.isfinite(maps).all()
    assert not np.allclose(maps[0], maps[1])


@pytest.mark.parametrize("method", ["lrp", "full-grad", "deep-lift"])
def test_a_quantised_model_whose_last_rounding_is_left_out_is_passed_too(engine: Engine, shared: Path, method: str):
    x = np.random.default_rng(3).normal(size=(1, 3, 227, 227)).astype(np.float32)
    ((about, heatmap),) = ask(engine, stored(engine.store, shared / "models" / "squeezenet11-qdq-int8.onnx"), x, method)
    assert np.isfinite(heatmap).all()
    assert about.status == pb.HEATMAP_STATUS_OK
