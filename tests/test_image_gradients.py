"""Methods that look at the image itself, on real models."""

from pathlib import Path

import numpy as np
import onnx
import pytest

import plain
from backlit_proto.errors import BadQuestion
from backlit_server.engine.engine import Engine
from backlit_server.engine.models import OpenModel
from backlit_server.engine.runtime import Runtime
from backlit_server.methods import bind
from bare import ask, stored

rng = np.random.default_rng(17)
STEP = 1e-2


@pytest.fixture
def digits(shared: Path) -> Path:
    return shared / "models" / "digits40-cnn-gap.onnx"


def test_saliency_is_how_much_a_pixel_moves_the_score(engine: Engine, digits: Path):
    """Against one-sided slopes of plain ONNX Runtime, both sides, at pixels where they agree: between kinks."""
    x = rng.random((2, 1, 40, 40)).astype(np.float32)
    found = [h for _, h in ask(engine, stored(engine.store, digits), x, "saliency", [3, 7], signed=True)]
    file, compared = digits.read_bytes(), 0
    (here,) = plain.values(file, ["logits"], {"input": x})
    for row, column in rng.integers(5, 35, (20, 2)):
        slopes = []
        for step in (STEP, -STEP):
            moved = x.copy()
            moved[:, :, row, column] += step
            (there,) = plain.values(file, ["logits"], {"input": moved})
            slopes.append((there - here)[:, [3, 7]].ravel() / step)
        smooth = np.isclose(*slopes, rtol=0.05, atol=2e-3)
        ours = np.array([heatmap[row, column] for heatmap in found])
        assert np.allclose(ours[smooth], slopes[0][smooth], rtol=0.1, atol=5e-3)
        compared += smooth.sum()
    assert compared > 30


def test_gradient_x_input_adds_up_to_the_slope_of_the_score_along_the_image(engine: Engine, digits: Path):
    x = rng.random((1, 1, 40, 40)).astype(np.float32)
    ((_, heatmap),) = ask(engine, stored(engine.store, digits), x, "gradient-x-input", [4])
    moved = np.concatenate([x * np.float32(1 + 1e-3), x * np.float32(1 - 1e-3)])
    (scores,) = plain.values(digits.read_bytes(), ["logits"], {"input": moved})
    above, below = scores[:, 4]
    assert np.isclose(heatmap.sum(), (above - below) / 2e-3, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("method", ["guided-backprop", "deconvnet"])
def test_modified_rules_give_maps_of_their_own(engine: Engine, digits: Path, method: str):
    x = rng.random((1, 1, 40, 40)).astype(np.float32)
    digest = stored(engine.store, digits)
    ((_, plain_map),), ((_, heatmap),) = (ask(engine, digest, x, name, [4]) for name in ("saliency", method))
    assert heatmap.shape == plain_map.shape == (40, 40)
    assert not np.allclose(heatmap, plain_map, rtol=0.1)


def test_a_layer_is_refused_where_the_image_is_looked_at(engine: Engine, digits: Path):
    x = rng.random((1, 1, 40, 40)).astype(np.float32)
    with pytest.raises(BadQuestion, match=r"^saliency looks at the image, not at a layer: leave out"):
        ask(engine, stored(engine.store, digits), x, "saliency", layer="/4/4.2/Relu_output_0")


@pytest.mark.parametrize("method", ["saliency", "lrp", "deep-lift", "full-grad", "le-grad", "attention-rollout"])
def test_the_map_of_a_file_with_its_method_built_in_is_the_one_served(engine: Engine, shared: Path, method: str):
    file = shared / "models" / "digits40-vit-tiny.onnx"
    x, seed = rng.random((2, 1, 40, 40)).astype(np.float32), np.eye(10, dtype=np.float32)[[3, 3]]
    model = OpenModel(onnx.load(file), Runtime("cpu", 2))
    made = model.explained(method, "", bind(method, {}))
    assert [i.name for i in made.graph.input] == ["input", "seed"]
    (alone,) = plain.values(made, ["heatmap"], {"input": x, "seed": seed})
    served = [heatmap for _, heatmap in ask(engine, stored(engine.store, file), x, method, [3])]
    assert np.allclose(alone, served, rtol=1e-4, atol=1e-5 * abs(alone).max())
