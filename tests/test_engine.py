"""The bare engine where models are awkward: rows that cannot be repeated, features that lie elsewhere, one score."""

from pathlib import Path

import numpy as np
import pytest

from backlit_proto.errors import BadQuestion, CorruptModel, NotExplainable
from backlit_server.engine.engine import Engine
from bare import ask, stored
from written import written

rng = np.random.default_rng(29)


def kept(engine: Engine, folder: Path, text: str, **weights: np.ndarray) -> str:
    """The digest of a model written in ONNX's own notation."""
    return stored(engine.store, written(folder / "net.onnx", text, **weights))


CONV = rng.normal(size=(4, 3, 3, 3)).astype(np.float32)
DENSE = rng.normal(size=(4, 5)).astype(np.float32)
RESIZED = """(float[N, 3, H, W] x) => (float[N, 5] y) {
    a = Conv<strides = [2, 2], pads = [1, 1, 1, 1]>(x, w)
    f = Relu(a)
    s = Shape(x)
    size = Slice(s, two, four)
    z = Sigmoid(f)
    nc = Shape<end = 2>(f)
    sizes = Concat<axis = 0>(nc, size)
    up = Resize<mode = "linear">(z, , , sizes)
    p = GlobalAveragePool(up)
    v = Flatten(p)
    y = MatMul(v, d)
}"""


def test_answers_come_images_outer_where_the_size_of_the_input_crosses_the_cut(engine, tmp_path):
    digest = kept(engine, tmp_path, RESIZED, w=CONV, d=DENSE, two=np.array([2]), four=np.array([4]))
    x = rng.normal(size=(3, 3, 16, 12)).astype(np.float32)
    together = ask(engine, digest, x, "grad-cam", [0, 4], layer="f")
    alone = [pair for i in range(3) for pair in ask(engine, digest, x[[i]], "grad-cam", [0, 4], layer="f")]
    assert [(e.image, e.target.class_index) for e, _ in together] == [(i, c) for i in range(3) for c in (0, 4)]
    for (_, ours), (_, theirs) in zip(together, alone, strict=True):
        assert np.allclose(ours, theirs, atol=1e-6)


BINARY = """(float[N, 3, 8, 8] x) => (float[N, 1] y) {
    a = Conv(x, w)
    f = Relu(a)
    p = GlobalAveragePool(f)
    v = Flatten(p)
    s = MatMul(v, d)
    y = Sigmoid(s)
}"""


def test_one_score_behind_a_sigmoid_speaks_for_class_one_and_against_class_zero(engine, tmp_path):
    digest = kept(engine, tmp_path, BINARY, w=CONV, d=DENSE[:, :1])
    x = rng.normal(size=(1, 3, 8, 8)).astype(np.float32)
    (against, no), (for_it, yes) = ask(engine, digest, x, "grad-cam", [0, 1])
    assert np.allclose(no, -yes)
    assert against.target.score == -for_it.target.score
    assert np.isclose(against.target.output + for_it.target.output, 1)
    ((top, _),) = ask(engine, digest, x)
    assert top.target.class_index == int(for_it.target.score > 0)


LAST = """(float[N, 8, 8, 3] x) => (float[N, 5] y) {
    t = Transpose<perm = [0, 3, 1, 2]>(x)
    a = Conv(t, w)
    b = Transpose<perm = [0, 2, 3, 1]>(a)
    f = Relu(b)
    p = ReduceMean<keepdims = 0>(f, axes)
    y = MatMul(p, d)
}"""


@pytest.mark.parametrize("method", ["cam", "grad-cam", "layer-cam"])
def test_features_with_channels_last_give_the_maps_of_their_places(engine, tmp_path, method):
    digest = kept(engine, tmp_path, LAST, w=CONV, d=DENSE, axes=np.array([1, 2]))
    x = rng.normal(size=(1, 8, 8, 3)).astype(np.float32)
    ((_, features),) = ask(engine, digest, x, "feature-maps", layer="f")
    weights = {"cam": DENSE[:, 2], "grad-cam": DENSE[:, 2] / 36, "layer-cam": DENSE[:, 2].clip(0) / 36}[method]
    ((_, heatmap),) = ask(engine, digest, x, method, [2], layer="f")
    assert np.allclose(heatmap, np.einsum("k,khw->hw", weights, features), atol=1e-6)


def test_the_targets_of_many_rows_go_in_several_runs(engine, tmp_path, monkeypatch):
    digest = kept(
        engine,
        tmp_path,
        BINARY.replace("[N, 1] y", "[N, 5] y").replace("y = Sigmoid(s)", "y = Identity(s)"),
        w=CONV,
        d=DENSE,
    )
    x = rng.normal(size=(2, 3, 8, 8)).astype(np.float32)
    at_once = ask(engine, digest, x, "grad-cam++", ["top5"])
    monkeypatch.setattr("backlit_server.engine.through_head.HEAD_BYTES", 4 * 6 * 6 * 4 * 3)
    in_runs = ask(engine, digest, x, "grad-cam++", ["top5"])
    assert len(in_runs) == 10
    for (ours, a), (theirs, b) in zip(in_runs, at_once, strict=True):
        assert ours == theirs
        assert np.array_equal(a, b)


def test_bytes_that_changed_in_the_store_are_not_served(engine, tmp_path):
    digest = kept(engine, tmp_path, BINARY, w=CONV + 1, d=DENSE[:, :1])
    file = engine.store / "models" / digest / "model.onnx"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.unlink()
    file.write_bytes(data)
    with pytest.raises(CorruptModel, match="delete it and upload it again"):
        ask(engine, digest, np.zeros((1, 3, 8, 8), np.float32))


def test_scores_that_are_not_one_a_class_take_a_seed(engine, tmp_path):
    text = BINARY.replace("(float[N, 1] y)", "(float[N, 4, 36] y)").split("p = ")[0] + "y = Reshape(f, size) }"
    digest = kept(engine, tmp_path, text, w=CONV, size=np.array([0, 4, 36]))
    x = rng.normal(size=(1, 3, 8, 8)).astype(np.float32)
    with pytest.raises(BadQuestion, match="or send a seed of that shape"):
        ask(engine, digest, x, "grad-cam", [0], layer="a")
    seed = np.zeros((4, 36), np.float32)
    seed[1] = 1
    ((_, heatmap),) = ask(engine, digest, x, "hires-cam", [seed], layer="a")
    ((_, features),) = ask(engine, digest, x, "feature-maps", [seed], layer="a")
    assert np.allclose(heatmap, features[1].clip(0), atol=1e-6)


def test_a_layer_may_be_called_by_its_node(engine, shared):
    digest = stored(engine.store, shared / "models" / "digits40-cnn-gap.onnx")
    x = rng.normal(size=(1, 1, 40, 40)).astype(np.float32)
    ((by_node, ours),) = ask(engine, digest, x, "layer-cam", [3], layer="/3/3.2/Relu")
    ((by_tensor, theirs),) = ask(engine, digest, x, "layer-cam", [3], layer="/3/3.2/Relu_output_0")
    assert by_node.layer == by_tensor.layer == "/3/3.2/Relu_output_0"
    assert np.array_equal(ours, theirs)


FLAT = """(float[1, 3, 8, 8] x) => (float[5] y) {
    a = Conv(x, w)
    f = Relu(a)
    p = GlobalAveragePool(f)
    v = Flatten(p)
    m = MatMul(v, d)
    y = Squeeze(m, zero)
}"""


def test_scores_without_a_batch_axis_are_refused_with_a_way_out(engine, tmp_path):
    digest = kept(engine, tmp_path, FLAT, w=CONV, d=DENSE, zero=np.array([0]))
    with pytest.raises(NotExplainable, match="export the model with a batch axis"):
        ask(engine, digest, np.zeros((1, 3, 8, 8), np.float32))


def test_a_channel_that_is_not_there_is_refused(engine, shared):
    digest = stored(engine.store, shared / "models" / "digits40-cnn-gap.onnx")
    with pytest.raises(BadQuestion, match="the channels 0 to 95"):
        ask(engine, digest, np.zeros((1, 1, 40, 40), np.float32), "feature-maps", channels=[96])


BAKED = """(float[N, 3, 8, 8] x) => (float[M, 5] y) {
    a = Conv(x, w)
    f = Relu(a)
    p = GlobalAveragePool(f)
    v = Reshape(p, one_row)
    y = MatMul(v, d)
}"""


def test_a_file_that_claims_a_free_batch_and_has_one_baked_in_goes_image_by_image(engine, tmp_path):
    digest = kept(engine, tmp_path, BAKED, w=CONV, d=DENSE, one_row=np.array([1, -1]))
    x = rng.normal(size=(3, 3, 8, 8)).astype(np.float32)
    together = ask(engine, digest, x, "grad-cam", [0, 1])
    alone = [pair for i in range(3) for pair in ask(engine, digest, x[[i]], "grad-cam", [0, 1])]
    assert [e.image for e, _ in together] == [0, 0, 1, 1, 2, 2]
    for (_, ours), (_, theirs) in zip(together, alone, strict=True):
        assert np.array_equal(ours, theirs)
