"""Gradients through If, Scan and Loop beside differences in double precision; what cannot be turned back is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

import plain
from backlit_proto.errors import BadQuestion, NotDifferentiable
from backlit_server.graph import canonical, differentiate
from backlit_server.graph.vjp import VJPS
from control_cases import BRANCHES, LOOP, LOOPS, SCANS
from slopes import assert_slopes, random
from written import model

YES, NO = np.array(True), np.array(False)


def filled(feeds: dict[str, Any]) -> dict[str, np.ndarray]:
    return {name: random(name, value) if isinstance(value, tuple) else value for name, value in feeds.items()}


@pytest.mark.parametrize("condition", [YES, NO], ids=["then", "else"])
@pytest.mark.parametrize("name", BRANCHES)
def test_the_gradient_takes_the_branch_that_was_taken(name: str, condition: np.ndarray) -> None:
    text, feeds, wrt = BRANCHES[name]
    assert_slopes(model(text), wrt, {**filled(feeds), "c": condition})


@pytest.mark.parametrize("name", SCANS)
def test_a_scan_is_turned_back(name: str) -> None:
    text, feeds, wrt = SCANS[name]
    for x in wrt:  # alone too, for then fewer states are carried
        assert_slopes(model(text), [x], filled(feeds))
    assert_slopes(model(text), wrt, filled(feeds))


@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_is_turned_back(name: str) -> None:
    text, feeds, wrt = LOOPS[name]
    assert_slopes(model(text), wrt, filled(feeds))


def test_a_loop_that_does_not_turn_passes_the_gradient_on() -> None:
    made = differentiate(model(LOOP), ["y"], ["x", "w"])
    x, g = random("x", (2, 2)), random("g", (2, 2))
    feeds = {"x": x, "w": x, "n": np.array(0), "c": YES, "grad/y": g}
    got = plain.values(made, ["grad/x", "grad/w"], feeds)
    np.testing.assert_array_equal(got[0], g)
    np.testing.assert_array_equal(got[1], np.zeros((2, 2)))


def test_a_gradient_through_a_scan_can_be_differentiated_again() -> None:
    text, feeds, _ = SCANS["a state and what it was"]
    once = differentiate(model(text), ["y"], ["x"])
    del once.graph.output[:2]
    assert_slopes(once, ["s", "grad/y"], {**filled(feeds), "grad/y": random("g", (2,))})


def test_a_scan_of_opset_8_has_a_batch_axis() -> None:
    net = parser.parse_model("""<ir_version: 4, opset_import: ["" : 8]>
        net (float[3,2] s, float[3,4,2] x) => (float[3,2] y, float[3,4,2] z) {
            y, z = Scan("", s, x) <num_scan_inputs = 1, directions = [1],
                body = b (float[2] a, float[2] p) => (float[2] c, float[2] d) { c = Mul(a, p) d = Exp(c) }> }""")
    feeds = {"s": random("s", (3, 2)).astype(np.float32), "x": random("x", (3, 4, 2)).astype(np.float32)}
    assert_slopes(net, ["s", "x"], feeds, step=1e-3, tolerance=1e-3)


def test_a_variant_of_the_table_holds_in_bodies_too() -> None:
    net = model("""(double[2] x, double[3,2] s) => (double[2] y) {
        y = Scan(x, s) <num_scan_inputs = 1, body = b (double[2] a, double[2] p) => (double[2] c) {
            m = Mul(a, p) c = Relu(m) }> }""")
    doubled = {**VJPS, "Relu": lambda g, y, x: np.where(y > 0, 2 * g, 0)}
    feeds = {"x": np.ones(2), "s": np.array([[1, 2], [3, 4], [5, -6]], float), "grad/y": np.ones(2)}
    got = plain.values(differentiate(net, ["y"], ["x"], doubled), ["grad/x"], feeds)[0]
    np.testing.assert_array_equal(got, [8 * 15, 0])


def test_a_tensor_in_a_body_is_none_of_the_model() -> None:
    text, _, _ = SCANS["a state and what it was"]
    with pytest.raises(BadQuestion, match="no tensor 'm'"):
        differentiate(model(text), ["y"], ["m"])


def test_a_branch_that_is_known_takes_the_place_of_its_if() -> None:
    net = model("""(float[2,3] x) => (float[2,3] y) {
        n = Size(x)  six = Constant<value = int64 {6}>()  c = Equal(n, six)
        y = If(c) <then_branch = t () => (float[2,3] a) { h = Exp(x) a = Mul(h, h) },
                   else_branch = e () => (float[2,3] b) { b = Multinomial(x) }> }""")
    assert [node.op_type for node in canonical(net).graph.node] == ["Exp", "Mul", "Identity"]


def test_constants_of_bodies_are_weights_of_the_model() -> None:
    net = model("""(double[2] x, bool c) => (double[2] y) {
        y = If(c) <
            then_branch = t () => (double[2] a) { k = Constant<value = double[2] {1.0, 2.0}>() a = Mul(x, k) },
            else_branch = e () => (double[2] b) { k = Constant<value = double[2] {3.0, 4.0}>() b = Mul(x, k) }> }""")
    made = canonical(net)
    assert sorted(numpy_helper.to_array(t).tolist() for t in made.graph.initializer) == [[1, 2], [3, 4]]
    assert plain.values(made, ["y"], {"x": np.ones(2), "c": NO})[0].tolist() == [3, 4]


def test_every_node_in_the_way_is_named_those_in_bodies_too() -> None:
    net = model("""(double[2] x, double[4,2] s, bool c) => (double[2] y) {
        [first] h = Exp(x)
        [turns] k, z = Scan(h, s) <num_scan_inputs = 1, body = b (double[2] a, double[2] p)
            => (double[2] d, double[2] e) { [inner] d = Exp(a) e = Sin(p) }>
        [choice] y = If(c) <then_branch = t () => (double[2] l) { [left] l = Sin(k) },
            else_branch = q () => (double[2] r) { [right] r = Exp(k) }> }""")
    rules = {op: rule for op, rule in VJPS.items() if op != "Exp"}
    with pytest.raises(NotDifferentiable) as refused:
        differentiate(net, ["y"], ["x"], rules)
    assert refused.value.details == {"ops": "Exp", "nodes": "first, choice/right, turns/inner"}
    for word in ("turns/inner", "choice/right", "first", "x -> first -> turns -> choice -> y", "Ask for"):
        assert word in refused.value.message


def test_what_is_not_on_the_path_blocks_nothing() -> None:
    net = model("""(double[2] x, double[4,2] s) => (double[2] y, double[4,2] z) {
        y, o, z = Scan(x, x, s) <num_scan_inputs = 1, body = b (double[2] a, double[2] k, double[2] p)
            => (double[2] d, double[2] l, double[2] e) { d = Sin(a) l = Exp(k) e = Exp(p) }> }""")
    rules = {op: rule for op, rule in VJPS.items() if op != "Exp"}
    made = differentiate(net, ["y"], ["x"], rules)
    feeds = {"x": np.array([0.5, 1.0]), "s": np.zeros((4, 2)), "grad/y": np.ones(2)}
    assert plain.values(made, ["grad/x"], feeds)[0].shape == (2,)


def test_a_state_that_grows_in_a_loop_of_unknown_length_is_refused() -> None:
    net = model("""(double[1,2] x, int64 n, bool c) => (double[N,2] y) {
        [grows] y = Loop(n, c, x) <body = b (int64 i, bool g, a) => (bool h, d) {
            d = Concat<axis = 0>(a, a) h = Identity(g) }> }""")
    with pytest.raises(NotDifferentiable, match=r"Loop \(grows\): the state 'a' may change its shape.*fixed number"):
        differentiate(net, ["y"], ["x"])


def test_fused_operators_in_bodies_are_written_in_standard_ones() -> None:
    net = parser.parse_model("""<ir_version: 10, opset_import: ["" : 21, "com.microsoft" : 1]>
        net (float[2,3] x, bool c) => (float[2,3] y) {
            y = If(c) <then_branch = t () => (float[2,3] a) { a = com.microsoft.QuickGelu<alpha = 1.5>(x) },
                       else_branch = e () => (float[2,3] b) { b = Neg(x) }> }""")
    made = assert_slopes(net, ["x"], {"x": random("x", (2, 3)).astype(np.float32), "c": YES}, step=1e-2, tolerance=1e-3)
    assert not any(node.domain for branch in made.graph.node[0].attribute for node in branch.g.node)


@pytest.mark.parametrize("rate", [16000, 8000])
def test_a_network_that_lies_whole_in_two_branches_has_its_slopes(shared: Path, rate: int) -> None:
    """Voice activity: an If on the sampling rate, in each branch convolutions, an LSTM, and further Ifs on shapes."""
    net = onnx.load(shared / "models" / "silero-vad.onnx")
    samples = 576 if rate == 16000 else 288
    sound = {"input": 0.1 * random("input", (1, samples)), "state": 0.1 * random("state", (2, 1, 128))}
    feeds = {**{name: a.astype(np.float32) for name, a in sound.items()}, "sr": np.array(rate)}
    assert_slopes(net, ["input", "state"], feeds, step=3e-5, tolerance=1e-3)


def test_functions_in_functions_with_branches_and_loops_in_them_are_passed() -> None:
    net = parser.parse_model("""
        <ir_version: 10, opset_import: ["" : 21, "one" : 1, "two" : 1]>
        net (double[2] x, double[2] w, bool c) => (double[2] y) { h = one.Choice<times = 3>(x, w, c)  y = two.Wave(h) }
        <domain: "one", opset_import: ["" : 21, "two" : 1]>
        Choice <times> (x, w, c) => (y) {
            n = Constant<value_int: int = @times>()
            y = If(c) <then_branch = t () => (a) { v = two.Wave(x)  a = Mul(v, w) },
                       else_branch = e () => (b) {
                           b = Loop(n, c, x) <body = l (int64 i, bool g, p) => (h, q) {
                               h = Identity(g)  v = two.Wave(p)  q = Mul(v, w) }> }> }
        <domain: "two", opset_import: ["" : 21]>
        Wave (x) => (y) { y = Sin(x) }""")
    feeds = {"x": random("x", (2,)), "w": random("w", (2,))}
    for condition in (YES, NO):
        assert_slopes(net, ["x", "w"], {**feeds, "c": condition})
