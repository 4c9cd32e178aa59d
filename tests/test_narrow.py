"""A narrowed head gives the columns of the classes asked for, and is left alone where it cannot be narrowed."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

import plain
from backlit_server.graph import narrowed

rng = np.random.default_rng(31)
X = rng.normal(size=(2, 6)).astype(np.float32)
WEIGHTS = {
    "w": rng.normal(size=(6, 9)).astype(np.float32),
    "t": rng.normal(size=(9, 6)).astype(np.float32),
    "b": rng.normal(size=(9,)).astype(np.float32),
    "one": rng.normal(size=(1,)).astype(np.float32),
}
NARROWED = [
    "y = Gemm(x, w, b)",
    "y = Gemm<transB = 1, alpha = 0.5, beta = 2.0>(x, t, b)",
    "y = Gemm(x, w)",
    "y = Gemm(x, w, one)",
    "y = MatMul(x, w)",
    "m = MatMul(x, w) y = Add(m, b)",
    "m = MatMul(x, w) y = Add(b, m)",
    "m = MatMul(x, w) y = Add(m, one)",
    "r = Relu(x) y = Gemm(r, w, b)",
]
LEFT = [
    "m = MatMul(x, w) y = Relu(m)",
    "m = MatMul(x, w) y = Add(m, m)",
    "a = Abs(x) c = Identity(w) y = MatMul(a, c)",
]


HEADER = '<ir_version: 10, opset_import: ["" : 21]> net'


def head(text: str) -> onnx.ModelProto:
    model = parser.parse_model(f"{HEADER} (float[N, 6] x) => (float[N, 9] y) {{ {text} }}")
    used = {name for node in model.graph.node for name in node.input}
    model.graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in WEIGHTS.items() if k in used)
    return onnx.shape_inference.infer_shapes(model)


@pytest.mark.parametrize("text", NARROWED)
@pytest.mark.parametrize("classes", [[4], [0, 8, 3], list(range(9))], ids=len)
def test_a_narrowed_head_gives_the_columns_asked_for(text: str, classes: list[int]):
    whole = head(text)
    small = narrowed(whole, "y")
    onnx.checker.check_model(small, full_check=True)
    (scores,) = plain.values(whole, ["y"], {"x": X})
    (some,) = plain.values(small, ["y"], {"x": X, "classes": np.array(classes)})
    assert np.allclose(some, scores[:, classes], atol=1e-6)


@pytest.mark.parametrize("text", LEFT)
def test_what_cannot_be_narrowed_is_left_as_it_is(text: str):
    whole = head(text)
    assert narrowed(whole, "y") is whole


def test_scores_of_more_axes_are_left_as_they_are():
    model = parser.parse_model(f"{HEADER} (float[N, 4, 6] x) => (float[N, 4, 9] y) {{ y = MatMul(x, w) }}")
    model.graph.initializer.append(numpy_helper.from_array(WEIGHTS["w"], "w"))
    assert narrowed(model, "y") is model
