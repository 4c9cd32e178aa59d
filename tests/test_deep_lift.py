"""DeepLIFT: multipliers derived by hand, the sum that every operator keeps, and real models."""

from pathlib import Path

import numpy as np
import onnx
import pytest

import plain
from backlit_proto.errors import BadQuestion, NotDifferentiable
from backlit_server.engine.engine import Engine
from backlit_server.graph import canonical
from backlit_server.graph.seeding.differences import differences
from bare import ask, stored
from networks import Normal
from sharing_cases import NODES, node
from written import model

rng = np.random.default_rng(31)


def shares(
    net: onnx.ModelProto, x: np.ndarray, seed: np.ndarray, baseline: float | np.ndarray = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Each element's difference times its multiplier, and what the scores gained in all."""
    made = differences(canonical(net), "x", "y", baseline=baseline)
    multipliers, gained = plain.values(made.model, ["grad/x", "gained"], {"x": x, "grad/y": seed})
    return (x - np.asarray(baseline, np.float32)) * multipliers, gained


def test_a_rectifier_passes_the_quotient_of_differences():
    """y = relu(x1 - 3) + 2 relu(x2): of x = (5, -4) and baseline 1, by hand: 2 / 4 * 4 and 2 * (-1 / -5) * -5."""
    net = model(
        "(float[N,2,1,1] x) => (float[N,2,1,1] y) { a = Sub(x, shift)  b = Relu(a)  y = Mul(b, scale) }",
        shift=np.array([3, 0], np.float32).reshape(1, 2, 1, 1),
        scale=np.array([1, 2], np.float32).reshape(1, 2, 1, 1),
    )
    x = np.array([5, -4], np.float32).reshape(1, 2, 1, 1)
    got, gained = shares(net, x, np.ones_like(x), 1.0)
    assert np.allclose(got.ravel(), [2, -2])
    assert np.allclose(gained, [0])


def test_a_maximum_gives_to_the_winner_of_the_image_or_of_the_baseline():
    """max(3, 1) = 3 where the baseline has max(2, 2.5) = 2.5: the new winner gets 0.5. And the other way round."""
    after, before = np.array([3, 1], np.float32).reshape(1, 1, 1, 2), np.array([2, 2.5], np.float32).reshape(1, 1, 1, 2)
    for x, reference, expected in ((after, before, [0.5, 0]), (before, after, [-0.5, 0])):
        moved = model("(float[N,1,1,2] x) => (float[N,1,1,1] y) { a = Add(x, b)  y = GlobalMaxPool(a) }", b=reference)
        got, _ = shares(moved, x - reference, np.ones((1, 1, 1, 1), np.float32))
        assert np.allclose(got.ravel(), expected)


def test_a_network_is_what_numpy_makes_of_the_rescale_rule(normal: Normal):
    w1, b1, w2 = normal(6, 16), normal(6), normal(6, 3)
    net = model(
        """(float[N,1,4,4] x) => (float[N,3] y) {
            a = Flatten(x)  b = Gemm<transB=1>(a, w1, b1)  c = Relu(b)  y = MatMul(c, w2) }""",
        w1=w1, b1=b1, w2=w2,
    )  # fmt: skip
    x, seed = normal(2, 1, 4, 4), normal(2, 3)
    z, z0 = x.reshape(2, 16) @ w1.T + b1, np.full((1, 16), 0.5) @ w1.T + b1
    slope = (z.clip(0) - z0.clip(0)) / (z - z0)
    expected = (x.reshape(2, 16) - 0.5) * ((seed @ w2.T * slope) @ w1)
    assert np.allclose(shares(net, x, seed, 0.5)[0].reshape(2, 16), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", NODES)
def test_what_elements_get_adds_up_to_what_the_output_gained(name: str, normal: Normal):
    net, x, seed = node(name), normal(3, 2, 4, 4), normal(3, 2, 4, 4)
    before = normal(1, 2, 4, 4)
    after, was = (plain.values(canonical(net), ["y"], {"x": value})[0] for value in (x, before))
    got, gained = shares(net, x, seed, before)
    assert np.allclose(gained, (seed * (after - was)).sum((1, 2, 3)), rtol=1e-4, atol=1e-4)
    rounding = 1e-4 * abs(got).sum((1, 2, 3)).max()  # shares of both signs that nearly cancel
    assert np.allclose(got.sum((1, 2, 3)), gained, rtol=1e-3, atol=rounding)


@pytest.mark.parametrize("name", NODES)
def test_pixels_that_are_the_baselines_get_nothing(name: str, normal: Normal):
    x, seed = np.full((1, 2, 4, 4), 0.3, np.float32), normal(1, 2, 4, 4)
    got, gained = shares(node(name), x, seed, 0.3)
    assert np.isfinite(got).all()
    assert not got.any()
    assert np.allclose(gained, 0)


def test_what_no_row_and_no_definition_passes_is_refused(normal: Normal):
    with pytest.raises(NotDifferentiable, match="Det"):
        shares(model("(float[N,2,4,4] x) => (float[N,2] y) { y = Det(x) }"), normal(1, 2, 4, 4), normal(1, 2))
    text = "(float[N,2,4,4] x) => (float[N,2,4,4] y) { c = Greater(x, zero)  y = Where(c, x, zero) }"
    with pytest.raises(NotDifferentiable, match="unlike for a baseline"):
        shares(model(text, zero=np.float32(0)), normal(1, 2, 4, 4), normal(1, 2, 4, 4))


@pytest.mark.parametrize(
    ("name", "size"),
    [("digits40-cnn-gap", (1, 40, 40)), ("digits40-vit-tiny", (1, 40, 40)), ("squeezenet11-ndf", (3, 227, 227)),
     ("vww96-mnv1-nhwc", (96, 96, 3)), ("squeezenet11-qdq-int8", (3, 227, 227)), ("mnist-cntk", (1, 28, 28))],
)  # fmt: skip
def test_the_shares_of_a_real_network_are_complete(engine: Engine, shared: Path, name: str, size: tuple[int, ...]):
    x = rng.random((1, *size)).astype(np.float32)
    digest = stored(engine.store, shared / "models" / f"{name}.onnx")
    (best, heatmap), (second, _) = ask(engine, digest, x, "deep-lift", ["top2"], baseline=0.4)
    (flat, _), *_ = ask(engine, digest, np.full_like(x, 0.4), "score")
    classes = [best.target.class_index, second.target.class_index]
    here, there = (
        [e.target.score for e, _ in ask(engine, digest, image, "grad-cam", classes)]
        for image in (x, np.full_like(x, 0.4))
    )
    assert flat.method == "score"
    error = 2e-2 if "int8" in name else 1e-3  # the last rounding of quantised scores is left out
    assert np.isclose(heatmap.sum(), here[0] - there[0], rtol=error, atol=1e-3)
    assert best.facts["completeness error"] < error


def test_baselines_that_differ_anywhere_are_told_apart(engine: Engine, shared: Path):
    """Images so large that numpy would not print them whole."""
    digest = stored(engine.store, shared / "models" / "digits40-cnn-gap.onnx")
    x, one = rng.random((2, 1, 40, 40)).astype(np.float32)
    other = one.copy()
    other[0, 20, 20] = 5
    maps = [shares_of(engine, digest, x[None], baseline) for baseline in (one, other, one)]
    assert not np.allclose(maps[0], maps[1])
    assert np.allclose(maps[0], maps[2])


def shares_of(engine: Engine, digest: str, x: np.ndarray, baseline: np.ndarray) -> np.ndarray:
    ((explanation, heatmap),) = ask(engine, digest, x, "deep-lift", [3], baseline=baseline.tolist())
    assert explanation.facts["completeness error"] < 1e-3
    return heatmap


def test_a_baseline_of_another_shape_is_refused(engine: Engine, shared: Path):
    digest = stored(engine.store, shared / "models" / "digits40-cnn-gap.onnx")
    with pytest.raises(BadQuestion, match="shape of one image"):
        ask(engine, digest, rng.random((1, 1, 40, 40)).astype(np.float32), "deep-lift", baseline=[[0.1, 0.2, 0.3]])
