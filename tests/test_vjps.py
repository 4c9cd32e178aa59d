"""Every row of VJPS against central differences in double precision, with known and with free shapes."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator
from onnxruntime.capi.onnxruntime_pybind11_state import (
    InvalidArgument,
    InvalidGraph,
    RuntimeException,
)
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NotImplementedInDouble

import plain
from backlit_server.graph import differentiate
from backlit_server.graph.vjp import VJPS
from vjp_cases import CASES as PLAIN
from vjp_cases import Case
from vjp_cases_images import IMAGES
from vjp_cases_tables import TABLES

Feeds = dict[str, np.ndarray]
DTYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64}
# onnxruntime has no double kernel for these, onnx's reference none at all, or a wrong one
SINGLE = {"Celu", "ConvTranspose", "DequantizeLinear", "Erf", "Gelu", "GlobalLpPool", "LRN", "Resize", "Shrink"}
SINGLE |= {"MaxRoiPool", *TABLES}

CASES = PLAIN | IMAGES | TABLES
ROWS = [(op, k, free) for op, cases in CASES.items() for k in range(len(cases)) for free in (False, True)]


# Where half precision is known to be short: sums, exponents, scattering, places. The others take a minute.
SHORT_OF_DIGITS = {"Exp", "LayerNormalization", "MaxPool", "ReduceSum", "RoiAlign", "ScatterElements", "Softmax"}
IN_HALF = [
    pytest.param(op, k, id=f"{op}-{k}", marks=() if op in SHORT_OF_DIGITS else pytest.mark.slow)
    for op, k, free in ROWS
    if not free and op != "Cast"
]


@pytest.mark.parametrize(("op", "k", "free"), ROWS, ids=[f"{op}-{k}{'-free' * free}" for op, k, free in ROWS])
def test_the_gradient_is_the_slope(op: str, k: int, free: bool) -> None:
    one = CASES[op][k]
    feeds = _filled(op, one)
    truth = _truth(op, one, feeds)
    results = _session(_model(op, one, feeds))(feeds)
    outputs = [name for name, y in results.items() if y.dtype.kind == "f"]
    wrt = [name for name, a in feeds.items() if a.dtype == np.float32 and int(name[1:]) not in one.constant]
    seeds = {name: _random(name, results[name].shape).astype(results[name].dtype) for name in outputs}
    made = differentiate(_model(op, one, feeds, results, free), outputs, wrt)
    onnx.checker.check_model(made)
    gradients = _session(made)({**feeds, **{f"grad/{name}": seed for name, seed in seeds.items()}})
    for x in wrt:
        gradient = gradients[f"grad/{x}"]
        assert gradient.shape == feeds[x].shape
        for n in range(3):
            direction = _random(f"{x} {n}", feeds[x].shape)
            size = np.linalg.norm(gradient) * np.linalg.norm(direction) + 1e-3
            slope = _slope(truth, feeds, x, direction, seeds)
            assert abs(np.vdot(gradient, direction) - slope) < truth.tolerance * size, x


@pytest.mark.parametrize(("op", "k"), IN_HALF)
def test_in_half_precision_the_gradient_is_that_of_single(op: str, k: int) -> None:
    one = CASES[op][k]
    halves = {x: a.astype(np.float16) if a.dtype == np.float32 else a for x, a in _filled(op, one).items()}
    singles = {x: a.astype(np.float32) if a.dtype == np.float16 else a for x, a in halves.items()}
    try:
        found = [(feeds, _session(_model(op, one, feeds))(feeds)) for feeds in (halves, singles)]
    except (InvalidGraph, InvalidArgument, RuntimeException, NotImplementedInDouble):
        pytest.skip("onnxruntime does not run it in half precision")
    outputs = [y for y, a in found[0][1].items() if a.dtype == np.float16]
    wrt = [x for x, a in halves.items() if a.dtype == np.float16 and int(x[1:]) not in one.constant]
    gradients = []
    for feeds, results in found:
        made = differentiate(_model(op, one, feeds, results), outputs, wrt)
        seeds = {f"grad/{y}": _random(y, results[y].shape).astype(results[y].dtype) for y in outputs}
        gradients.append(_session(made)({**feeds, **seeds}))
    for x in wrt:
        half, single = (found[f"grad/{x}"] for found in gradients)
        assert half.dtype == np.float16
        np.testing.assert_allclose(half.astype(np.float32), single, atol=3e-2 * np.abs(single).max() + 1e-3)


def test_every_row_has_a_case() -> None:
    assert set(VJPS) == set(CASES)


@dataclass(frozen=True)
class Truth:
    """Something that runs the node, the step for differences, and what they can be trusted to."""

    run: Callable[[Feeds], Feeds]
    step: float
    tolerance: float


def _truth(op: str, one: Case, feeds: Feeds) -> Truth:
    """onnxruntime in double precision, else onnx's reference, else onnxruntime in single precision."""
    if op in SINGLE:
        return Truth(_session(_model(op, one, feeds)), 1e-2, 3e-3)
    wide = _model(op, one, _doubled(feeds))
    try:
        return Truth(_session(wide), 1e-5, 2e-4)
    except NotImplementedInDouble:
        reference = ReferenceEvaluator(wide)
        names = [f"y{i}" for i in range(one.outputs)]
        return Truth(lambda x: _named(names, reference.run(None, x)), 1e-5, 2e-4)


def _slope(truth: Truth, feeds: Feeds, x: str, direction: np.ndarray, seeds: Feeds) -> float:
    """Of seeds . outputs, along a direction of x."""
    wide = _doubled(feeds)
    up, down = (truth.run({**wide, x: np.asarray(wide[x] + sign * truth.step * direction)}) for sign in (1, -1))
    return sum(float(np.vdot(seeds[y], (up[y] - down[y]) / (2 * truth.step))) for y in seeds)


def _doubled(feeds: Feeds) -> Feeds:
    return {name: np.asarray(a, np.float64) if a.dtype == np.float32 else a for name, a in feeds.items()}


def _random(name: str, shape: Any) -> np.ndarray:
    return np.asarray(np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape))


def _filled(op: str, one: Case) -> Feeds:
    rng = np.random.default_rng(zlib.crc32(op.encode()))
    given = {f"x{i}": value for i, value in enumerate(one.inputs) if value is not None}
    drawn = {name: rng.uniform(*one.within, value) for name, value in given.items() if isinstance(value, tuple)}
    return {name: np.asarray(drawn[name], np.float32) if name in drawn else np.asarray(given[name]) for name in given}


def _model(op: str, one: Case, feeds: Feeds, results: Feeds | None = None, free: bool = False) -> onnx.ModelProto:
    """The node alone. Floats are inputs; the rest are constants, but inputs too where shapes are free."""
    names = ["" if value is None else f"x{i}" for i, value in enumerate(one.inputs)]
    domain, _, kind = op.rpartition(".")
    node = helper.make_node(kind, names, [f"y{i}" for i in range(one.outputs)], domain=domain, **one.attributes)
    unknown = {f"x{i}" for i in one.free} if free else set()
    constant = {f"x{i}" for i in one.constant}
    inputs = [name for name, a in feeds.items() if name not in constant and (a.dtype.kind == "f" or unknown)]
    typed = [_typed(name, feeds[name], name in unknown) for name in inputs]
    held = [onnx.numpy_helper.from_array(a, name) for name, a in feeds.items() if name not in inputs]
    empty = [helper.make_empty_tensor_value_info(name) for name in node.output]
    outputs = [_typed(name, y, True) for name, y in results.items()] if results else empty
    graph = helper.make_graph([node], op, typed, outputs, held)
    opsets = [helper.make_opsetid("", one.opset), *([helper.make_opsetid(domain, 3)] if domain else [])]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def _typed(name: str, a: np.ndarray, free: bool) -> onnx.ValueInfoProto:
    shape = [f"{name}_{k}" for k in range(a.ndim)] if free else a.shape
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(a.dtype), shape)


def _named(names: list[str], results: Any) -> Feeds:
    return {name: np.asarray(result) for name, result in zip(names, results, strict=True)}


def _session(model: onnx.ModelProto) -> Callable[[Feeds], Feeds]:
    session = plain.session(model)
    dtypes = {i.name: DTYPES.get(i.type) for i in session.get_inputs()}
    outputs = [o.name for o in session.get_outputs()]

    def run(feeds: Feeds) -> Feeds:
        given = {name: feeds[name].astype(dtype) if dtype else feeds[name] for name, dtype in dtypes.items()}
        return _named(outputs, session.run(outputs, given))

    return run
