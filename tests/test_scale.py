"""Probabilities and log-odds as scores: their values beside numpy in double precision, their gradients by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

import plain
from backlit_proto.errors import BadQuestion, NotExplainable
from backlit_server.engine.engine import Engine
from backlit_server.engine.probabilities import probability_of
from backlit_server.graph import differentiate, examine, scaled
from bare import ask, stored
from real_models import small

rng = np.random.default_rng(7)
LOGITS = (4 * rng.normal(size=(3, 5))).astype(np.float32)
CONFIDENT = np.array([[60, 2, 1, 0, -3], [0, 0, -90, -90, -90], [3, 3, 3, 3, 3]], np.float32)


def model(activation: str = "", shape: str = "N,5") -> onnx.ModelProto:
    """Scores y, twice the input, and what stands behind them."""
    last = f"p = {activation} (y)" if activation else ""
    out = "p" if activation else "y"
    return small(f"g (float[{shape}] x) => (float[{shape}] {out}) {{ y = Add(x, x) {last} }}")


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z.astype(np.float64) - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def log_odds(z: np.ndarray) -> np.ndarray:
    """z_c - log of the sum of exp(z) over the other classes, one class after the other."""
    z = z.astype(np.float64)
    rest = [np.delete(z, c, 1) for c in range(z.shape[1])]
    return np.stack([z[:, c] - np.log(np.exp(r).sum(1)) for c, r in enumerate(rest)], 1)


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z.astype(np.float64)))


FORMULAS = {
    ("", "probability"): softmax,
    ("Softmax", "probability"): softmax,
    ("LogSoftmax", "probability"): softmax,
    ("Sigmoid", "probability"): sigmoid,
    ("", "log-odds"): log_odds,
    ("Softmax", "log-odds"): log_odds,
    ("Sigmoid", "log-odds"): lambda z: z,
}


@pytest.mark.parametrize(("activation", "scale"), FORMULAS)
@pytest.mark.parametrize("logits", [LOGITS, CONFIDENT], ids=["usual", "confident"])
def test_scores_on_a_scale_are_what_numpy_makes_of_them(activation: str, scale: str, logits: np.ndarray):
    made, scores = scaled(graph := model(activation), examine(graph).scores, scale)
    (found,) = plain.values(made, [scores.name], {"x": logits / 2})
    np.testing.assert_allclose(found, FORMULAS[activation, scale](logits), rtol=2e-6, atol=1e-30)


@pytest.mark.parametrize("scale", ["probability", "log-odds"])
@pytest.mark.parametrize("activation", ["", "Softmax", "Sigmoid"])
def test_gradients_go_through_the_scale(activation: str, scale: str):
    made, scores = scaled(graph := model(activation), examine(graph).scores, scale)
    seed = rng.normal(size=LOGITS.shape).astype(np.float32)
    name = f"grad/{scores.name}"
    (found,) = plain.values(differentiate(made, [scores.name], ["x"]), ["grad/x"], {"x": LOGITS / 2, name: seed})
    formula, step = FORMULAS[activation, scale], 1e-6
    for place in np.ndindex(LOGITS.shape):
        moved = np.zeros(LOGITS.shape)
        moved[place] = step
        slope = ((formula(LOGITS + moved) - formula(LOGITS - moved)) * seed).sum() / (2 * step)
        assert found[place] == pytest.approx(2 * slope, rel=1e-3, abs=1e-4)


def test_classes_exclude_each_other_at_each_place_of_a_segmentation():
    graph = small(
        "g (float[N,3,8,8] x, float[4,3,1,1] w) => (float[N,4,8,8] y) { y = Conv(x, w) }",
        w=rng.normal(size=(4, 3, 1, 1)).astype(np.float32),
    )
    made, scores = scaled(graph, examine(graph).scores, "probability")
    x = rng.normal(size=(2, 3, 8, 8)).astype(np.float32)
    found, logits = plain.values(made, [scores.name, "y"], {"x": x})
    np.testing.assert_allclose(found, softmax(logits), rtol=1e-5)


def test_what_stands_for_no_probability_has_none():
    number = small("g (float[N,5] x) => (float[N,1] y) { y = ReduceMax(x, axes) }", axes=np.array([1]))
    with pytest.raises(NotExplainable, match="stand for no probability: one number an image"):
        scaled(number, examine(number).scores, "probability")
    graph = model("Softmax")
    with pytest.raises(BadQuestion, match="'p' comes out of a Softmax: it is a probability already"):
        scaled(graph, examine(graph, "p").scores, "log-odds")


def test_grad_cam_of_a_probability_is_that_of_its_seed(shared: Path, engine: Engine):
    """dp_c/dz = p_c (e_c - p), and d(log-odds of c)/dz = e_c - p / (1 - p_c) but for c itself."""
    digest = stored(engine.store, shared / "models" / "efficientnet-lite0.onnx")
    x = rng.normal(size=(1, 3, 224, 224)).astype(np.float32)
    ((_, scores),) = ask(engine, digest, x, "score")
    p = softmax(scores.reshape(1, -1))[0]
    c = int(p.argmax())
    others = np.delete(np.arange(len(p)), c)
    odds = np.zeros_like(p)
    odds[c], odds[others] = 1, -p[others] / p[others].sum()
    for scale, seed, score in (
        ("probability", p[c] * (np.eye(len(p))[c] - p), p[c]),
        ("log-odds", odds, np.log(p[c]) - np.log1p(-p[c])),
    ):
        ((told, found),) = ask(engine, digest, x, "grad-cam", [c], scale=scale)
        ((_, expected),) = ask(engine, digest, x, "grad-cam", [seed.astype(np.float32)])
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
        assert told.target.score == pytest.approx(score, rel=1e-4)
        assert (told.target.class_index, told.target.description) == (c, f"the {scale} of class {c}")


@pytest.mark.parametrize("scale", ["probability", "log-odds"])
def test_integrated_gradients_add_up_to_the_difference_on_the_scale_itself(
    shared: Path, engine: Engine, digits40: np.ndarray, scale: str
):
    """Gradients go through the softmax at every point of the way, not with the slope it has at the image."""
    file = shared / "models" / "digits40-cnn-gap.onnx"
    x, digest = digits40[:1], stored(engine.store, file)
    ((told, heatmap),) = ask(engine, digest, x, "integrated-gradients", scale=scale, steps=200, baseline=-1)
    ((_, scores),) = ask(engine, digest, np.full_like(x, -1), "score")
    formula = {"probability": softmax, "log-odds": log_odds}[scale]
    gained = told.target.score - formula(scores.reshape(1, -1))[0, told.target.class_index]
    assert heatmap.sum() == pytest.approx(gained, rel=2e-2)


def test_of_one_score_behind_a_sigmoid_both_classes_have_a_probability(shared: Path, engine: Engine):
    graph = small(
        "g (float[N,3,8,8] x, float[3,3,1,1] k, float[1,3] w) => (float[N,1] p) "
        "{ c = Conv(x, k) r = Relu(c) m = GlobalAveragePool(r) f = Flatten(m) t = Transpose(w) "
        "z = MatMul(f, t) p = Sigmoid(z) }",
        k=rng.normal(size=(3, 3, 1, 1)).astype(np.float32),
        w=np.array([[1, -2, 3]], np.float32),
    )
    file = engine.store / "binary.onnx"
    onnx.save(graph, file)
    x = rng.normal(size=(1, 3, 8, 8)).astype(np.float32)
    (p,) = plain.values(graph, ["p"], {"x": x})
    answers = ask(engine, stored(engine.store, file), x, "grad-cam", [0, 1], scale="probability")
    assert [told.target.score for told, _ in answers] == pytest.approx([1 - p[0, 0], p[0, 0]], rel=1e-5)
    np.testing.assert_allclose(answers[0][1], -answers[1][1], rtol=1e-5)


@pytest.mark.parametrize("scale", ["", "probability", "log-odds"])
def test_what_seeds_ask_of_the_probabilities_is_the_same_on_every_scale(scale: str):
    several, single = examine(model("Softmax")).scores, examine(model("Sigmoid", "N,1")).scores
    z, c = LOGITS.astype(np.float64), [1, 3]
    values = {"": z, "probability": softmax(z), "log-odds": log_odds(z)}
    found = probability_of(replace(several, scale=scale))(values[scale], np.eye(5)[c])
    np.testing.assert_allclose(found, softmax(z)[:, c], rtol=1e-9)
    one = {"": z[:, :1], "probability": sigmoid(z[:, :1]), "log-odds": z[:, :1]}
    found = probability_of(replace(single, scale=scale))(one[scale], np.array([[1.0], [-1.0]]))
    np.testing.assert_allclose(found, np.concatenate([sigmoid(z[:, :1]), sigmoid(-z[:, :1])], 1), rtol=1e-9)
