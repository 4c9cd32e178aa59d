"""Small networks with branches and loops in them, in double precision: text, feeds, and what has a gradient.

A shape among the feeds is filled at random; `c` of a branch is fed by the test.
"""

from typing import Any

import numpy as np

Network = tuple[str, dict[str, Any], list[str]]

BRANCHES: dict[str, Network] = {
    "a tensor each": (
        """(double[2,3] x, double[2,3] w, bool c) => (double[2,3] y) {
            y = If(c) <then_branch = t () => (double[2,3] a) { s = Exp(x) a = Mul(s, x) },
                       else_branch = e () => (double[2,3] b) { b = Mul(x, w) }> }""",
        {"x": (2, 3), "w": (2, 3)},
        ["x", "w"],
    ),
    "two outputs, one of them from around": (
        """(double[2,3] x, double[3,2] w, bool c) => (double[2,2] y, double[2,3] z) {
            h = Sin(x)
            y, z = If(c) <then_branch = t () => (double[2,2] a, double[2,3] k) { a = MatMul(h, w) k = Identity(h) },
                          else_branch = e () => (double[2,2] b, double[2,3] l) {
                              g = Tanh(h) b = MatMul(g, w) l = Mul(g, g) }> }""",
        {"x": (2, 3), "w": (3, 2)},
        ["x", "w"],
    ),
    "one in the other": (
        """(double[2,3] x, bool c) => (double[2,3] y) {
            d = Not(c)
            y = If(c) <then_branch = t () => (double[2,3] a) {
                    i = Exp(x)
                    a = If(d) <then_branch = tt () => (double[2,3] aa) { aa = Identity(i) },
                               else_branch = te () => (double[2,3] ab) { ab = Mul(i, x) }> },
                else_branch = e () => (double[2,3] b) { m = Neg(x) b = Mul(m, x) }> }""",
        {"x": (2, 3)},
        ["x"],
    ),
    "a condition that depends on the values, a shape that depends on the branch": (
        """(double[2,3] x, bool c) => (double[N,3] y) {
            zero = Constant<value = double {0.0}>() total = ReduceSum<keepdims = 0>(x) p = Greater(total, zero)
            q = Xor(p, c)
            y = If(q) <then_branch = t () => (double[4,3] a) { a = Concat<axis = 0>(x, x) },
                       else_branch = e () => (double[2,3] b) { b = Mul(x, x) }> }""",
        {"x": (2, 3)},
        ["x"],
    ),
}
SCANS: dict[str, Network] = {
    "a state and what it was": (
        """(double[2] s, double[4,2] x, double[2,2] w) => (double[2] y, double[4,2] z) {
            y, z = Scan(s, x) <num_scan_inputs = 1, body = b (double[2] a, double[2] p) => (double[2] c, double[2] d) {
                m = MatMul(a, w) t = Add(m, p) c = Tanh(t) d = Mul(c, a) }> }""",
        {"s": (2,), "x": (4, 2), "w": (2, 2)},
        ["s", "x", "w"],
    ),
    "directions and axes of two states and two streams": (
        """(double[2] s, double[2] r, double[2,4] x, double[4,2] v)
            => (double[2] y, double[2] u, double[2,4] z, double[4,2] o) {
            y, u, z, o = Scan(s, r, x, v) <num_scan_inputs = 2, scan_input_axes = [1, 0],
                scan_input_directions = [1, 0], scan_output_axes = [-1, 0], scan_output_directions = [0, 1],
                body = b (double[2] a, double[2] k, double[2] p, double[2] q)
                    => (double[2] c, double[2] l, double[2] d, double[2] e) {
                    m = Mul(a, p) c = Add(m, k) l = Sin(q) n = Mul(l, c) d = Exp(n) e = Identity(p) }> }""",
        {"s": (2,), "r": (2,), "x": (2, 4), "v": (4, 2)},
        ["s", "r", "x", "v"],
    ),
    "linear, so that no turn needs what it was": (
        """(double[2] s, double[4,2] x, double[2] w) => (double[2] y) {
            y = Scan(s, x) <num_scan_inputs = 1, body = b (double[2] a, double[2] p) => (double[2] c) {
                m = Mul(a, w) c = Add(m, p) }> }""",
        {"s": (2,), "x": (4, 2), "w": (2,)},
        ["s"],
    ),
    "no state": (
        """(double[4,2] x, double[2] w) => (double[4,2] z) {
            z = Scan(x) <num_scan_inputs = 1, body = b (double[2] p) => (double[2] d) {
                m = Mul(p, w) d = Exp(m) }> }""",
        {"x": (4, 2), "w": (2,)},
        ["x", "w"],
    ),
    "what is read in both directions and captured too": (
        """(double[2] s, double[4,2] x) => (double[2] y) {
            y = Scan(s, x, x) <num_scan_inputs = 2, scan_input_directions = [0, 1],
                body = b (double[2] a, double[2] p, double[2] q) => (double[2] c) {
                m = Mul(p, q) k = Mul(m, a) l = Mul(k, s) c = Sin(l) }> }""",
        {"s": (2,), "x": (4, 2)},
        ["s", "x"],
    ),
    "free sizes, a Scan in a Scan, with an If in it": (
        """(double[N] s, double[T,K,N] x, double[N] w) => (double[N] y) {
            y = Scan(s, x) <num_scan_inputs = 1, body = b (double[N] a, double[K,N] p) => (double[N] c) {
                c = Scan(a, p) <num_scan_inputs = 1, body = i (double[N] e, double[N] f) => (double[N] g) {
                    zero = Constant<value = double {0.0}>() t = ReduceSum<keepdims = 0>(f) q = Less(t, zero)
                    h = If(q) <then_branch = tt () => (double[N] j) { k = Mul(e, w) j = Add(k, f) },
                               else_branch = te () => (double[N] l) { l = Mul(e, f) }>
                    g = Sin(h) }> }> }""",
        {"s": (2,), "x": (3, 2, 2), "w": (2,)},
        ["s", "x", "w"],
    ),
}
LOOP = """(double[2,2] x, double[2,2] w, int64 n, bool c) => (double[2,2] y, double[T,2] z) {
    y, z = Loop(n, c, x) <body = b (int64 i, bool g, double[2,2] a) => (bool h, double[2,2] d, double[2] e) {
        f = Cast<to = 11>(i) k = MatMul(a, w) m = Add(k, f) d = Sin(m) h = Identity(g)
        one = Constant<value_ints = [1]>() e = ReduceSum<keepdims = 0>(d, one) }> }"""
LOOPS: dict[str, Network] = {
    "three turns": (LOOP, {"x": (2, 2), "w": (2, 2), "n": np.array(3), "c": np.array(True)}, ["x", "w"]),
    "one turn": (LOOP, {"x": (2, 2), "w": (2, 2), "n": np.array(1), "c": np.array(True)}, ["x", "w"]),
    "until the values say so": (
        """(double[2] x, double[2] w) => (double[2] y) {
            limit = Constant<value = double {20.0}>() n = Constant<value = int64 {100}>()
            c = Constant<value = bool {1}>()
            y = Loop(n, c, x) <body = b (int64 i, bool g, double[2] a) => (bool h, double[2] d) {
                k = Mul(a, a) m = Exp(w) d = Add(k, m) t = ReduceSum<keepdims = 0>(d) h = Less(t, limit) }> }""",
        {"x": np.array([0.5, 1.5]), "w": np.array([0.3, -0.2])},
        ["x", "w"],
    ),
    "no number of turns, only a condition": (
        """(double x, double w) => (double y) {
            limit = Constant<value = double {9.0}>() c = Constant<value = bool {1}>()
            y = Loop("", c, x) <body = b (int64 i, bool g, double a) => (bool h, double d) {
                d = Mul(a, w) h = Less(d, limit) }> }""",
        {"x": np.array(1.1), "w": np.array(1.7)},
        ["x", "w"],
    ),
    "no state, only what each turn tells": (
        """(double[2] x) => (double[T,2] z) {
            n = Constant<value = int64 {3}>()
            z = Loop(n, "") <body = b (int64 i, bool g) => (bool h, double[2] e) {
                h = Identity(g) f = Cast<to = 11>(i) k = Sin(x) e = Mul(k, f) }> }""",
        {"x": (2,)},
        ["x"],
    ),
    "states that cross, one of whole numbers": (
        """(double[2] x, double[2] v) => (double[2] y) {
            n = Constant<value = int64 {4}>()
            y, o, p = Loop(n, "", x, v, n) <body = b (int64 i, bool g, double[2] a, double[2] d, int64 k)
                => (bool h, double[2] e, double[2] f, int64 l) {
                h = Identity(g) e = Identity(d) c = Cast<to = 11>(k) m = Mul(a, c) f = Sin(m) l = Add(k, i) }> }""",
        {"x": (2,), "v": (2,)},
        ["x", "v"],
    ),
    "a state whose shape only its first value tells": (
        """(double[N,M] x) => (double[N,M] y) {
            n = Constant<value = int64 {3}>()
            y = Loop(n, "", x) <body = b (int64 i, bool g, a) => (bool h, e) {
                h = Identity(g) s = Softmax(a) e = Mul(s, x) }> }""",
        {"x": (2, 3)},
        ["x"],
    ),
    "a state that grows, a known number of turns": (
        """(double[1,2] x, double[2] w) => (double[N,2] y, double[3,2] z) {
            n = Constant<value = int64 {3}>() c = Constant<value = bool {1}>()
            y, z = Loop(n, c, x) <body = b (int64 i, bool g, a) => (bool h, d, e) {
                k = Mul(a, w) d = Concat<axis = 0>(a, k) h = Identity(g)
                zero = Constant<value_ints = [0]>() e = ReduceSum<keepdims = 0>(d, zero) }> }""",
        {"x": (1, 2), "w": (2,)},
        ["x", "w"],
    ),
    "a Loop in a Loop, the inner one as long as the outer has turned": (
        """(double[2] x, double[2] w) => (double[2] y) {
            n = Constant<value = int64 {3}>() c = Constant<value = bool {1}>()
            y = Loop(n, c, x) <body = b (int64 i, bool g, double[2] a) => (bool h, double[2] d) {
                h = Identity(g)
                d = Loop(i, g, a) <body = bb (int64 j, bool gg, double[2] aa) => (bool hh, double[2] dd) {
                    hh = Identity(gg) k = Mul(aa, w) dd = Sin(k) }> }> }""",
        {"x": (2,), "w": (2,)},
        ["x", "w"],
    ),
}
