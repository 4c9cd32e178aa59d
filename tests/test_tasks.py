"""What is explained of a model, and what its scores are for: one row a way to end a graph."""

from dataclasses import dataclass

import numpy as np
import pytest

from backlit_proto.errors import BadQuestion, NotExplainable
from backlit_server.graph import examine
from real_models import small

STEM = "a = Conv(x, w) f = Relu(a) "  # 4 channels of 6x6
POOLED = STEM + "p = GlobalAveragePool(f) v = Flatten(p) "
WEIGHTS = {
    "w": np.ones((4, 3, 3, 3), np.float32),
    "d": np.ones((4, 5), np.float32),
    "one": np.ones((4, 1), np.float32),
    "ws": np.ones((5, 4, 1, 1), np.float32),
    "wb": np.ones((4, 4, 1, 1), np.float32),
    "w1": np.ones((1, 4, 1, 1), np.float32),
    "flat5": np.array([0, 5, 36]),
    "flat4": np.array([0, 4, 36]),
    "k": np.array([2]),
    "axis": np.array([1]),
    "most": np.array([3]),
    "half": np.array([0.5], np.float32),
    "from": np.array([0]),
    "to": np.array([3]),
    "channels": np.array([1]),
}
DETECTED = STEM + "cs = Conv(f, ws) cb = Conv(f, wb) s = Reshape(cs, flat5) b = Reshape(cb, flat4) "
TURNED = DETECTED + "t = Transpose<perm = [0, 2, 1]>(s) u = Transpose<perm = [0, 2, 1]>(b) "
KEPT = "n = NonMaxSuppression<center_point_box = 1>(u, c, most, half, half) "


@dataclass(frozen=True)
class Case:
    """A graph, and what of it: scores, activation left out, task, axes, boxes."""

    graph: str
    scores: str
    activation: str = ""
    task: str = "classification"
    axes: str = "C"
    boxes: str = ""


CASES = {
    "softmax": Case(f"(float[N, 5] y) {{ {POOLED} s = MatMul(v, d) y = Softmax(s) }}", "s", "Softmax"),
    "logits": Case(f"(float[N, 5] y) {{ {POOLED} y = MatMul(v, d) }}", "y"),
    "classes with empty axes": Case(
        f"(float[N, 5, 1, 1] y) {{ {STEM} p = GlobalAveragePool(f) s = Conv(p, ws) y = Softmax<axis = 1>(s) }}",
        "s",
        "Softmax",
    ),
    "the best class alone": Case(
        f"(int64[N] y) {{ {POOLED} s = MatMul(v, d) y = ArgMax<axis = 1, keepdims = 0>(s) }}", "s"
    ),
    "the best class of a softmax": Case(
        f"(int64[N] y) {{ {POOLED} s = MatMul(v, d) z = Softmax(s) y = ArgMax<axis = 1, keepdims = 0>(z) }}",
        "s",
        "Softmax",
    ),
    "the best two": Case(
        f"(float[N, 2] y, int64[N, 2] i) {{ {POOLED} s = MatMul(v, d) z = Softmax(s) y, i = TopK(z, k) }}",
        "s",
        "Softmax",
    ),
    "one number": Case(f"(float[N, 1] y) {{ {POOLED} y = MatMul(v, one) }}", "y", task="regression", axes=""),
    "one sigmoid": Case(f"(float[N, 1] y) {{ {POOLED} s = MatMul(v, one) y = Sigmoid(s) }}", "s", "Sigmoid"),
    "a vector of length one": Case(
        f"(float[N, 5] y) {{ {POOLED} s = MatMul(v, d) y = LpNormalization<axis = 1>(s) }}", "y", "", "embedding", ""
    ),
    "a vector over its root of squares": Case(
        f"""(float[N, 5] y) {{ {POOLED} s = MatMul(v, d) q = Mul(s, s) r = ReduceSum(q, axis) l = Sqrt(r)
        y = Div(s, l) }}""",
        "y",
        "",
        "embedding",
        "",
    ),
    "a vector by its name": Case(
        f"(float[N, 5] image_embedding) {{ {POOLED} image_embedding = MatMul(v, d) }}",
        "image_embedding",
        "",
        "embedding",
        "",
    ),
    "maps": Case(f"(float[N, 5, 6, 6] y) {{ {STEM} y = Conv(f, ws) }}", "y", "", "segmentation", "CHW"),
    "maps, channels last": Case(
        f"(float[N, 6, 6, 5] y) {{ {STEM} s = Conv(f, ws) t = Transpose<perm = [0, 2, 3, 1]>(s) y = Sigmoid(t) }}",
        "t",
        "Sigmoid",
        "segmentation",
        "HWC",
    ),
    "maps, turned after the softmax": Case(
        f"""(float[N, 6, 6, 5] y) {{ {STEM} s = Conv(f, ws) z = Softmax<axis = 1>(s)
        y = Transpose<perm = [0, 2, 3, 1]>(z) }}""",
        "s",
        "Softmax",
        "segmentation",
        "CHW",
    ),
    "one map behind a sigmoid": Case(
        f"(float[N, 1, 6, 6] y) {{ {STEM} s = Conv(f, w1) y = Sigmoid(s) }}", "s", "Sigmoid", "segmentation", "CHW"
    ),
    "one map": Case(f"(float[N, 1, 6, 6] y) {{ {STEM} y = Conv(f, w1) }}", "y", "", "regression", "CHW"),
    "scores and boxes": Case(
        f"(float[N, 36, 5] y, float[N, 36, 4] u) {{ {TURNED} y = Sigmoid(t) }}",
        *("t", "Sigmoid", "detection", "AC", "u"),
    ),
    "boxes and scores": Case(
        f"(float[N, 36, 4] u, float[N, 5, 36] y) {{ {TURNED} y = Softmax<axis = 1>(s) }}",
        "s",
        "Softmax",
        "detection",
        "CA",
        "u",
    ),
    "boxes beside scores": Case(
        f"(float[N, 9, 36] y) {{ {DETECTED} c = Sigmoid(s) y = Concat<axis = 1>(b, c) }}",
        "s",
        "Sigmoid",
        "detection",
        "CA",
        "b",
    ),
    "indices of what is kept": Case(
        f"(int64[M, 3] n) {{ {TURNED} c = Sigmoid(s) {KEPT} }}", "s", "Sigmoid", "detection", "CA", "u"
    ),
    "turned before it is kept": Case(
        f"(int64[M, 3] n) {{ {TURNED} z = Softmax<axis = 2>(t) c = Transpose<perm = [0, 2, 1]>(z) {KEPT} }}",
        "t",
        "Softmax",
        "detection",
        "AC",
        "u",
    ),
    "without the background": Case(
        f"(int64[M, 3] n) {{ {TURNED} z = Softmax<axis = 1>(s) c = Slice(z, from, to, channels) {KEPT} }}",
        "c",
        "",
        "detection",
        "CA",
        "u",
    ),
    "a table of what nobody knows": Case(
        f"(float[N, 5, 36] y) {{ {STEM} cs = Conv(f, ws) y = Reshape(cs, flat5) }}", "y", "", "other", ""
    ),
}


def examined(graph: str, asked: str = ""):
    used = {name: value for name, value in WEIGHTS.items() if name in graph}
    return examine(small(f"g (float[N, 3, 8, 8] x) => {graph}", **used), asked)


@pytest.mark.parametrize("name", CASES)
def test_what_scores_are_for_is_recognised(name: str) -> None:
    case, found = CASES[name], examined(CASES[name].graph).scores
    assert (found.name, found.activation, found.task.kind) == (case.scores, case.activation, case.task)
    assert (found.task.axes, found.task.boxes) == (case.axes, case.boxes)
    assert found.task.why


@pytest.mark.parametrize("name", ["maps, channels last", "scores and boxes", "a table of what nobody knows"])
def test_the_scores_are_no_layer_wherever_they_lie(name: str) -> None:
    found = examined(CASES[name].graph)
    assert found.default_layer == "f"
    assert not {"cs", "s", "t", "y"} & {layer.name for layer in found.layers}


def test_every_output_is_a_candidate_and_any_float_tensor_can_be_asked_for() -> None:
    graph = f"(float[N, 5] y, float[N, 4] v) {{ {POOLED} s = MatMul(v, d) y = Softmax(s) }}"
    found = examined(graph)
    assert [(c.name, c.output, c.shape) for c in found.candidates] == [("s", "y", (-1, 5)), ("v", "v", (-1, 4))]
    assert examined(graph, "v").scores == found.candidates[1]
    probability = examined(graph, "y").scores
    assert (probability.name, probability.activation, probability.task.kind) == ("y", "", "classification")
    assert examined(graph, "a").scores.task.kind == "segmentation"
    with pytest.raises(BadQuestion, match="'z' cannot be explained"):
        examined(graph, "z")


def test_a_selection_of_shapes_is_no_score() -> None:
    with pytest.raises(NotExplainable, match="no output of this model depends on its input"):
        examined("(int64[1] y) { s = Shape(x) y = ArgMax<axis = 0>(s) }")
