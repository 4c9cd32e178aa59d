"""Guided backpropagation, the deconvnet and straight-through: closed forms of each row, alone and in a network."""

from collections.abc import Callable
from math import erf

import numpy as np
import pytest
from onnx import numpy_helper, parser

import plain
from backlit_server.graph import differentiate
from backlit_server.graph.overlays.guided import DECONVNET, GUIDED
from backlit_server.graph.overlays.straight_through import STRAIGHT_THROUGH
from backlit_server.graph.stops import FLAT
from backlit_server.graph.vjp import VJPS
from written import model

X = np.array([-7, -3.5, -2, -0.5, -1e-3, 1e-3, 0.5, 2, 3.5, 5.5, 7], np.float32)
G = np.array([1, -1, 0.5, -2, 3, 1, -1, 0.5, -2, 3, 1], np.float32)

Slope = Callable[[np.ndarray], np.ndarray]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def normal(x: np.ndarray) -> np.ndarray:
    return np.array([0.5 * (1 + erf(v / 2**0.5)) for v in x])


def gelu_slope(x: np.ndarray) -> np.ndarray:
    return normal(x) + x * np.exp(-x * x / 2) / np.sqrt(2 * np.pi)


def silu_slope(x: np.ndarray) -> np.ndarray:
    return sigmoid(x) * (1 + x * (1 - sigmoid(x)))


def tanh_gelu_slope(x: np.ndarray) -> np.ndarray:
    inner = np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)
    outer = np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x**2)
    return 0.5 * (1 + np.tanh(inner)) + 0.5 * x * (1 - np.tanh(inner) ** 2) * outer


def hard_swish_slope(x: np.ndarray) -> np.ndarray:
    return np.where(abs(x) < 3, x / 3 + 0.5, (x > 0).astype(float))


# What the activation is, as nodes from x to y, and its derivative.
ACTIVATIONS: dict[str, tuple[str, Slope]] = {
    "ReLU": ("y = Relu(x)", lambda x: (x > 0).astype(float)),
    "ReLU6": ("y = Clip(x, c0, c6)", lambda x: ((x > 0) & (x < 6)).astype(float)),
    "Clip from 0": ("y = Clip(x, c0, )", lambda x: (x > 0).astype(float)),
    "LeakyReLU": ("y = LeakyRelu<alpha=0.1>(x)", lambda x: np.where(x > 0, 1, 0.1)),
    "PReLU": ("y = PRelu(x, ch)", lambda x: np.where(x > 0, 1, 0.5)),
    "ELU": ("y = Elu(x)", lambda x: np.where(x > 0, 1, np.exp(x))),
    "Softplus": ("y = Softplus(x)", sigmoid),
    "HardSwish": ("y = HardSwish(x)", hard_swish_slope),
    "GELU": ("y = Gelu(x)", gelu_slope),
    "SiLU written out": ("s = Sigmoid(x)  y = Mul(x, s)", silu_slope),
    "SiLU, the gate first": ("s = Sigmoid(x)  y = Mul(s, x)", silu_slope),
    "GELU of torch": ("a = Div(x, cr)  b = Erf(a)  c = Add(b, c1)  d = Mul(x, c)  y = Mul(d, ch)", gelu_slope),
    "GELU, half of x": ("h = Mul(ch, x)  a = Div(x, cr)  b = Erf(a)  c = Add(c1, b)  y = Mul(h, c)", gelu_slope),
    "GELU with tanh": (
        "a = Pow(x, c3)  b = Mul(a, ck)  c = Add(x, b)  d = Mul(c, cs)  e = Tanh(d)  f = Add(c1, e)  h = Mul(ch, x)"
        "y = Mul(h, f)",
        tanh_gelu_slope,
    ),
    "HardSwish by HardSigmoid": ("s = HardSigmoid<alpha=0.1666667, beta=0.5>(x)  y = Mul(x, s)", hard_swish_slope),
    "HardSwish by Clip": ("a = Add(x, c3)  b = Clip(a, c0, c6)  c = Mul(x, b)  y = Div(c, c6)", hard_swish_slope),
    "Mish written out": (
        "a = Softplus(x)  b = Tanh(a)  y = Mul(x, b)",
        lambda x: np.tanh(np.log1p(np.exp(x))) + x * (1 - np.tanh(np.log1p(np.exp(x))) ** 2) * sigmoid(x),
    ),
}
CONSTANTS = {"c0": 0, "c1": 1, "c3": 3, "c6": 6, "ch": 0.5, "cr": 2**0.5, "ck": 0.044715, "cs": (2 / np.pi) ** 0.5}


def passed(body: str, rules: dict, x: np.ndarray = X, g: np.ndarray = G) -> np.ndarray:
    text = f'<ir_version: 10, opset_import: ["": 21]> net (float[N] x) => (float[N] y) {{ {body} }}'
    net = parser.parse_model(text)
    net.graph.initializer.extend(numpy_helper.from_array(np.array(v, np.float32), k) for k, v in CONSTANTS.items())
    (got,) = plain.values(differentiate(net, ["y"], ["x"], rules), ["grad/x"], {"x": x, "grad/y": g})
    return got


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_guided_backpropagation_keeps_what_is_positive_on_both_sides(name: str) -> None:
    body, slope = ACTIVATIONS[name]
    expected = np.where(X > 0, slope(X.astype(np.float64)) * np.maximum(G, 0), 0)
    assert np.allclose(passed(body, {**VJPS, **GUIDED}), expected, atol=2e-6)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_deconvnet_keeps_what_is_positive_of_the_gradient_alone(name: str) -> None:
    assert np.allclose(passed(ACTIVATIONS[name][0], {**VJPS, **DECONVNET}), np.maximum(G, 0), atol=2e-6)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_without_an_overlay_the_same_nodes_have_the_slope(name: str) -> None:
    body, slope = ACTIVATIONS[name]
    assert np.allclose(passed(body, dict(VJPS)), slope(X.astype(np.float64)) * G, atol=2e-6)


@pytest.mark.parametrize("overlay", [GUIDED, DECONVNET], ids=["guided", "deconvnet"])
@pytest.mark.parametrize(
    "body",
    [
        "y = Sigmoid(x)",
        "y = Tanh(x)",
        "a = Neg(c1)  y = Clip(x, a, c6)",
        "y = Mul(x, x)",
        "a = Sigmoid(x)  b = Exp(x)  y = Mul(a, b)",  # a gate, but of another tensor than its partner
        "a = ReduceMean(x)  b = Sigmoid(a)  y = Mul(x, b)",  # squeeze and excitation
    ],
)
def test_what_is_no_activation_like_relu_keeps_its_gradient(body: str, overlay: dict) -> None:
    assert np.array_equal(passed(body, {**VJPS, **overlay}), passed(body, dict(VJPS)))


def test_overlays_have_rows_only_for_operators_of_the_table() -> None:
    assert set(GUIDED) | set(DECONVNET) <= set(VJPS)
    assert set(STRAIGHT_THROUGH) <= FLAT


@pytest.mark.parametrize(
    ("body", "slope"),
    [
        ("y = Round(x)", np.ones_like(X)),
        ("y = Floor(x)", np.ones_like(X)),
        ("y = Ceil(x)", np.ones_like(X)),
        ("y = Sign(x)", (abs(X) <= 1).astype(np.float32)),
        ("a = Mul(x, c3)  b = Round(a)  y = Div(b, c3)", np.ones_like(X)),
    ],
)
def test_steps_pass_the_gradient_straight_through(body: str, slope: np.ndarray) -> None:
    assert np.array_equal(passed(body, {**VJPS, **STRAIGHT_THROUGH}), slope * G)
    assert not passed(body, dict(VJPS)).any()


def test_a_whole_network_is_guided_as_layer_by_layer_by_hand() -> None:
    """Two dense layers with ReLU: W1' ((z1 > 0) relu(W2' ((z2 > 0) relu(g))))."""
    random = np.random.default_rng(0)
    w1, w2 = (random.standard_normal(shape).astype(np.float32) for shape in ((6, 8), (8, 5)))
    text = "(float[N,6] x) => (float[N,5] y) { a = MatMul(x, w1)  b = Relu(a)  c = MatMul(b, w2)  y = Relu(c) }"
    net = model(text, w1=w1, w2=w2)
    x, g = (random.standard_normal(shape).astype(np.float32) for shape in ((3, 6), (3, 5)))
    z1 = x @ w1
    z2 = np.maximum(z1, 0) @ w2
    kept = {
        "guided": (lambda g, z: np.maximum(g, 0) * (z > 0), {**VJPS, **GUIDED}),
        "deconvnet": (lambda g, z: np.maximum(g, 0), {**VJPS, **DECONVNET}),
    }
    for rule, rules in kept.values():
        expected = rule(rule(g, z2) @ w2.T, z1) @ w1.T
        (got,) = plain.values(differentiate(net, ["y"], ["x"], rules), ["grad/x"], {"x": x, "grad/y": g})
        assert np.allclose(got, expected, atol=1e-5)
