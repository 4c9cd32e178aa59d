"""Every row of LOWERINGS: what it writes computes what the operator computes, and has its slope."""

import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import plain
from backlit_server.graph import canonical, differentiate
from backlit_server.graph.lowering.table import FUSED, LOWERINGS
from lowering_cases import CASES, Case

Feeds = Mapping[str, np.ndarray]
ROWS = [(op, k) for op, cases in CASES.items() for k in range(len(cases))]
IDS = [f"{op}-{k}" for op, k in ROWS]
OPSETS = {"LayerNormalization": 16, "SimplifiedLayerNormalization": 16}  # before the specification held them
OLD = 7  # the opset of what was taken back from the specification
# How far inputs are moved to see the slope: (of a float operator, of an integer). Through roundings many steps.
SPACINGS = {(True, False): 2e-3, (True, True): 1, (False, False): 0.24, (False, True): 12}


def test_every_row_has_a_case() -> None:
    assert set(LOWERINGS) == set(CASES)


@pytest.mark.parametrize(("op", "k"), ROWS, ids=IDS)
def test_what_is_written_computes_the_same_in_standard_operators(op: str, k: int) -> None:
    one = CASES[op][k]
    feeds, expected = feeds_of(one), computed(op, one)
    made = canonical(model_of(op, one, expected))
    onnx.checker.check_model(made)
    assert {node.domain for node in made.graph.node} == {""}
    assert f"backlit.rewritten/{op}" in {p.key for p in made.metadata_props}
    for ours, theirs in zip(plain.values(made, list(expected), feeds), expected.values(), strict=True):
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        np.testing.assert_allclose(ours.astype(float), theirs.astype(float), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("op", "k"), ROWS, ids=IDS)
def test_the_gradient_of_what_is_written_is_the_slope(op: str, k: int) -> None:
    """Of the operator itself: integers count as floats, and are moved by so many steps that rounding hardly matters."""
    one = CASES[op][k]
    feeds, results = feeds_of(one), computed(op, one)
    wrt = [name for name, x in feeds.items() if quantised(x) or (x.dtype == np.float32 and (x.ndim > 1 or op in FUSED))]
    seeds = {f"grad/{y}/float": random(y, a.shape) for y, a in results.items()}
    made = differentiate(between_floats(model_of(op, one, results), results, wrt), [f"{y}/float" for y in results], wrt)
    given = {x: a.astype(np.float32) if quantised(a) else a for x, a in feeds.items()}
    for x, gradient in zip(wrt, plain.values(made, [f"grad/{x}" for x in wrt], {**given, **seeds}), strict=True):
        step = SPACINGS[op in FUSED, quantised(feeds[x])]
        direction = step * np.sign(gradient + random(x, gradient.shape) * np.abs(gradient).mean())
        up, down = (computed(op, one, **{x: moved(feeds[x], sign * direction)}) for sign in (1, -1))
        slope = sum(np.vdot(seeds[f"grad/{y}/float"], up[y].astype(float) - down[y].astype(float)) / 2 for y in results)
        assert np.vdot(gradient, direction) == pytest.approx(
            slope, rel=0.02 if op in FUSED and not quantised(feeds[x]) else 0.1
        )


def between_floats(model: onnx.ModelProto, results: Feeds, wrt: Sequence[str]) -> onnx.ModelProto:
    """The model with floats in place of its quantised inputs, in their steps, and floats made of its results."""
    graph = model.graph
    integers = [i for i in graph.input if i.name in wrt and i.type.tensor_type.elem_type != TensorProto.FLOAT]
    graph.initializer.append(numpy_helper.from_array(np.array(1, np.float32), "one"))
    before = []
    for value in integers:
        dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        graph.initializer.append(numpy_helper.from_array(np.array(0, dtype), f"{value.name}/zero"))
        before.append(
            helper.make_node("QuantizeLinear", [value.name, "one", f"{value.name}/zero"], [f"{value.name}/q"])
        )
        value.type.tensor_type.elem_type = TensorProto.FLOAT
    names = {value.name: f"{value.name}/q" for value in integers}
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
    wide = [as_float(y, a) for y, a in results.items()]
    del graph.output[:]
    graph.output.extend(typed(f"{y}/float", a.astype(np.float32)) for y, a in results.items())
    nodes = [*before, *graph.node, *wide]
    del graph.node[:]
    graph.node.extend(nodes)
    return model


def as_float(y: str, a: np.ndarray) -> onnx.NodeProto:
    """The node that makes floats of a result."""
    if a.dtype.itemsize == 1:
        return helper.make_node("DequantizeLinear", [y, "one"], [f"{y}/float"])
    return helper.make_node("Cast", [y], [f"{y}/float"], to=TensorProto.FLOAT)


def quantised(x: np.ndarray) -> bool:
    return x.ndim > 1 and x.dtype in (np.int8, np.uint8)


def moved(x: np.ndarray, by: np.ndarray) -> np.ndarray:
    return (x + np.rint(by)).astype(x.dtype) if quantised(x) else np.asarray(x + by, np.float32)


def random(name: str, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(zlib.crc32(name.encode())).normal(size=shape).astype(np.float32)


def feeds_of(one: Case) -> dict[str, np.ndarray]:
    given = {f"x{i}": x for i, x in enumerate(one.inputs) if x is not None and i not in one.constant}
    return {name: np.asarray(x) for name, x in given.items()}


def computed(op: str, one: Case, **moved: np.ndarray) -> dict[str, np.ndarray]:
    """The results of the operator itself, by ONNX Runtime or by the formula."""
    if one.formula:
        given = [moved.get(f"x{i}", x) for i, x in enumerate(one.inputs) if x is not None]
        made = one.formula(*given)
        results = made if isinstance(made, tuple) else (made,)
        return {f"y{k}": y if y.dtype == np.uint8 else y.astype(np.float32) for k, y in enumerate(results)}
    names = [f"y{k}" for k in range(one.outputs)]
    return dict(zip(names, plain.values(model_of(op, one, {}), names, {**feeds_of(one), **moved}), strict=True))


def model_of(op: str, one: Case, results: Feeds) -> onnx.ModelProto:
    """The node alone; its outputs typed where the results are known."""
    name = op.rpartition(".")[2]
    names = ["" if x is None else f"x{i}" for i, x in enumerate(one.inputs)]
    while not names[-1]:
        names.pop()
    node = helper.make_node(name, names, [f"y{k}" for k in range(one.outputs)], domain=one.domain, **one.attributes)
    held = [numpy_helper.from_array(np.asarray(one.inputs[i]), f"x{i}") for i in one.constant]
    inputs = [typed(i, x) for i, x in feeds_of(one).items()]
    outputs = [typed(y, a) for y, a in results.items()] or [onnx.ValueInfoProto(name=y) for y in node.output]
    graph = helper.make_graph([node], "node", inputs, outputs, held)
    standard = OPSETS.get(name, 21 if one.domain or op == name else OLD)
    opsets = [helper.make_opsetid("", standard), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def typed(name: str, a: np.ndarray) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
