"""Where numbers are rounded the gradient passes straight through, and ends where they are cut off."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from backlit_server.graph import differentiate
from written import model, run

BOUNDS = {"zero": np.float32(0), "six": np.float32(6)}


def test_masks_are_exact_to_the_last_bit_beside_a_kink() -> None:
    net = model("(float[N] x) => (float[N] y) { a = Relu(x)  y = Clip(a, zero, six) }", **BOUNDS)
    six = np.float32(6)
    x = np.array([-1e-37, 0, 1.2e-38, 3, np.nextafter(six, np.float32(0)), 6, np.nextafter(six, np.float32(7))])
    got = run(differentiate(net, ["y"], ["x"]), x=x.astype(np.float32), **{"grad/y": np.full(7, 0.3, np.float32)})
    assert np.array_equal(got["grad/x"], np.array([0, 0, 0.3, 0.3, 0.3, 0, 0], np.float32))


def test_quantised_tensors_pass_the_gradient_within_their_range() -> None:
    text = """(float[N] x) => (float[N] y) {
        a = QuantizeLinear(x, scale, zero)  b = Transpose(a)  y = DequantizeLinear(b, scale, zero) }"""
    net = model(text, scale=np.float32(0.5), zero=np.int8(10))
    x = np.array([-100, -69, -68.5, 0.2, 58, 58.5, 100], np.float32)
    got = run(differentiate(net, ["y"], ["x"]), x=x, **{"grad/y": np.full(7, 3, np.float32)})
    assert np.array_equal(got["grad/x"], np.array([0, 0, 3, 3, 3, 0, 0], np.float32))


ROUNDED_TO = {
    "INT2": -2, "UINT2": 3, "INT4": 7, "UINT4": 15, "INT8": 127, "UINT8": 255, "INT16": 32767, "UINT16": 65535,
    "FLOAT8E4M3FN": 448, "FLOAT8E5M2": 57344,
}  # fmt: skip


@pytest.mark.parametrize("sizes", [(), (2,), (2, 2)], ids=["a tensor", "an axis", "blocks"])
@pytest.mark.parametrize("name", ROUNDED_TO)
def test_whatever_numbers_are_rounded_to_the_gradient_ends_where_they_are_cut_off(name: str, sizes: tuple[int, ...]):
    dtype = getattr(onnx.TensorProto, name)
    wide: dict[str, Any] = ({}, {"axis": 0}, {"axis": 1, "block_size": 2})[len(sizes)]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], **wide),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"], **wide),
    ]
    count = int(np.prod(sizes))
    held = [
        helper.make_tensor("scale", onnx.TensorProto.FLOAT, sizes, [0.5] * count),
        helper.make_tensor("zero", dtype, sizes, [0] * count),
    ]
    typed = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [2, 4]) for n in "xy"]
    graph = helper.make_graph(nodes, "g", typed[:1], typed[1:], held)
    net = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 25)], ir_version=13)
    inside, outside = -0.5 if ROUNDED_TO[name] < 0 else 0.5, ROUNDED_TO[name] * 0.8
    x = np.array([[inside, inside, outside, inside], [outside, inside, inside, outside]], np.float32)
    got = run(differentiate(net, ["y"], ["x"]), x=x, **{"grad/y": np.full((2, 4), 3, np.float32)})
    assert np.array_equal(got["grad/x"], np.where(x == inside, 3, 0))


def test_half_precision_sums_in_single() -> None:
    net = model(
        "(float16[1,1,4,4] x) => (float16[1,1,2,2] y) { y = Slice(x, start, end, axes, steps) }",
        start=np.array([3, 3]),
        end=np.array([-9, -9]),
        axes=np.array([2, 3]),
        steps=np.array([-2, -2]),
    )
    x, g = np.zeros((1, 1, 4, 4), np.float16), np.arange(4, dtype=np.float16).reshape(1, 1, 2, 2)
    got = run(differentiate(net, ["y"], ["x"]), x=x, **{"grad/y": g})["grad/x"]
    assert got.dtype == np.float16
    assert np.array_equal(got[0, 0, 3::-2, 3::-2], g[0, 0])
