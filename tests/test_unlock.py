"""Files made for one image: a free batch axis where that changes nothing, and one image at a time where it would."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

import plain
from backlit_server.engine.engine import Engine
from backlit_server.engine.opening import open_model
from backlit_server.graph.spelling.unlock import unlocked
from bare import ask, stored

rng = np.random.default_rng(53)
HEADER = '<ir_version: 10, opset_import: ["" : 21]>'
CONV = "a = Conv<pads = [1, 1, 1, 1]>(x, w) f = Relu(a)"
WEIGHTS = {
    "w": rng.normal(size=(4, 3, 3, 3)),
    "d": rng.normal(size=(4, 5)),
    "far": rng.normal(size=(64, 5)),
    "token": rng.normal(size=(1, 1, 4)),
    "q": rng.normal(size=(4, 12)),
}
NUMBERS = {
    "one_left": [1, -1],
    "one_row": [1, 64],
    "left_row": [-1, 64],
    "bigger": [1, 4, 8, 6],
    "tokens": [1, 4, 16],
    "split": [1, 17, 3, 1, 4],
    "first": [17, 1, 12],
    "heads": [17, 2, 2],
    "back": [17, 1, 4],
    "zero": [0],
    "one": [1],
    "two": [2],
    "three": [3],
    "four": [4],
    "places": [2, 3],
    "everything": [0, 2, 3],
}
# What follows the features f (1, 4, 4, 4) on the way to the scores y (1, 5).
FREED = {
    "a reshape to one row": "v = Reshape(f, one_row) y = MatMul(v, far)",
    "a reshape to one row and what is left": "v = Reshape(f, one_left) y = MatMul(v, far)",
    "a reshape that leaves the rows open": "v = Reshape(f, left_row) y = MatMul(v, far)",
    "a reshape measured in the graph": """s = Shape(f) n = Slice(s, zero, one) l = Concat<axis = 0>(n, minus)
        v = Reshape(f, l) y = MatMul(v, far)""",
    "a resize to a fixed size": 'u = Resize<mode = "linear">(f, , , bigger) p = ReduceMean<keepdims = 0>(u, places) '
    "y = MatMul(p, d)",
    "a class token": """r = Reshape(f, tokens) t = Transpose<perm = [0, 2, 1]>(r)
        j = Concat<axis = 1>(token, t) m = Mul(j, j) g = ReduceMean<keepdims = 0>(m, one) y = MatMul(g, d)""",
    "attention with the sequence first": """r = Reshape(f, tokens) t = Transpose<perm = [0, 2, 1]>(r)
        j = Concat<axis = 1>(token, t) s = Transpose<perm = [1, 0, 2]>(j) h = Reshape(s, heads)
        k = Transpose<perm = [1, 0, 2]>(h) kt = Transpose<perm = [1, 2, 0]>(h) e = MatMul(k, kt) o = Softmax(e)
        z = MatMul(o, k) zt = Transpose<perm = [1, 0, 2]>(z) b = Reshape(zt, back)
        c = Transpose<perm = [1, 0, 2]>(b) g = ReduceMean<keepdims = 0>(c, one) y = MatMul(g, d)""",
}
KEPT = {
    "a mean over the batch": ("n = ReduceMean(f, zero) c = Sub(f, n) z = Add(c, f)", "do not give"),
    "a norm over all axes": ("z = LayerNormalization<axis = 0>(f, scale)", "do not give"),
    "the first image picked out": ("z = Slice(f, zero, one, zero)", "do not give"),
}
REST = " p = GlobalAveragePool(z) v = Flatten(p) y = MatMul(v, d)"


def model(after: str, batch: str = "1") -> onnx.ModelProto:
    text = f"{HEADER} net (float[{batch}, 3, 4, 4] x) => (float[{batch}, 5] y) {{ {CONV} {after} }}"
    made = parser.parse_model(text)
    weights = {name: value.astype(np.float32) for name, value in WEIGHTS.items()}
    weights["scale"] = np.ones((1, 4, 4, 4), np.float32)
    weights |= {name: np.array(value) for name, value in NUMBERS.items()} | {"minus": np.array([-1])}
    read = {name for node in made.graph.node for name in node.input}
    made.graph.initializer.extend(numpy_helper.from_array(v, name) for name, v in weights.items() if name in read)
    return made


@pytest.mark.parametrize("case", FREED)
def test_a_batch_that_only_shapes_fixed_is_freed(engine, runtime, tmp_path, case):
    file = model(FREED[case])
    opened = open_model(file, runtime)
    assert opened.batching[0], opened.batching[1]
    onnx.save(file, tmp_path / "net.onnx")
    digest = stored(engine.store, tmp_path / "net.onnx")
    x = rng.normal(size=(3, 3, 4, 4)).astype(np.float32)
    together = ask(engine, digest, x, "hires-cam", [0, 3], layer="f")
    for (e, heatmap), (image, target) in zip(together, np.ndindex(3, 2), strict=True):
        scores, features = plain.values(with_features(file), ["y", "f"], {"x": x[[image]]})
        assert np.isclose(e.target.score, scores[0, 3 * target], atol=1e-4)
        assert heatmap.shape == features.shape[2:]
        assert np.allclose(heatmap, slope(file, features, 3 * target), atol=2e-2 * np.abs(heatmap).max())


def with_features(file: onnx.ModelProto) -> onnx.ModelProto:
    grown = onnx.ModelProto()
    grown.CopyFrom(file)
    grown.graph.output.append(onnx.ValueInfoProto(name="f"))
    return grown


def slope(file: onnx.ModelProto, features: np.ndarray, target: int) -> np.ndarray:
    """Features times d score / d features, by central differences on the file's own nodes behind the features."""
    head = onnx.ModelProto()
    head.CopyFrom(file)
    kept = [n for n in head.graph.node if n.output[0] not in ("a", "f")]
    del head.graph.node[:], head.graph.input[:]
    head.graph.node.extend(kept)
    head.graph.input.append(onnx.helper.make_tensor_value_info("f", 1, [1, 4, 4, 4]))
    session, step, gradient = plain.session(head), 1e-2, np.zeros(features.size)
    for k in range(features.size):
        moved = np.zeros(features.size, np.float32)
        moved[k] = step
        moved = moved.reshape(features.shape)
        up, down = (np.asarray(session.run(["y"], {"f": features + sign * moved})[0]) for sign in (1, -1))
        gradient[k] = (up[0, target] - down[0, target]) / (2 * step)
    return (gradient.reshape(features.shape) * features)[0].sum(0)


@pytest.mark.parametrize("case", KEPT)
def test_images_that_know_of_each_other_go_one_by_one(runtime, case):
    after, why = KEPT[case]
    opened = open_model(model(after + REST), runtime)
    together, explanation = opened.batching
    assert not together
    assert "made for one image" in explanation
    assert why in explanation
    assert opened.anatomy.inputs[0].shape[0] == 1


def test_a_file_with_a_free_batch_is_left_as_it_is(runtime):
    assert unlocked(model(FREED["a reshape that leaves the rows open"], "N")) is None


@pytest.mark.parametrize("name", ["mnist-cntk", "mnist-optimized", "ultraface-rfb320"])
def test_real_models_made_for_one_image_answer_several_at_once_as_they_answer_each(
    engine, tmp_path, monkeypatch, shared: Path, name: str
):
    file = shared / "models" / f"{name}.onnx"
    shape = [d.dim_value for d in given(onnx.load(file)).type.tensor_type.shape.dim]
    x = rng.uniform(0, 1, size=(2, *shape[1:])).astype(np.float32)
    targets = [seed(place) for place in (3, 8001)] if name.startswith("ultra") else [1, 4]
    together = ask(engine, stored(engine.store, file), x, "grad-cam", targets)
    monkeypatch.setattr("backlit_server.engine.opening.unlocked", lambda file: None)
    fixed = Engine(tmp_path, "cpu", 2)
    apart = [pair for i in range(2) for pair in ask(fixed, stored(tmp_path, file), x[[i]], "grad-cam", targets)]
    assert [e.image for e, _ in together] == [0, 0, 1, 1]
    for (_, ours), (_, theirs) in zip(together, apart, strict=True):
        assert np.allclose(ours, theirs, atol=1e-5 * np.abs(theirs).max())


def given(file: onnx.ModelProto) -> onnx.ValueInfoProto:
    held = {t.name for t in file.graph.initializer}
    return next(i for i in file.graph.input if i.name not in held)


def seed(place: int) -> np.ndarray:
    """One score of one of the 4,420 boxes."""
    return np.eye(8840, dtype=np.float32)[place].reshape(4420, 2)
