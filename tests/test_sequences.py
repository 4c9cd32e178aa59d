"""Sequences and optionals that can be told apart beforehand: the same values without them, and their slopes."""

import numpy as np
import pytest
from onnx import helper, parser

import plain
from backlit_proto.errors import NotDifferentiable
from backlit_server.graph import canonical, differentiate
from slopes import assert_slopes, random

HEADER = '<ir_version: 10, opset_import: ["" : 21]> net '
IN, ONE = "(double[2,3] a, double[2,3] b) => ", "(double[2,3] a) => "

# what lies between two inputs and `y`
CASES: dict[str, str] = {
    "constructed, read from the front and the back": IN
    + """(double[2,3] y) {
        s = SequenceConstruct(a, b)  zero = Constant<value = int64 {0}>()  last = Constant<value = int64 {-1}>()
        p = SequenceAt(s, zero)  q = SequenceAt(s, last)  e = Exp(p)  y = Mul(e, q) }""",
    "inserted and erased": IN
    + """(double[2,3] y) {
        one = Constant<value = int64 {1}>()  zero = Constant<value = int64 {0}>()
        s = SequenceEmpty<dtype = 11>()  t = SequenceInsert(s, a)  u = SequenceInsert(t, b, zero)  e = Sin(b)
        v = SequenceInsert(u, e)  w = SequenceErase(v, one)  x = Identity(w)  z = SequenceErase(x)
        y = SequenceAt(w, one) }""",
    "stacked": IN
    + """(double[2,3] y, double[2,6] z, double[2,2,3] o) {
        y = Mul(a, b)  s = SequenceConstruct(a, y)  z = ConcatFromSequence<axis = 1>(s)
        o = ConcatFromSequence<axis = -2, new_axis = 1>(s) }""",
    "counted": ONE
    + """(double[2,3] y) {
        s = SequenceConstruct(a, a, a)  n = SequenceLength(s)  f = Cast<to = 11>(n)  y = Mul(a, f) }""",
    "split one by one": ONE
    + """(double[2] y) {
        s = SplitToSequence<axis = 1, keepdims = 0>(a)  one = Constant<value = int64 {1}>()  p = SequenceAt(s, one)
        y = Mul(p, p) }""",
    "split by a length": ONE
    + """(double[2,1] y) {
        two = Constant<value = int64 {2}>()  one = Constant<value = int64 {1}>()
        s = SplitToSequence<axis = -1>(a, two)  p = SequenceAt(s, one)  y = Exp(p) }""",
    "split by lengths": ONE
    + """(double[2,2] y) {
        l = Constant<value_ints = [1, 2]>()  one = Constant<value = int64 {1}>()
        s = SplitToSequence<axis = 1>(a, l)  p = SequenceAt(s, one)  y = Exp(p) }""",
    "mapped": IN
    + """(double[4,3] y) {
        s = SequenceConstruct(a, b)
        t = SequenceMap(s, a) <body = m (double[2,3] p, double[2,3] q) => (double[2,3] r) { e = Exp(p) r = Mul(e, q) }>
        y = ConcatFromSequence<axis = 0>(t) }""",
    "filled by a loop": IN
    + """(double[6,3] y) {
        n = Constant<value = int64 {3}>()  c = Constant<value = bool {1}>()  s = SequenceEmpty<dtype = 11>()
        last, t = Loop(n, c, a, s) <body = l (int64 i, bool g, double[2,3] p, seq(double[2,3]) q)
            => (bool h, double[2,3] r, seq(double[2,3]) u) {
            h = Identity(g)  f = Cast<to = 11>(i)  k = Mul(p, b)  r = Add(k, f)  u = SequenceInsert(q, r) }>
        y = ConcatFromSequence<axis = 0>(t) }""",
    "read by a loop": IN
    + """(double[2,3] y) {
        c = Constant<value = bool {1}>()  s = SequenceConstruct(a, b, a)  n = SequenceLength(s)
        y = Loop(n, c, b) <body = l (int64 i, bool g, double[2,3] p) => (bool h, double[2,3] r) {
            h = Identity(g)  x = SequenceAt(s, i)  e = Sin(x)  r = Mul(p, e) }> }""",
    "in a branch": IN
    + """(double[2,3] y) {
        zero = Constant<value = double {0.0}>()  m = ReduceSum<keepdims = 0>(a)  c = Greater(m, zero)
        one = Constant<value = int64 {1}>()
        y = If(c) <then_branch = t () => (double[2,3] p) { s = SequenceConstruct(a, b)  e = SequenceAt(s, one)
                p = Mul(e, a) },
            else_branch = f () => (double[2,3] q) { q = Mul(a, a) }> }""",
    "optional": IN
    + """(double[2,3] y) {
        o = Optional(a)  p = OptionalGetElement(o)  q = OptionalGetElement(b)  there = OptionalHasElement(o)
        y = If(there) <then_branch = t () => (double[2,3] r) { r = Mul(p, q) },
                       else_branch = f () => (double[2,3] n) { n = Neg(p) }> }""",
}


@pytest.mark.parametrize("name", CASES)
def test_what_goes_through_a_sequence_has_its_slope(name: str) -> None:
    net = parser.parse_model(HEADER + CASES[name])
    feeds = {i.name: random(i.name, (2, 3)) for i in net.graph.input}
    assert not any("Sequence" in node.op_type or "Optional" in node.op_type for node in canonical(net).graph.node)
    assert_slopes(net, list(feeds), feeds)


def test_an_optional_input_has_the_gradient_of_what_it_holds() -> None:
    inside = helper.make_tensor_type_proto(1, [2])
    given = helper.make_value_info("x", helper.make_optional_type_proto(inside))
    nodes = [helper.make_node("OptionalGetElement", ["x"], ["h"]), helper.make_node("Mul", ["h", "h"], ["y"])]
    graph = helper.make_graph(nodes, "net", [given], [helper.make_tensor_value_info("y", 1, [2])])
    made = differentiate(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), ["y"], ["x"]
    )
    x, g = np.array([1, -3], np.float32), np.array([2, 1], np.float32)
    np.testing.assert_array_equal(plain.values(made, ["grad/x"], {"x": x, "grad/y": g})[0], 2 * x * g)


def test_a_sequence_that_only_the_run_knows_is_refused_by_name() -> None:
    net = parser.parse_model(
        HEADER
        + """(double[2,3] a, int64 n) => (double[2,3] y) {
        [parts] s = SequenceConstruct(a, a)  [pick] p = SequenceAt(s, n)  y = Exp(p) }"""
    )
    with pytest.raises(NotDifferentiable, match=r"SequenceConstruct \(parts\).*SequenceAt \(pick\)"):
        differentiate(net, ["y"], ["a"])
