"""FullGrad: its identity, node by node and on real models, and its map against numpy."""

from pathlib import Path

import numpy as np
import pytest

import plain
from backlit_server.engine.engine import Engine
from backlit_server.graph import canonical
from backlit_server.graph.reading.view import View
from backlit_server.graph.seeding.own import ADDED, SCORE, own
from backlit_server.methods.gradients import full_grad
from backlit_server.methods.scaling import normalize, resize
from bare import ask, stored
from networks import Normal
from sharing_cases import NODES, node
from written import model

rng = np.random.default_rng(41)
NOT_STRAIGHT = {"a sum of exponentials"}  # has no row: what it adds is not told


@pytest.mark.parametrize("name", [name for name in NODES if name not in NOT_STRAIGHT])
def test_what_pixels_bring_and_nodes_add_is_the_score(name: str, normal: Normal):
    x, seed = normal(3, 2, 4, 4), normal(3, 2, 4, 4)
    made = own(canonical(node(name)), "x", "y", views={}, implicit=True)
    slope, added, score, y = plain.values(made.model, ["grad/x", ADDED, SCORE, "y"], {"x": x, "grad/y": seed})
    assert np.allclose(score, (seed * y).sum((1, 2, 3)), rtol=1e-4, atol=1e-4)
    assert np.allclose((x * slope).sum((1, 2, 3)) + added, score, rtol=1e-3, atol=2e-3)


def test_a_constant_that_is_joined_is_added_where_it_lies(normal: Normal):
    net = model(
        "(float[N,2,4,4] x) => (float[N,3,4,4] y) { a = Expand(c, size)  b = Concat<axis=1>(x, a)  y = Relu(b) }",
        c=normal(1, 1, 4, 4), size=np.array([2, 1, 4, 4]),
    )  # fmt: skip
    x, seed = normal(2, 2, 4, 4), normal(2, 3, 4, 4)
    made = own(canonical(net), "x", "y", views={}, implicit=False)
    slope, added, score = plain.values(made.model, ["grad/x", ADDED, SCORE], {"x": x, "grad/y": seed})
    assert np.allclose((x * slope).sum((1, 2, 3)) + added, score, rtol=1e-3, atol=1e-3)


def test_the_map_is_that_of_the_paper(normal: Normal):
    """Two convolutions with biases, ReLU and a dense layer, by hand."""
    w1, b1, w2, b2 = normal(3, 2, 1, 1), normal(3), normal(5, 3, 1, 1), normal(5)
    w3, b3 = normal(5, 4), normal(4)
    net = model(
        """(float[N,2,6,6] x) => (float[N,4] y) {
            a = Conv(x, w1, b1)  b = Relu(a)  c = MaxPool<kernel_shape=[2,2], strides=[2,2]>(b)  d = Conv(c, w2, b2)
            e = Relu(d)  f = GlobalAveragePool(e)  g = Flatten(f)  y = Gemm(g, w3, b3) }""",
        w1=w1,
        b1=b1,
        w2=w2,
        b2=b2,
        w3=w3,
        b3=b3,
    )
    x, seed = normal(2, 2, 6, 6), np.eye(4, dtype=np.float32)[[1, 3]]
    views = {"a": View("NCHW", (6, 6)), "d": View("NCHW", (3, 3))}
    made = own(canonical(net), "x", "y", views=views, implicit=False)
    names = ["grad/x", *made.tensors["biases"], ADDED, SCORE]
    slope, first, second, added, score = plain.values(made.model, names, {"x": x, "grad/y": seed})

    d = np.einsum("kc,nchw->nkhw", w2[:, :, 0, 0], _pooled(x, w1, b1)) + b2[:, None, None]
    g = (d > 0) * (seed @ w3.T)[:, :, None, None] / 9
    assert np.allclose(second, g * b2[:, None, None], atol=1e-4)
    heatmap, error = full_grad(x, slope, (first, second), added, score, lambda maps, like: resize(maps, like.shape[2:]))
    parts = (abs(x * slope), abs(first), abs(second))
    expected = sum(resize(normalize(part).sum(1), (6, 6)) for part in parts)
    assert np.allclose(heatmap, expected, atol=1e-4)
    assert (error < 1e-4).all()


def _pooled(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
    a = (np.einsum("kc,nchw->nkhw", w[:, :, 0, 0], x) + b[:, None, None]).clip(0)
    return a.reshape(len(a), -1, 3, 2, 3, 2).max((3, 5))


MODELS = {"digits40-cnn-gap": (1, 40, 40), "digits40-vit-tiny": (1, 40, 40), "squeezenet11-ndf": (3, 227, 227)}


@pytest.mark.parametrize("name", MODELS)
def test_the_terms_of_a_real_network_add_up_to_the_score(engine: Engine, shared: Path, name: str):
    digest = stored(engine.store, shared / "models" / f"{name}.onnx")
    x = rng.random((1, *MODELS[name])).astype(np.float32)
    ((explanation, heatmap),) = ask(engine, digest, x, "full-grad", implicit=True)
    assert explanation.facts["completeness error"] < 1e-3
    assert heatmap.shape == MODELS[name][1:]
    assert heatmap.min() >= 0
