"""Relevance against the formulas of the papers, layer by layer in numpy, and what they promise: nothing is lost."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

import plain
from backlit_proto.errors import BadQuestion, NotDifferentiable
from backlit_server.graph import canonical, differentiate, with_outputs
from backlit_server.graph.overlays.relevance import lrp_alpha_beta, lrp_epsilon, lrp_gamma, lrp_z_plus
from backlit_server.graph.spelling.merge import merged
from backlit_server.graph.vjp import VJPS
from networks import Normal, Table, as_matrix, normals, relevance
from written import model

DRAWN = normals(7)
# A network of every kind of layer without a bias: convolutions, a residual sum, pools, a dense layer.
W = {"w1": DRAWN(4, 2, 3, 3), "w2": DRAWN(4, 1, 3, 3), "w3": DRAWN(6, 4, 3, 3), "w4": DRAWN(6, 5)}
BODY = """ (float[N,2,8,8] x) => (float[N,5] y) {
    a = Conv<pads=[1,1,1,1]>(x, w1)  b = Relu(a)  c = Conv<pads=[1,1,1,1], group=4>(b, w2)  d = Relu(c)
    e = Add(b, d)  f = MaxPool<kernel_shape=[2,2], strides=[2,2]>(e)  g = Conv<strides=[1,1]>(f, w3)  h = Relu(g)
    i = GlobalAveragePool(h)  j = Flatten(i)  y = MatMul(j, w4) }"""
NET = model(BODY, **W)
IMAGES = DRAWN(3, 2, 8, 8)
SCORES = plain.values(NET, ["y"], {"x": IMAGES})[0]
SEED = np.where(np.arange(5) == SCORES.argmax(1)[:, None], SCORES, 0)
TABLES: dict[str, Callable[[], Table]] = {
    "epsilon": lambda: lrp_epsilon(1e-9),
    "gamma": lambda: lrp_gamma(0.25, 1e-9),
    "alpha-beta": lambda: lrp_alpha_beta(2, 1, 1e-9),
    "z-plus": lambda: lrp_z_plus(1e-9),
    "z-plus in convolutions": lambda: {**lrp_epsilon(1e-9), "Conv": lrp_z_plus(1e-9)["Conv"]},
}


@pytest.mark.parametrize("name", [name for name in TABLES if name != "alpha-beta"])
def test_without_biases_no_relevance_is_lost(name: str) -> None:
    got = relevance(NET, TABLES[name](), IMAGES, SEED)
    assert np.allclose(got.sum((1, 2, 3)), SEED.sum(1), rtol=1e-3)


def test_lrp_0_is_gradient_times_input_where_nothing_has_a_bias() -> None:
    slope = np.where(SEED != 0, 1, 0).astype(np.float32)
    gradient = relevance(NET, VJPS, IMAGES, slope)
    assert np.allclose(relevance(NET, lrp_epsilon(0), IMAGES, SEED), gradient * IMAGES, atol=1e-4)


def test_z_plus_gives_what_is_positive_positively() -> None:
    got = relevance(NET, lrp_z_plus(), IMAGES, abs(SEED))
    assert got.min() >= 0
    assert got.max() > 0


def test_the_larger_epsilon_is_the_more_it_absorbs() -> None:
    sums = [abs(relevance(NET, lrp_epsilon(e), IMAGES, SEED)).sum() for e in (1e-6, 1e-1, 1)]
    assert sums[0] > sums[1] > sums[2]


# Layers as dense matrices (inputs x outputs) with a bias, and the papers' formulas on them.
Formula = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]
EPSILON, GAMMA = 1e-2, 0.3


def by_epsilon(x: np.ndarray, w: np.ndarray, b: np.ndarray, r: np.ndarray) -> np.ndarray:
    z = x[:, None] * w
    total = z.sum(0) + b
    return (z / (total + EPSILON * np.where(total < 0, -1, 1)) * r).sum(1)


def by_gamma(x: np.ndarray, w: np.ndarray, b: np.ndarray, r: np.ndarray) -> np.ndarray:
    z, sign = x[:, None] * w, np.where(x @ w + b > 0, 1, -1)
    more, bias = (t + GAMMA * sign * (sign * t).clip(0) for t in (z, b))
    total = more.sum(0) + bias
    return (more / (total + EPSILON * sign) * r).sum(1)


def by_alpha_beta(x: np.ndarray, w: np.ndarray, b: np.ndarray, r: np.ndarray) -> np.ndarray:
    z = x[:, None] * w
    above = z.clip(0) / (z.clip(0).sum(0) + b.clip(0) + EPSILON)
    below = z.clip(None, 0) / (z.clip(None, 0).sum(0) + b.clip(None, 0) - EPSILON)
    return ((2 * above - below) * r).sum(1)


def by_z_plus(x: np.ndarray, w: np.ndarray, b: np.ndarray, r: np.ndarray) -> np.ndarray:
    z = (x[:, None] * w).clip(0)
    return (z / (z.sum(0) + b.clip(0) + EPSILON) * r).sum(1)


FORMULAS: dict[str, tuple[Formula, Callable[[], Table]]] = {
    "epsilon": (by_epsilon, lambda: lrp_epsilon(EPSILON)),
    "gamma": (by_gamma, lambda: lrp_gamma(GAMMA, EPSILON)),
    "alpha-beta": (by_alpha_beta, lambda: lrp_alpha_beta(2, 1, EPSILON)),
    "z-plus": (by_z_plus, lambda: lrp_z_plus(EPSILON)),
}
B = {"b1": DRAWN(3), "b2": DRAWN(4)}
V = {"v1": DRAWN(3, 2, 3, 3, scale=0.3), "v2": DRAWN(4, 27, scale=0.3)}


@pytest.mark.parametrize("name", FORMULAS)
def test_relevance_is_shared_as_the_papers_say(name: str, normal: Normal) -> None:
    """A strided convolution and a dense layer, both with biases."""
    formula, table = FORMULAS[name]
    net = model(
        """(float[1,2,6,6] x) => (float[1,4] y) {
            a = Conv<strides=[2,2], pads=[1,1,1,1]>(x, v1, b1)  c = Relu(a)
            d = Flatten(c)  y = Gemm<transB=1>(d, v2, b2) }""",
        **V,
        **B,
    )
    x, r = normal(1, 2, 6, 6), normal(1, 4)
    matrix, bias = as_matrix(V["v1"], B["b1"])
    hidden = np.maximum(x.ravel() @ matrix + bias, 0)
    back = formula(hidden, V["v2"].T, B["b2"], r[0])
    expected = formula(x.ravel(), matrix, bias, back)
    assert np.allclose(relevance(net, table(), x, r).ravel(), expected, rtol=1e-4, atol=1e-4)


# Single nodes: what they are, and what each element of x gets of relevance r.
X, R = DRAWN(2, 3, scale=2), DRAWN(2, 3)
NODES: dict[str, tuple[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]] = {
    "an activation": ("y = Tanh(x)", lambda x, r: r),
    "a bias of its own": ("y = Add(x, c)", lambda x, r: r * x / (x + C)),
    "what is taken away": ("y = Sub(c, x)", lambda x, r: -r * x / (C - x)),
    "a constant factor": ("y = Mul(x, c)", lambda x, r: r),
    "a divisor": ("y = Div(x, c)", lambda x, r: r),
    "both factors vary": ("a = Relu(x)  b = Exp(x)  y = Mul(a, b)", lambda x, r: r),
    "SiLU written out": ("s = Sigmoid(x)  y = Mul(x, s)", lambda x, r: r),
    "softmax": ("y = Softmax(x)", lambda x, r: x * (r - softmax(x) * r.sum(1, keepdims=True))),
    "a layer norm": ("y = LayerNormalization(x, c, c)", lambda x, r: r),
    "the largest": ("a = ReduceMax<keepdims=1>(x)  y = Expand(a, shape)", lambda x, r: (x == x.max()) * r.sum()),
    "the mean": (
        "a = ReduceMean<keepdims=1>(x, axes)  y = Expand(a, shape)",
        lambda x, r: x / x.sum(1, keepdims=True) * r.sum(1, keepdims=True),
    ),
    "weights on the left": ("y = MatMul(w, x)", lambda x, r: x * (L.T @ (r / (L @ x)))),
    "a product of two": (
        "t = Transpose(x)  a = MatMul(x, t)  y = MatMul(a, x)",
        lambda x, r: bilinear(x, r),
    ),
}
C, L = DRAWN(3), DRAWN(2, 2)


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def bilinear(x: np.ndarray, r: np.ndarray) -> np.ndarray:
    """y = (x x') x: each factor of a product gets half of it, in proportion (AttnLRP, equation 14)."""
    a = x @ x.T
    terms = a[:, :, None] * x[None] / (a @ x)[:, None, :] * r[:, None, :] / 2  # (row, inner, column)
    inner = terms.sum(2)
    left = x[:, None, :] * x[None] / a[:, :, None] * inner[:, :, None] / 2  # (row, other row, column)
    return terms.sum(0) + left.sum(1) + left.sum(0)


@pytest.mark.parametrize("name", NODES)
def test_a_node_shares_relevance_by_its_closed_form(name: str) -> None:
    body, expected = NODES[name]
    net = model(f"(float[2,3] x) => (float[2,3] y) {{ {body} }}", c=C, w=L, shape=np.array([2, 3]), axes=np.array([1]))
    assert np.allclose(relevance(net, lrp_epsilon(1e-12), X, R), expected(X, R), rtol=1e-3, atol=1e-4)


def test_attention_keeps_relevance_but_for_what_the_softmax_absorbs(normal: Normal) -> None:
    """A whole block: what reaches the values alone (the softmax held) is kept."""
    text = """(float[1,4,6] x) => (float[1,4,6] y) {
        n = LayerNormalization(x, one, zero)  q = MatMul(n, wq)  k = MatMul(n, wk)  v = MatMul(n, wv)
        t = Transpose<perm=[0,2,1]>(k)  s = MatMul(q, t)  p = Softmax(s)  a = MatMul(p, v)  y = Add(x, a) }"""
    weights = {name: normal(6, 6, scale=0.4) for name in ("wq", "wk", "wv")}
    net = model(text, one=np.ones(6, np.float32), zero=np.zeros(6, np.float32), **weights)
    x, r = normal(1, 4, 6), normal(1, 4, 6)
    held = {**lrp_epsilon(1e-12), "Softmax": lambda g, y, x, axis: None}
    y, a = plain.values(with_outputs(canonical(net), ["a"]), ["y", "a"], {"x": x})
    to_attention = (r * a / y).sum()
    assert np.isclose(relevance(net, held, x, r).sum(), r.sum() - to_attention / 2, rtol=1e-3)
    assert np.isfinite(relevance(net, lrp_epsilon(), x, r)).all()


def test_a_batch_norm_is_merged_into_the_convolution_before_it(normal: Normal) -> None:
    text = """(float[N,2,8,8] x) => (float[N,4,6,6] y) {
        a = Conv(x, w, b)  n = BatchNormalization<epsilon=0.01>(a, scale, shift, mean, variance)  y = Relu(n) }"""
    parts = {"scale": normal(4), "shift": normal(4), "mean": normal(4), "variance": normal(4) ** 2 + 0.1}
    net = model(text, w=normal(4, 2, 3, 3), b=normal(4), **parts)
    made = merged(net)
    assert [node.op_type for node in made.graph.node] == ["Conv", "Relu"]
    before, after = (plain.values(m, ["y"], {"x": IMAGES})[0] for m in (net, made))
    assert np.allclose(before, after, atol=1e-5)
    assert [node.op_type for node in net.graph.node] == ["Conv", "BatchNormalization", "Relu"]


def test_a_batch_norm_whose_convolution_is_read_elsewhere_stays(normal: Normal) -> None:
    text = """(float[N,2,8,8] x) => (float[N,2,6,6] y) {
        a = Conv(x, w)  n = BatchNormalization(a, s, s, s, s)  y = Add(n, a) }"""
    net = model(text, w=normal(2, 2, 3, 3), s=np.ones(2, np.float32))
    assert len(merged(net).graph.node) == 3


def test_an_operator_without_a_rule_for_relevance_is_refused() -> None:
    with pytest.raises(NotDifferentiable, match="Det"):
        differentiate(model("(float[2,2] x) => (float y) { y = Det(x) }"), ["y"], ["x"], lrp_epsilon())


@pytest.mark.parametrize(("alpha", "beta"), [(1, 1), (0.5, -0.5), (3, 1)])
def test_alpha_and_beta_that_lose_relevance_are_refused(alpha: float, beta: float) -> None:
    with pytest.raises(BadQuestion, match="alpha - beta = 1"):
        lrp_alpha_beta(alpha, beta)


@pytest.mark.parametrize(
    ("name", "table"),
    [("digits40-cnn-gap", lrp_gamma()), ("squeezenet11-ndf", lrp_z_plus()), ("digits40-vit-tiny", lrp_epsilon(1e-2))],
)
def test_real_networks_have_relevance(name: str, table: Table, shared: Path) -> None:
    net = onnx.load(shared / "models" / f"{name}.onnx")
    x, y = net.graph.input[0], net.graph.output[0].name
    image = (
        np.random.default_rng(3)
        .uniform(-1, 1, [d.dim_value or 1 for d in x.type.tensor_type.shape.dim])
        .astype(np.float32)
    )
    (scores,) = plain.values(net, [y], {x.name: image})
    seed = np.where(np.arange(scores.shape[1]) == scores.argmax(), scores, 0)
    made = differentiate(merged(net), [y], [x.name], table)
    (got,) = plain.values(made, [f"grad/{x.name}"], {x.name: image, f"grad/{y}": seed})
    assert np.isfinite(got).all()
    assert got.any()
