"""A model in two: the backbone and the head together compute what the whole computes."""

from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import checker

from backlit_proto.errors import BadQuestion, NotExplainable
from backlit_server.graph.anatomy import Anatomy
from backlit_server.graph.cut import Cut, cut
from real_models import CLASSIFIERS, anatomy_of, feeds, model_of, run, small

# Their default layer lies inside the last block, past which its residual leads.
TOKENS = ("digits40-vit-tiny", "vit_tiny_patch16_224")


@cache
def original_of(folder: Path, name: str) -> onnx.ModelProto:
    return onnx.load(folder / "models" / f"{name}.onnx")


def check(made: Cut, original: onnx.ModelProto, found: Anatomy) -> None:
    """Both halves are valid, and the head makes of the backbone's tensors the scores behind the original's output."""
    checker.check_model(made.backbone)
    checker.check_model(made.head)
    inputs = feeds(original)
    whole, halves = run(original, inputs), inputs | run(made.backbone, inputs)
    for output, value in whole.items():
        np.testing.assert_allclose(halves[output], value, rtol=1e-5, atol=1e-5 * np.abs(value).max())
    scores = run(made.head, {name: halves[name] for name in made.crossing})[found.scores.name]
    expected = halves[found.scores.name]
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_backbone_and_head_make_the_scores_of_the_whole(shared: Path, name: str) -> None:
    found = anatomy_of(shared, name)
    made = cut(model_of(shared, name), found.default_layer, found.scores.name)
    assert made.crossing[0] == found.default_layer
    assert len(made.crossing) == 1 or name in TOKENS
    check(made, original_of(shared, name), found)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_so_they_do_inside_a_branch_and_at_the_input(shared: Path, name: str) -> None:
    found = anatomy_of(shared, name)
    branches = [layer.name for layer in found.layers if not layer.on_every_path]
    for layer in (*branches[len(branches) // 2 :][:1], found.inputs[0].name):
        made = cut(model_of(shared, name), layer, found.scores.name)
        assert made.crossing[0] == layer
        assert len(made.crossing) > 1 or layer not in branches
        check(made, original_of(shared, name), found)


def test_the_head_holds_its_own_weights_only(shared: Path) -> None:
    found = anatomy_of(shared, "efficientnet-lite0")
    made = cut(model_of(shared, "efficientnet-lite0"), found.default_layer, found.scores.name)
    assert [n.op_type for n in made.head.graph.node] == ["GlobalAveragePool", "Reshape", "Gemm"]
    assert made.head.ByteSize() < 5_200_000 < 18_000_000 < made.backbone.ByteSize()


def test_the_head_input_says_its_type_and_sizes(shared: Path) -> None:
    found = anatomy_of(shared, "efficientnet-lite0")
    made = cut(model_of(shared, "efficientnet-lite0"), found.default_layer, found.scores.name)
    (features,) = made.head.graph.input
    dims = [d.dim_param or d.dim_value for d in features.type.tensor_type.shape.dim]
    assert (features.type.tensor_type.elem_type, dims) == (onnx.TensorProto.FLOAT, ["N", 1280, 7, 7])


ROWS_TILE = [name for name in CLASSIFIERS if name not in ("mnist-cntk", "mnist-optimized", "ultraface-rfb320")]


@pytest.mark.parametrize("name", ROWS_TILE)
def test_repeated_rows_give_repeated_scores(shared: Path, name: str) -> None:
    model, found = model_of(shared, name), anatomy_of(shared, name)
    made = cut(model, found.default_layer, found.scores.name, found.batched)
    assert made.rows_tile
    halves = run(made.backbone, feeds(model))
    rows = {tensor: np.repeat(halves[tensor], 3, axis=0) for tensor in made.crossing}
    expected = np.repeat(halves[found.scores.name], 3, axis=0)
    scores = run(made.head, rows)[found.scores.name]
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_a_fixed_batch_cannot_be_tiled(shared: Path) -> None:
    found = anatomy_of(shared, "mnist-cntk")
    made = cut(model_of(shared, "mnist-cntk"), found.default_layer, found.scores.name, found.batched)
    assert not made.rows_tile


def test_a_measured_shape_that_crosses_keeps_rows_from_being_tiled() -> None:
    model = small(
        """g (float[N,4] x, float[M,K] other) => (float[R,C] y)
        { f = Relu(x) s = Shape(other) t = Reshape(f, s) y = Neg(t) }"""
    )
    made = cut(model, "f", "y")
    assert (made.crossing, made.rows_tile) == (("f", "s"), False)


VECTORS = {  # behind the features f [N,C,H,W], v = Flatten(f): which of its vectors a head can do without making
    "y = MatMul(v, w)": (),
    "m = MatMul(v, w) y = Add(m, b)": (),
    "d = MatMul(v, w) e = Add(d, b) r = Relu(e) y = Gemm(r, k)": ("d", "e", "r"),
    "d = Gemm(v, w, b) r = Tanh(d) m = MatMul(r, k) y = Add(b, m)": ("d", "r"),
    "d = Gemm(v, w) y = Softmax(d)": (),
    "c = Conv(f, q) l = Flatten(c) d = Gemm(l, w) r = Relu(d) y = Gemm(r, k)": (),
    "g = MatMul(f, t) l = Flatten(g) d = Gemm(l, w) r = Relu(d) y = Gemm(r, k)": (),
    "p = GlobalAveragePool(f) l = Flatten(p) y = Gemm(l, z)": (),
}


@pytest.mark.parametrize("head", VECTORS)
def test_the_vectors_of_a_dense_head_come_with_the_features(head: str) -> None:
    weights = {"w": (16, 4), "b": (4,), "k": (4, 4), "q": (4, 4, 1, 1), "t": (2, 2), "z": (4, 4)}
    start = "v = Flatten(f)" if "(v" in head else ""
    used = {
        name: np.ones(shape, np.float32) for name, shape in weights.items() if f" {name})" in head or f"{name}," in head
    }
    model = small(f"g (float[N,4,2,2] x) => (float[N,4] y) {{ f = Relu(x) {start} {head} }}", **used)
    made = cut(model, "f", "y", {name for node in model.graph.node for name in node.output})
    assert made.vectors == VECTORS[head]
    assert {o.name for o in made.backbone.graph.output} == {"y", "f", *made.vectors}


def test_constants_made_by_nodes_travel_with_the_head() -> None:
    model = small(
        """g (float[N,4] x) => (float[N,4] y)
        { w = DequantizeLinear(q, scale) f = Relu(x) y = MatMul(f, w) }""",
        q=np.full((4, 4), 3, np.int8),
        scale=np.array(0.5, np.float32),
    )
    made = cut(model, "f", "y")
    assert made.crossing == ("f",)
    np.testing.assert_array_equal(run(made.head, {"f": np.ones((1, 4), np.float32)})["y"], 6)


TWO_WAYS = """g (float[N,3] x) => (float[N,3] y, float[N,3] z)
    { a = Relu(x) b = Neg(a) k = Cast<to = 7>(a) m = Cast<to = 1>(k) y = Add(b, m) z = Neg(x) }"""


def test_a_node_name_is_as_good_as_its_tensor() -> None:
    model = small(TWO_WAYS)
    next(n for n in model.graph.node if n.output[0] == "a").name = "first"
    assert cut(model, "first", "y").layer == "a"


REFUSED = {
    "conv": (BadQuestion, "no tensor or node 'conv'"),
    "k": (NotExplainable, "'k': it holds no floats"),
    "z": (NotExplainable, "'z': its values do not reach them"),
    "y": (NotExplainable, "'y' holds the scores themselves"),
}


@pytest.mark.parametrize("layer", REFUSED)
def test_a_layer_that_cannot_be_asked_at_is_refused(layer: str) -> None:
    error, reason = REFUSED[layer]
    with pytest.raises(error, match=reason):
        cut(small(TWO_WAYS), layer, "y")


def test_a_misspelt_layer_gets_the_nearest_names(shared: Path) -> None:
    found = anatomy_of(shared, "efficientnet-lite0")
    with pytest.raises(BadQuestion, match="/_swish_1/Clip_output_0"):
        cut(model_of(shared, "efficientnet-lite0"), "/_swish1/Clip_output", found.scores.name)
