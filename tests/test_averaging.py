"""The mean over places of what a dense layer passes back is a product with the mean of its weights."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

import plain
from backlit_server.graph import with_formula

rng = np.random.default_rng(2)
ROWS, CHANNELS, HEIGHT, WIDTH = 4, 3, 5, 6
PLACES = HEIGHT * WIDTH
WEIGHTS = rng.normal(size=(7, CHANNELS * PLACES)).astype(np.float32)
G = rng.normal(size=(ROWS, 7)).astype(np.float32)
MAPS = (G @ WEIGHTS).reshape(ROWS, CHANNELS, HEIGHT, WIDTH)
PRODUCTS: dict[str, tuple[str, np.ndarray, np.ndarray]] = {  # how g becomes p, the weights, the maps
    "Gemm": ("p = Gemm(g, W)", WEIGHTS, MAPS),
    "MatMul": ("p = MatMul(g, W)", WEIGHTS, MAPS),
    "in several steps": ("q = MatMul(g, W) r = Identity(q) p = Reshape(r, flat)", WEIGHTS, MAPS),
    "turned": ("p = Gemm<transB = 1>(g, W)", np.ascontiguousarray(WEIGHTS.T), MAPS),
    "doubled": ("p = Gemm<alpha = 2.0>(g, W)", WEIGHTS, 2 * MAPS),
    "shifted": ("p = Gemm(g, W, one)", WEIGHTS, MAPS + 1),
}
SHORT = ("Gemm", "MatMul", "in several steps")
MEANS: dict[str, Callable[[Any], Any]] = {
    "places": lambda maps: maps.mean((2, 3)),
    "places, kept": lambda maps: maps * maps.mean((2, 3), keepdims=True),
    "channels": lambda maps: maps.mean(1),
    "rows": lambda maps: maps.mean((1, 2, 3)),
}


def network(product: str, weights: np.ndarray) -> onnx.ModelProto:
    model = parser.parse_model(
        f"""<ir_version: 10, opset_import: ["" : 21]>
        net (float[N,7] g) => (float[N,{CHANNELS},{HEIGHT},{WIDTH}] maps) {{ {product} maps = Reshape(p, shape) }}"""
    )
    given = {
        "W": weights,
        "shape": np.array([-1, CHANNELS, HEIGHT, WIDTH]),
        "flat": np.array([-1, CHANNELS * PLACES]),
        "one": np.ones(1, np.float32),
    }
    used = {name for node in model.graph.node for name in node.input}
    model.graph.initializer.extend(numpy_helper.from_array(v, name) for name, v in given.items() if name in used)
    return onnx.shape_inference.infer_shapes(model, data_prop=True)


@pytest.mark.parametrize("mean", MEANS)
@pytest.mark.parametrize("product", PRODUCTS)
def test_every_mean_is_what_numpy_says(product: str, mean: str):
    text, weights, maps = PRODUCTS[product]
    made = with_formula(network(text, weights), MEANS[mean], {"maps": "maps"})
    (found,) = plain.values(made, ["heatmap"], {"g": G})
    assert np.allclose(found, MEANS[mean](maps), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_plain_product_is_not_made_for_its_mean(product: str):
    text, weights, _ = PRODUCTS[product]
    made = with_formula(network(text, weights), MEANS["places"], {"maps": "maps"})
    whole = any(node.op_type == "ReduceMean" and "maps" in node.input for node in made.graph.node)
    assert whole == (product not in SHORT)
