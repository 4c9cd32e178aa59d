"""The walk: what it adds to a graph, what it leaves alone, and whose gradients it gives."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from backlit_server.graph import differentiate
from backlit_server.graph.vjp import VJPS
from written import model, run


def added(made: onnx.ModelProto) -> list[str]:
    """The operators that were added."""
    return sorted(node.op_type for node in made.graph.node if node.name.startswith("grad/"))


RELU = "(float[N,3] x) => (float[N,3] y) { y = Relu(x) }"
X = np.array([[1, -2, 3], [-4, 5, -6]], np.float32)
G = np.array([[1, 1, -1], [1, 2, 3]], np.float32)


def test_the_faces_of_the_model_stay_and_gradients_are_added() -> None:
    made = differentiate(model(RELU), ["y"], ["x"])
    assert [i.name for i in made.graph.input] == ["x", "grad/y"]
    assert [o.name for o in made.graph.output] == ["y", "grad/x"]
    assert made.graph.input[1].type == made.graph.output[0].type
    got = run(made, x=X, **{"grad/y": G})
    assert np.array_equal(got["y"], np.maximum(X, 0))
    assert np.array_equal(got["grad/x"], G * (X > 0))


def test_the_given_model_is_not_changed() -> None:
    given = model(RELU)
    before = given.SerializeToString()
    differentiate(given, ["y"], ["x"])
    assert given.SerializeToString() == before


def test_a_variant_is_the_table_plus_a_row() -> None:
    guided = {**VJPS, "Relu": lambda g, y, x: np.where((y > 0) & (g > 0), g, 0)}
    got = run(differentiate(model(RELU), ["y"], ["x"], guided), x=X, **{"grad/y": G})
    assert np.array_equal(got["grad/x"], G * (X > 0) * (G > 0))


def test_inner_tensors_can_be_asked_for_and_asked_about() -> None:
    net = model("(float[2,3] x) => (float[2,3] y) { h = Exp(x)  k = Mul(h, h)  y = Neg(k) }")
    got = run(differentiate(net, ["k"], ["h", "x"]), x=X, **{"grad/k": G})
    assert np.allclose(got["k"], np.exp(2 * X))
    assert np.allclose(got["grad/h"], G * 2 * np.exp(X))
    assert np.allclose(got["grad/x"], G * 2 * np.exp(2 * X))


def test_what_is_the_same_in_every_run_can_be_asked_for() -> None:
    four = np.array([4], np.float32)
    net = model("(float[2,3] x) => (float[2,3] y) { a = Sqrt(four)  b = Exp(a)  y = Mul(x, b) }", four=four)
    got = run(differentiate(net, ["y"], ["a"]), x=X, **{"grad/y": G})
    assert np.allclose(got["grad/a"], (G * X).sum() * np.exp(2))


def test_what_is_reduced_over_axes_of_the_run_can_be_asked_for() -> None:
    net = model("""(float[2,3] x, int64[1] axes) => (float[K] y) {
        a = ReduceSum<keepdims=0>(x, axes)  b = Squeeze(c, axes)  c = ReduceMax(x, axes)  y = Mul(a, b) }""")
    g = np.array([2, 3], np.float32)
    got = run(differentiate(net, ["y"], ["a", "c", "x"]), x=X, axes=np.array([1]), **{"grad/y": g})
    assert np.allclose(got["grad/a"], [6, 15])
    assert np.allclose(got["grad/c"], [[4], [-15]])
    assert np.allclose(got["grad/x"], [[6, 6, 6 + 4], [15, 15 - 15, 15]])


def test_weights_have_gradients_too() -> None:
    net = model("(float[2,3] x) => (float[2,4] y) { y = MatMul(x, w) }", w=np.ones((3, 4), np.float32))
    got = run(differentiate(net, ["y"], ["w"]), x=X, **{"grad/y": np.ones((2, 4), np.float32)})
    assert np.allclose(got["grad/w"], X.sum(0)[:, None].repeat(4, 1))


def test_several_readers_are_added_in_one_sum() -> None:
    net = model("(float[2,3] x) => (float[2,3] y) { a = Exp(x)  b = Sin(x)  c = Neg(x)  y = Sum(a, b, c) }")
    made = differentiate(net, ["y"], ["x"])
    assert added(made).count("Sum") == 1
    got = run(made, x=X, **{"grad/y": G})
    assert np.allclose(got["grad/x"], G * (np.exp(X) + np.cos(X) - 1), atol=1e-5)


def test_a_tensor_that_is_used_twice_by_one_node_counts_twice() -> None:
    net = model("(float[2,3] x) => (float[2,3] y) { y = Mul(x, x) }")
    assert np.allclose(run(differentiate(net, ["y"], ["x"]), x=X, **{"grad/y": G})["grad/x"], 2 * G * X)


def test_nodes_off_the_path_add_nothing() -> None:
    text = "(float[2,3] x, float[2,3] z) => (float[2,3] y) { a = NonZero(z)  b = Exp(z)  c = Relu(x)  y = Add(c, b) }"
    net = model(text)
    assert added(differentiate(net, ["y"], ["x"])) == ["HardSigmoid", "Identity", "Mul"]


def test_known_shapes_leave_no_shape_arithmetic() -> None:
    text = """(float[2,3] x, float[4,1] z) => (float[1,4,3] y) {
        a = ReduceMean<keepdims=1>(x)  b = Reshape(x, shape)  c = Add(b, a)  d = Slice(c, zero, one, zero)
        e = Gather(d, one)  y = Add(d, z) }"""
    net = model(text, shape=np.array([2, 1, 3]), zero=np.array([0]), one=np.array([1]))
    assert not {"Shape", "Gather", "Range", "Size"} & set(added(differentiate(net, ["y"], ["x"])))


def test_equal_expressions_are_computed_once() -> None:
    net = model("(float[2,3] x) => (float[2,3] y) { a = Exp(x)  b = Div(a, x)  c = Div(a, x)  y = Add(b, c) }")
    assert added(differentiate(net, ["y"], ["x"])).count("Div") == 3  # four, were g / x not shared


def test_constants_are_folded_while_building() -> None:
    ones = {name: np.ones(3, np.float32) for name in ("scale", "bias", "mean", "var")}
    net = model(
        "(float[N,3,4,4] x) => (float[N,3,4,4] y) { y = BatchNormalization(x, scale, bias, mean, var) }", **ones
    )
    assert added(differentiate(net, ["y"], ["x"])) == ["Identity", "Mul"]


@pytest.mark.parametrize("strides", [[1, 1], [2, 2]])
def test_the_gradient_of_a_padded_convolution_is_computed_without_its_border(strides: list[int]) -> None:
    text = "(float[N,2,6,7] x) => (float[N,3,A,B] y) { [pad] p = Pad(x, pads)  y = Conv<strides=STRIDES>(p, w) }"
    weights = np.random.default_rng(0).standard_normal((3, 2, 3, 3)).astype(np.float32)
    net = model(text.replace("STRIDES", str(strides)), pads=np.array([0, 0, 1, 2, 0, 0, 2, 1]), w=weights)
    made, whole = (differentiate(net, ["y"], wrt) for wrt in (["x"], ["p"]))
    assert "Pad" not in added(made)
    x = np.random.default_rng(1).standard_normal((2, 2, 6, 7)).astype(np.float32)
    g = np.random.default_rng(2).standard_normal(run(net, x=x)["y"].shape).astype(np.float32)
    inner = run(whole, x=x, **{"grad/y": g})["grad/p"][:, :, 1:-2, 2:-1]
    assert np.allclose(run(made, x=x, **{"grad/y": g})["grad/x"], inner, atol=1e-5)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("2,3", "1,3"),
        ("N,3", "1,1"),
        ("N,3", "3"),
        ("N,M", "N,1"),
        ("N,M", "A,B"),
        ("A,B", "1"),
        ("N,M", "K"),
    ],
)
def test_broadcasting_is_undone_for_known_and_for_free_shapes(a: str, b: str) -> None:
    sizes = {"N": 2, "M": 3, "A": 1, "B": 3, "K": 1}
    shapes = [tuple(sizes.get(d) or int(d) for d in text.split(",") if d) for text in (a, b)]
    net = model(f"(float[{a}] a, float[{b}] b) => (float[R,S] y) {{ y = Mul(a, b) }}")
    left, right = (np.arange(1, np.prod(s) + 1, dtype=np.float32).reshape(s) for s in shapes)
    g = np.ones(np.broadcast_shapes(*shapes), np.float32)
    got = run(differentiate(net, ["y"], ["a", "b"]), a=left, b=right, **{"grad/y": g})
    assert np.array_equal(got["grad/a"], _undone(g * right, left.shape))
    assert np.array_equal(got["grad/b"], _undone(g * left, right.shape))


def _undone(g: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    g = g.sum(tuple(range(g.ndim - len(shape))))
    return g.sum(tuple(k for k, d in enumerate(shape) if d == 1 and g.shape[k] != 1), keepdims=True).reshape(shape)


def test_new_names_keep_clear_of_names_inside_subgraphs() -> None:
    net = model("(float[2,3] x) => (float[2,3] y) { y = Relu(x) }")
    inner = helper.make_graph(
        [helper.make_node("Identity", ["y"], ["grad/HardSigmoid_0"])],
        "inner",
        [],
        [helper.make_tensor_value_info("grad/HardSigmoid_0", TensorProto.FLOAT, [2, 3])],
    )
    net.graph.input.append(helper.make_tensor_value_info("c", TensorProto.BOOL, []))
    net.graph.node.append(helper.make_node("If", ["c"], ["z"], then_branch=inner, else_branch=inner))
    net.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, [2, 3]))
    got = run(differentiate(net, ["y"], ["x"]), x=X, c=np.array(True), **{"grad/y": G})
    assert np.array_equal(got["grad/x"], G * (X > 0))


def test_a_gradient_can_be_differentiated_again() -> None:
    once = differentiate(model("(float[2,3] x) => (float[2,3] y) { y = Exp(x) }"), ["y"], ["x"])
    got = run(differentiate(once, ["grad/x"], ["grad/y"]), x=X, **{"grad/y": G, "grad/grad/x": G})
    assert np.allclose(got["grad/grad/y"], G * np.exp(X))


def test_a_staircase_has_gradient_zero() -> None:
    net = model("(float[2,3] x) => (float[2,3] y) { a = Floor(x)  b = Cast<to=7>(a)  y = Cast<to=1>(b) }")
    got = run(differentiate(net, ["y"], ["x"]), x=X, **{"grad/y": G})
    assert np.array_equal(got["grad/x"], np.zeros_like(X))


def test_training_is_followed_through_the_mask_of_the_run() -> None:
    net = model("(float[1000] x) => (float[1000] y) { y = Dropout(x, ratio, training) }")
    net.graph.initializer.append(numpy_helper.from_array(np.array(0.4, np.float32), "ratio"))
    net.graph.initializer.append(numpy_helper.from_array(np.array(True), "training"))
    x = np.arange(1, 1001, dtype=np.float32)
    got = run(differentiate(net, ["y"], ["x"]), x=x, **{"grad/y": np.full(1000, 3, np.float32)})
    assert np.allclose(got["grad/x"], 3 * got["y"] / x)
    assert 0.5 < (got["grad/x"] > 0).mean() < 0.7
