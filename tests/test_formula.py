"""A formula says the same on arrays and in the graph."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import parser

import plain
from backlit_proto.errors import BadQuestion
from backlit_server.graph import differentiate, with_formula
from backlit_server.graph.recording.sym import UFUNCS
from backlit_server.methods import METHODS

NET = parser.parse_model(
    """<ir_version: 10, opset_import: ["" : 21]>
    net (float[N,3,4,5] a, float[N,3,4,5] b) => (float[N,3,4,5] c) { c = Add(a, b) }"""
)
RNG = np.random.default_rng(1)
A, B = (RNG.standard_normal((2, 3, 4, 5)).astype(np.float32) for _ in "ab")

FORMULAS: dict[str, Callable[..., Any]] = {
    "arithmetic": lambda a, b: 2 * a + b / 3 - 1 + (-a) * b,
    "powers": lambda a, b: (1 + a * a) ** 0.5 + a**2,
    "reflected": lambda a, b: 1 - a + 2 / (3 + b * b),
    "comparisons count as numbers": lambda a, b: a * (a > 0) + (b >= a) * 1.0 + (a == b) + (a != b) * a,
    "truth": lambda a, b: ((a > 0) & (b < 0) | ~(a <= 1)) * a,
    "one minus truth": lambda a, b: a * (1 - (b > 0)),
    "clip": lambda a, b: a.clip(0) + b.clip(-1, 1),
    "where": lambda a, b: np.where(a > b, a, 0.5),
    "functions": lambda a, b: np.exp(a) + np.sqrt(abs(b)) + np.tanh(a) + np.log(np.maximum(b, 0.1)) + np.sign(a),
    "sums": lambda a, b: a.sum(1) + b.max(1) + a.mean(1) - a.min(1),
    "kept sums": lambda a, b: a * b.mean((2, 3), keepdims=True) + a.sum(keepdims=True) + a.prod(-1, keepdims=True),
    "all sums": lambda a, b: a.sum() + b,
    "counts": lambda a, b: (a > 0).sum((1, 2, 3)) * 1.0,
    "indices": lambda a, b: a[:, 1:, ::-1, None, -1] + b[..., 0][:, 1:, :, None],
    "chosen": lambda a, b: a[:, [2, 0]],
    "shapes": lambda a, b: a.reshape(2, 12, 5).transpose(0, 2, 1) + b.reshape((2, -1, 5)).swapaxes(1, 2),
    "products": lambda a, b: a @ b.transpose(0, 1, 3, 2),
    "types": lambda a, b: a.astype(np.float64) * 1.5,
    "joined": lambda a, b: np.concatenate([a, b], axis=1),
}


def run(model: onnx.ModelProto, *names: str) -> list[np.ndarray]:
    onnx.checker.check_model(model)
    session = plain.session(model)
    return [np.asarray(result) for result in session.run(list(names), {"a": A, "b": B})]


@pytest.mark.parametrize("name", FORMULAS)
def test_a_formula_on_arrays_equals_the_formula_in_the_graph(name: str) -> None:
    formula = FORMULAS[name]
    expected = formula(A, B)
    (got,) = run(with_formula(NET, formula, {"a": "a", "b": "b"}), "heatmap")
    assert got.shape == expected.shape
    assert np.allclose(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", [name for name, row in METHODS.items() if row.needs == ("features", "grads")])
def test_every_gradient_method_runs_in_the_graph(name: str) -> None:
    formula = METHODS[name].formula
    expected = formula(A, B)
    expected = expected if isinstance(expected, tuple) else (expected,)
    names = [f"result {k}" for k in range(len(expected))]
    got = run(with_formula(NET, formula, {"features": "a", "grads": "b"}, names), *names)
    for one, other in zip(got, expected, strict=True):
        assert np.allclose(one, other, rtol=1e-5, atol=1e-5)


def test_parameters_are_passed_on() -> None:
    made = with_formula(NET, lambda x, *, times: x * times, {"x": "c"}, "tripled", times=3)
    assert np.allclose(run(made, "tripled")[0], 3 * (A + B), atol=1e-6)


def test_a_tensor_itself_can_be_the_result() -> None:
    assert np.array_equal(run(with_formula(NET, lambda x: x, {"x": "a"}, "same"), "same")[0], A)


def test_the_model_keeps_its_outputs_and_is_not_changed() -> None:
    before = NET.SerializeToString()
    made = with_formula(NET, lambda x: x.sum(1), {"x": "c"})
    assert [o.name for o in made.graph.output] == ["c", "heatmap"]
    assert [d.dim_param or d.dim_value for d in made.graph.output[1].type.tensor_type.shape.dim] == ["N", 4, 5]
    assert NET.SerializeToString() == before


def test_a_formula_can_be_laid_over_gradients() -> None:
    gradients = differentiate(NET, ["c"], ["a"])
    made = with_formula(gradients, lambda x, g: (x * g).sum(1), {"x": "a", "g": "grad/a"})
    session = plain.session(made)
    (got,) = session.run(["heatmap"], {"a": A, "b": B, "grad/c": B})
    assert np.allclose(np.asarray(got), (A * B).sum(1), atol=1e-5)


def test_a_taken_name_and_a_missing_tensor_are_bad_questions() -> None:
    with pytest.raises(BadQuestion, match="'c'"):
        with_formula(NET, lambda x: x, {"x": "a"}, "c")
    with pytest.raises(BadQuestion, match="'nothing'"):
        with_formula(NET, lambda x: x, {"x": "nothing"})


def test_a_tensor_has_no_truth_value_while_the_graph_is_built() -> None:
    with pytest.raises(TypeError, match=r"numpy\.where"):
        with_formula(NET, lambda x: x if x.sum() else -x, {"x": "a"})


def test_a_function_that_is_no_operator_is_refused_by_name() -> None:
    assert np.arctan2 not in UFUNCS
    with pytest.raises(TypeError, match="arctan2"):
        with_formula(NET, lambda x: np.arctan2(x, x), {"x": "a"})
