"""One model of each task through a real server: found, explained by default and as asked, beside plain ONNX Runtime."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import backlit
import plain
from written import written

rng = np.random.default_rng(53)


def weight(*shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32) / np.sqrt(np.prod(shape[1:], dtype=np.float32))


# `gain` is 1: what the scores gain when it grows is what a map of `f` times its gradient sums to.
ENCODER = """
    a = Conv<pads = [1, 1, 1, 1]>(x, w1)
    skip = Relu(a)
    b = Conv<strides = [2, 2], pads = [1, 1, 1, 1]>(skip, w2)
    c = Relu(b)
    f = Mul(c, gain)
"""
DECODER = f"""{ENCODER}
    u = Resize<mode = "linear">(f, , scales)
    j = Concat<axis = 1>(u, skip)
    d = Conv<pads = [1, 1, 1, 1]>(j, w3)
    e = Relu(d)
    s = Conv(e, w4, b4)
"""
POOLED = f"{ENCODER} p = GlobalAveragePool(f) v = Flatten(p) "
TEXTS = {
    "segmentation": f"""(float[N, 3, 16, 16] x) => (int64[N, 16, 16] y) {{ {DECODER}
        y = ArgMax<axis = 1, keepdims = 0>(s) }}""",
    "segmentation, channels last": f"""(float[N, 3, 16, 16] x) => (float[N, 16, 16, 4] y) {{ {DECODER}
        t = Transpose<perm = [0, 2, 3, 1]>(s) y = Softmax<axis = -1>(t) }}""",
    "regression": f"""(float[N, 3, 16, 16] x) => (float[N, 1] y) {{ {POOLED} h = MatMul(v, d1)
        g = Tanh(h) y = MatMul(g, d2) }}""",
    "embedding": f"""(float[N, 3, 16, 16] x) => (float[N, 5] y) {{ {POOLED} h = MatMul(v, d1)
        long = ReduceL2(h, axis) y = Div(h, long) }}""",
    "binary": f"""(float[N, 3, 16, 16] x) => (float[N, 1] y) {{ {POOLED} h = MatMul(v, d1)
        g = Tanh(h) s = MatMul(g, d2) y = Sigmoid(s) }}""",
}
WEIGHTS = {
    "w1": weight(6, 3, 3, 3),
    "w2": weight(8, 6, 3, 3),
    "w3": weight(8, 14, 3, 3),
    "w4": weight(4, 8, 1, 1),
    "b4": weight(4),
    "d1": weight(8, 5) * 4,
    "d2": weight(5, 1) * 3,
    "gain": np.array(1, np.float32),
    "scales": np.array([1, 1, 2, 2], np.float32),
    "axis": np.array([1]),
}
X = rng.normal(size=(2, 3, 16, 16)).astype(np.float32)
REFERENCE = rng.normal(size=5).astype(np.float32)
MASK = rng.random((16, 16)).astype(np.float32)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")

    def make(name: str) -> Path:
        text = TEXTS[name]
        return written(folder / f"{name}.onnx", text, **{k: v for k, v in WEIGHTS.items() if k in text})

    return make


def scores(file: Path, name: str, gain: float = 1) -> np.ndarray:
    """A tensor of the file by plain ONNX Runtime, in double precision, with another gain of the features."""
    model = onnx.load(file)
    for tensor in model.graph.initializer:
        if tensor.name == "gain":
            tensor.CopyFrom(numpy_helper.from_array(np.array(gain, np.float32), "gain"))
    model.graph.output.append(onnx.ValueInfoProto(name=name))
    (found,) = plain.values(model, [name], {"x": X})
    return found.astype(np.float64)


def wins(y: np.ndarray, index: int) -> np.ndarray:
    return y.argmax(0) == index


def dominant(y: np.ndarray) -> int:
    return int(np.bincount(y.argmax(0).ravel()).argmax())


def cosine(y: np.ndarray) -> float:
    return float(y @ REFERENCE / np.sqrt((y @ y) * (REFERENCE @ REFERENCE)))


# model, target, tensor of the scores, T of one image's scores y at gain 1 and of z at another gain
CASES: dict[str, tuple[str, Any, str, Callable[[np.ndarray, np.ndarray], Any]]] = {
    "a segmentation by default": ("segmentation", None, "s", lambda y, z: z[dominant(y)][wins(y, dominant(y))].mean()),
    "a class where it wins": ("segmentation", backlit.Mask(2), "s", lambda y, z: z[2][wins(y, 2)].mean()),
    "a mask": ("segmentation", backlit.Mask(2, MASK), "s", lambda y, z: (z[2] * MASK).sum() / MASK.sum()),
    "a mask, sum": ("segmentation", backlit.Mask(2, MASK, "sum"), "s", lambda y, z: (z[2] * MASK).sum()),
    "channels last": (
        "segmentation, channels last",
        backlit.Mask(3, MASK > 0.5),
        "t",
        lambda y, z: z[..., 3][MASK > 0.5].mean(),
    ),
    "a regression by default": ("regression", None, "y", lambda y, z: z[0]),
    "a regression, down": ("regression", -backlit.Element(), "y", lambda y, z: -z[0]),
    "similar": ("embedding", backlit.Similar(REFERENCE), "y", lambda y, z: cosine(z)),
    "dot": ("embedding", backlit.Similar(REFERENCE, "dot"), "y", lambda y, z: z @ REFERENCE),
    "a component": ("embedding", backlit.Element(3), "y", lambda y, z: z[3]),
    "class 1 of one score": ("binary", 1, "s", lambda y, z: z[0]),
    "class 0 of one score": ("binary", 0, "s", lambda y, z: -z[0]),
    "a contrast": ("binary", backlit.Class(1) - backlit.Class(0), "s", lambda y, z: 2 * z[0]),
}


@pytest.mark.parametrize("name", CASES)
def test_a_head_is_explained_as_finite_differences_say(server, file, name: str):
    kind, target, tensor, formula = CASES[name]
    explained = server.upload(file(kind)).explain(X, "hires-cam", target=target, layer="f")
    now, more, less = (scores(file(kind), tensor, gain) for gain in (1, 1.01, 0.99))
    assert len(explained) == 2
    for answer, y, z, w in zip(explained, now, more, less, strict=True):
        assert answer.scores == tensor
        assert answer.score == pytest.approx(formula(y, y), rel=1e-4, abs=1e-5)
        slope = (formula(y, z) - formula(y, w)) / 0.02
        assert answer.heatmap.sum() == pytest.approx(slope, rel=5e-3, abs=2e-3)


TASKS = {
    "segmentation": ("segmentation", "CHW", "what ArgMax chooses from"),
    "segmentation, channels last": ("segmentation", "HWC", "its final Softmax is left out"),
    "regression": ("regression", "", "explained itself"),
    "embedding": ("embedding", "", "explained itself"),
    "binary": ("classification", "C", "its final Sigmoid is left out"),
}


@pytest.mark.parametrize("name", TASKS)
def test_the_card_says_what_the_scores_are_for_and_why(server, file, name: str):
    task, axes, why = TASKS[name]
    card = server.upload(file(name)).card
    assert (card.scores.task, card.scores.axes) == (task, axes)
    assert why in card.scores.explanation
    assert card.scores.task_reason in str(card)
    assert card.scores in card.score_candidates or card.scores.tensor.name == card.score_candidates[0].tensor.name


def test_an_embedding_is_refused_without_a_reference_but_shows_its_values(server, file):
    model = server.upload(file("embedding"))
    assert model.card.scores.task_reason == "'y' is brought to length 1"
    with pytest.raises(backlit.BadQuestion, match="send a reference that it should be similar to"):
        model.explain(X)
    shown = model.explain(X, "score")
    assert np.stack([e.heatmap[:, 0, 0] for e in shown]) == pytest.approx(scores(file("embedding"), "y"), abs=1e-5)


def test_any_float_tensor_can_be_the_scores(server, file):
    model = server.upload(file("regression"))
    for answer, h in zip(
        model.explain(X, "hires-cam", target=2, scores="h", layer="f"), scores(file("regression"), "h"), strict=True
    ):
        assert (answer.scores, answer.target) == ("h", 2)
        assert answer.score == pytest.approx(h[2], rel=1e-4)
        assert answer.heatmap.sum() == pytest.approx(h[2], rel=1e-3), "linear in the features"
    with pytest.raises(backlit.BadQuestion, match=r"'hh' cannot be explained.*the nearest are"):
        model.explain(X, scores="hh")


def test_the_probability_itself_can_be_explained(server, file):
    (answer, _) = server.upload(file("binary")).explain(X, target=backlit.Element(), scores="y")
    assert answer.score == pytest.approx(scores(file("binary"), "y")[0, 0], rel=1e-5)


def test_asyncio_asks_for_the_same(server, file):
    asked = {"target": backlit.Mask(2, MASK), "layer": "f", "size": "input"}
    expected = server.upload(file("segmentation")).explain(X, **asked)

    async def ask() -> list[backlit.Explanation]:
        async with backlit.aio.connect(server.address) as other:
            model = await other.upload(file("segmentation"))
            return await model.explain(X, **asked)

    for ours, theirs in zip(expected, asyncio.run(ask()), strict=True):
        assert (ours.description, ours.score) == (theirs.description, theirs.score)
        np.testing.assert_array_equal(ours.heatmap, theirs.heatmap)


def test_a_box_is_told_in_pixels_of_the_photograph_that_was_sent(server, shared: Path):
    data = pytest.importorskip("skimage.data")
    by = {"mean": (127,), "std": (128,), "color": "rgb"}
    model = server.upload(shared / "models" / "ultraface-rfb320.onnx")
    face = (180, 62, 268, 174)
    for fit in ("stretch", "pad", "crop"):
        (answer,) = model.explain(data.astronaut(), preprocessing={**by, "fit": fit, "crop": 1.0}, boxes="xyxy")
        found = answer.detection
        assert found.corners == pytest.approx(face, abs=12), fit
        (again,) = model.explain(
            data.astronaut(),
            preprocessing={**by, "fit": fit, "crop": 1.0},
            boxes="xyxy-normalized",
            target=backlit.Box(*found.corners, of=1),
        )
        assert again.detection.anchor == found.anchor
        assert again.detection.iou == pytest.approx(1)
        assert (again.detection.convention, again.detection.assumed) == ("xyxy-normalized", False)
