"""Maps of one class at the image come of one run, which picks the class itself, and are those of any other way."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from backlit_proto.errors import BadQuestion
from backlit_server.engine.engine import Engine
from backlit_server.methods import METHODS
from backlit_server.methods.method import IMAGE
from bare import ask, responses, stored
from noted import Runs

rng = np.random.default_rng(23)
ONCE = [
    name for name, row in METHODS.items() if row.at == IMAGE and row.needs_seed and not row.many_passes and not row.of
]
HEADS = {  # from the pooled features p [N,4] to logits [N,5]; W is [4,5], b is [5], one is [1]
    "a matrix and a bias": "m = MatMul (p, W)\n logits = Add (m, b)",
    "one bias for all": "m = MatMul (p, W)\n logits = Add (one, m)",
    "a dense layer": "logits = Gemm (p, W, b)",
    "no weights to pick from": "m = Gemm (p, W, b)\n logits = Tanh (m)",
    "a softmax": "logits = Gemm (p, W, b)\n beside = Softmax <axis = 1> (logits)",
}


def network(folder: Path, head: str, weights: np.ndarray) -> Path:
    """A convolution, pooling, and a head."""
    output = "beside" if "beside" in head else "logits"
    model = parser.parse_model(f"""
        <ir_version: 10, opset_import: ["" : 21]>
        net (float[N,2,6,5] x) => (float[N,5] {output}) {{
            c = Conv <pads = [1, 1, 1, 1]> (x, K)
            r = Relu (c)
            g = GlobalAveragePool (r)
            p = Flatten (g)
            {head}
        }}""")
    given = {
        "K": np.random.default_rng(3).normal(size=(4, 2, 3, 3)),
        "W": weights,
        "b": np.linspace(-0.1, 0.1, 5),
        "one": np.array([0.5]),
    }
    used = {name for node in model.graph.node for name in node.input}
    made = [numpy_helper.from_array(v.astype(np.float32), name) for name, v in given.items() if name in used]
    model.graph.initializer.extend(made)
    onnx.save(model, folder / "net.onnx")
    return folder / "net.onnx"


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("method", ONCE)
def test_the_map_of_one_class_is_that_which_is_made_among_several(
    engine: Engine, tmp_path: Path, runs: Runs, method: str, head: str
):
    digest = stored(engine.store, network(tmp_path, HEADS[head], rng.normal(size=(4, 5))))
    x = rng.normal(size=(3, 2, 6, 5)).astype(np.float32)
    several = [ask(engine, digest, x, method, [c, (c + 1) % 5])[::2] for c in range(5)]
    runs.clear()
    for c in range(5):
        for (row, heatmap), (_, expected) in zip(ask(engine, digest, x, method, [c]), several[c], strict=True):
            assert row.target.class_index == c
            assert np.allclose(heatmap, expected, rtol=1e-5, atol=1e-6)
    best = ask(engine, digest, x, method)
    assert runs.passes == runs.passes[:1] * 6
    for (row, heatmap), (twin, expected) in zip(best, ask(engine, digest, x, method, ["top2"])[::2], strict=True):
        assert (row.target, row.status) == (twin.target, twin.status)
        assert np.allclose(heatmap, expected, rtol=1e-5, atol=1e-6)
        assert np.abs(heatmap).max() > 0


@pytest.mark.parametrize(("method", "forward"), [("saliency", 1), ("deep-lift", 2), ("full-grad", 1)])
def test_the_pass_to_the_scores_is_not_made_twice(engine: Engine, tmp_path: Path, method: str, forward: int):
    digest = stored(engine.store, network(tmp_path, HEADS["a dense layer"], rng.normal(size=(4, 5))))
    ((made, _),) = responses(engine, digest, rng.normal(size=(2, 2, 6, 5)).astype(np.float32), method, ())
    told = made.provenance
    assert (told.forward_passes, told.backward_passes, told.head_passes) == (forward, 1, 0)


def test_of_equal_classes_the_first_is_explained(engine: Engine, tmp_path: Path):
    weights = np.repeat(rng.normal(size=(4, 1)), 5, axis=1)
    digest = stored(engine.store, network(tmp_path, "logits = MatMul (p, W)", weights))
    x = rng.normal(size=(2, 2, 6, 5)).astype(np.float32)
    assert [row.target.class_index for row, _ in ask(engine, digest, x, "saliency")] == [0, 0]


@pytest.mark.parametrize("wrong", [-1, 5])
def test_a_class_that_there_is_not_is_refused(engine: Engine, tmp_path: Path, wrong: int):
    digest = stored(engine.store, network(tmp_path, HEADS["a dense layer"], rng.normal(size=(4, 5))))
    with pytest.raises(BadQuestion, match=f"there is no class {wrong}; this model has the classes 0 to 4"):
        ask(engine, digest, np.ones((1, 2, 6, 5), np.float32), "saliency", [wrong])


def test_an_image_is_looked_at_again_for_another_class_alone(engine: Engine, tmp_path: Path, runs: Runs):
    digest = stored(engine.store, network(tmp_path, HEADS["a softmax"], rng.normal(size=(4, 5))))
    x = rng.normal(size=(1, 2, 6, 5)).astype(np.float32)
    ask(engine, digest, x, "saliency", [1])
    runs.clear()
    ((_, again),), ((_, other),) = ask(engine, digest, x, "saliency", [1]), ask(engine, digest, x, "saliency", [2])
    assert (len(runs.passes), runs.heads) == (1, [])
    assert not np.allclose(again, other)


def test_formulas_of_one_gradient_share_its_graph_and_its_run(engine: Engine, tmp_path: Path, runs: Runs):
    digest = stored(engine.store, network(tmp_path, HEADS["a dense layer"], rng.normal(size=(4, 5))))
    x = rng.normal(size=(2, 2, 6, 5)).astype(np.float32)
    each = ask(engine, digest, x, "saliency", channels="sum", signed=True)
    runs.clear()
    largest = ask(engine, digest, x, "saliency")
    products = ask(engine, digest, x, "gradient-x-input")
    assert (runs.passes, runs.heads) == ([], [])
    assert not np.allclose(each[0][1], largest[0][1])
    assert not np.allclose(products[0][1], largest[0][1])


def test_scores_that_are_no_numbers_are_explained_as_they_are_told(engine: Engine, tmp_path: Path):
    """The runtime and numpy need not agree on which of them is the best."""
    weights = rng.normal(size=(4, 5))
    digest = stored(engine.store, network(tmp_path, "m = MatMul (p, W)\n logits = Log (m)", weights))
    x = rng.normal(size=(4, 2, 6, 5)).astype(np.float32)
    one, two = (ask(engine, digest, x, "saliency", targets) for targets in (["top1"], ["top2"]))
    assert any(np.isnan(row.target.score) for row, _ in one)
    assert [row.target.class_index for row, _ in one] == [row.target.class_index for row, _ in two[::2]]
