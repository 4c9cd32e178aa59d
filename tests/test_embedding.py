"""Embeddings are what plain ONNX Runtime computes at the penultimate layer, or means over the places of any other."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from backlit_proto.errors import NotExplainable
from backlit_server.engine.engine import Engine
from bare import ask, stored, values
from written import written

rng = np.random.default_rng(31)

# The file, the tensor that its last layer reads, the shape of an image.
MODELS = [
    ("efficientnet-lite0", "/Reshape_output_0", (3, 224, 224)),
    ("digits40-vit-tiny", "/Gather_1_output_0", (1, 40, 40)),
    ("digits40-cnn-gap", "/6/Flatten_output_0", (1, 40, 40)),
    ("mnist-dianna", "23", (1, 28, 28)),
    ("squeezenet11-ndf", "fire9/concat", (3, 227, 227)),
    ("vww96-mnv1-nhwc", "model/flatten/Reshape", (96, 96, 3)),
]


@pytest.mark.parametrize(("name", "penultimate", "shape"), MODELS, ids=lambda value: value)
def test_an_embedding_is_what_the_last_layer_reads(engine: Engine, shared: Path, name: str, penultimate: str, shape):
    file = shared / "models" / f"{name}.onnx"
    x = rng.normal(size=(2, *shape)).astype(np.float32)
    answers = ask(engine, stored(engine.store, file), x, "embedding")
    assert [(e.image, e.layer, e.status) for e, _ in answers] == [(0, penultimate, 1), (1, penultimate, 1)]
    for image, (_, vector) in zip(x, answers, strict=True):
        (expected,) = values(file, [penultimate], {input_of(file): image[None]})
        expected = expected.reshape(*expected.shape[:2], -1).mean(2)
        assert vector.shape == (expected.size, 1, 1)
        assert np.allclose(vector.ravel(), expected.ravel(), rtol=1e-4, atol=1e-5)


def input_of(file: Path) -> str:
    return onnx.load(file).graph.input[0].name


def test_at_a_layer_it_is_the_mean_over_places(engine: Engine, shared: Path):
    digest = stored(engine.store, shared / "models" / "digits40-vit-tiny.onnx")
    x = rng.normal(size=(2, 1, 40, 40)).astype(np.float32)
    layer = "/blocks/blocks.3/norm1/LayerNormalization_output_0"
    maps = ask(engine, digest, x, "feature-maps", layer=layer)
    for (_, vector), (_, channels) in zip(ask(engine, digest, x, "embedding", layer=layer), maps, strict=True):
        assert np.allclose(vector[:, 0, 0], channels.mean((1, 2)), atol=1e-6)


def test_the_values_of_a_dense_layer_are_maps_of_one_place(engine: Engine, shared: Path):
    digest = stored(engine.store, shared / "models" / "mnist-dianna.onnx")
    x = rng.normal(size=(3, 1, 28, 28)).astype(np.float32)
    dense, embedded = (ask(engine, digest, x, method, layer="23") for method in ("feature-maps", "embedding"))
    assert all(np.array_equal(one, other) for (_, one), (_, other) in zip(dense, embedded, strict=True))


def test_what_is_neither_a_map_nor_a_vector_an_image_has_no_embedding(engine: Engine, tmp_path: Path):
    text = """(float[N, 4] x) => (float[N, 3] y) {
        rows = Reshape(x, shape)
        r = Relu(rows)
        back = Reshape(r, flat)
        y = MatMul(back, w)
    }"""
    shapes = {"shape": np.array([-1, 2]), "flat": np.array([-1, 4])}
    file = written(tmp_path / "m.onnx", text, w=rng.normal(size=(4, 3)).astype(np.float32), **shapes)
    digest = stored(engine.store, file)
    x = rng.normal(size=(2, 4)).astype(np.float32)
    assert len(ask(engine, digest, x, "embedding")) == 2
    with pytest.raises(NotExplainable, match="'r' is no map"):
        ask(engine, digest, x, "embedding", layer="r")


def test_without_a_layer_with_weights_it_is_taken_at_the_default_layer(engine: Engine, tmp_path: Path):
    text = """(float[N, 3, 4, 4] x) => (float[N, 3] y) {
        f = Relu(x)
        m = GlobalAveragePool(f)
        y = Flatten(m)
    }"""
    x = rng.normal(size=(1, 3, 4, 4)).astype(np.float32)
    ((found, vector),) = ask(engine, stored(engine.store, written(tmp_path / "m.onnx", text)), x, "embedding")
    assert found.layer == "f"
    assert np.allclose(vector.ravel(), x.clip(0).mean((0, 2, 3)))
