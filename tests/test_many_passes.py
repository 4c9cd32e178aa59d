"""Methods of many passes in the engine: each kind of ask on real models, against plain ONNX Runtime."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from backlit_proto.errors import BadQuestion, NotExplainable
from backlit_server.engine.engine import Engine
from backlit_server.methods import METHODS
from backlit_server.methods.asking import (
    Array,
    Features,
    Gradients,
    HeadGradients,
    HeadScores,
    LayerGradients,
    Outcome,
    Scores,
    Steps,
)
from backlit_server.methods.method import IMAGE, Method
from bare import ask, responses, stored, values

rng = np.random.default_rng(23)
SHAPES = {
    "digits40-cnn-gap": (1, 40, 40),
    "digits40-vit-tiny": (1, 40, 40),  # a class token beside the tokens that are places
    "vww96-mnv1-nhwc": (96, 96, 3),  # channels last
    "mnist-dianna": (1, 28, 28),
    "ultraface-rfb320": (3, 240, 320),  # several tensors cross the cut, and rows do not tile
}
FILES = pytest.mark.parametrize("name", SHAPES)


@pytest.fixture
def served(shared: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest):
    """Asks a method that is made up for the test: what it was answered is what it says."""

    def run(name: str, formula, x: np.ndarray, targets=(1,), at: str = "layer", asks: tuple = ()) -> list:
        method = request.node.name  # what a question's words say is remembered
        monkeypatch.setitem(METHODS, method, Method(formula, at=at, asks=asks))
        return ask(engine, stored(engine.store, shared / "models" / f"{name}.onnx"), x, method, list(targets))

    return run


def picture(name: str, count: int = 1) -> np.ndarray:
    return rng.random((count, *SHAPES[name])).astype(np.float32)


def maps(found: Array) -> Array:
    """Anything as heatmaps of one target, so that it comes back as it is."""
    return found.reshape(1, 1, -1)


@FILES
def test_scores_of_images_are_those_of_the_file(served, shared: Path, name: str):
    def formula(image: Array, scores: Array, seeds: Array) -> Steps:
        dimmed = np.concatenate([image, 0.5 * image, image[:, :, ::-1] * 0.1])
        found = yield Scores(dimmed.astype(image.dtype))
        return Outcome(maps(np.concatenate([scores, found])))

    x = picture(name)
    ((about, found),) = served(name, formula, x, at=IMAGE, asks=(Scores,))
    rows = 1 if x.shape[-1] == 3 else 2
    flipped = x[:, ::-1] if rows == 1 else x[:, :, ::-1]
    file = shared / "models" / f"{name}.onnx"
    expected = [
        scores_of(file, about.target.scores, one) for one in (x, x, x * np.float32(0.5), flipped * np.float32(0.1))
    ]
    assert np.allclose(found.ravel(), np.concatenate(expected).ravel(), rtol=1e-3, atol=1e-4)


def scores_of(file: Path, scores: str, x: np.ndarray) -> np.ndarray:
    return values(file, [scores], {onnx.load(file).graph.input[0].name: x})[0]


@FILES
def test_the_head_makes_of_the_features_what_the_model_made_of_the_image(served, name: str):
    """What stands at no place, such as a class token, and what leads past the layer, stay those of the image."""

    def formula(features: Array, scores: Array, seeds: Array) -> Steps:
        found = yield HeadScores(np.repeat(features, 3, 0))
        return Outcome(maps(found - scores))

    ((_, found),) = served(name, formula, picture(name), asks=(HeadScores,))
    assert np.abs(found).max() < 1e-4


@FILES
def test_features_of_an_image_are_those_at_the_layer(served, name: str):
    def formula(image: Array, features: Array, seeds: Array) -> Steps:
        found = yield Features(np.concatenate([image, image]))
        return Outcome(maps(found - features))

    ((_, found),) = served(name, formula, picture(name), asks=(Features,))
    assert np.abs(found).max() < 1e-4


@pytest.mark.parametrize("name", ["digits40-cnn-gap", "vww96-mnv1-nhwc", "mnist-dianna", "digits40-vit-tiny"])
def test_gradients_at_the_layer_are_the_same_whichever_way_they_are_asked(served, name: str):
    """Through the image and through the features; their slope is that of the scores (central differences)."""

    def formula(image: Array, features: Array, seeds: Array) -> Steps:
        through = yield LayerGradients(image, seeds)
        ours = yield HeadGradients(features, seeds)
        step = 1e-2 * (features - features.mean())
        ends = yield HeadScores(np.concatenate([features + step, features - step]).astype(features.dtype))
        slope = ((ends[0] - ends[1]) * seeds).reshape(len(seeds), -1).sum(1) / 2
        mine = (ours * step).reshape(len(seeds), -1).sum(1)
        return Outcome(np.stack([abs(through - ours).reshape(len(seeds), -1).max(1), mine, slope], 1)[:, None])

    found = served(name, formula, picture(name), targets=(0, 1), asks=(LayerGradients, HeadGradients, HeadScores))
    for _, ((difference, ours, slope),) in found:
        assert difference < 1e-5
        assert ours == pytest.approx(slope, rel=0.05, abs=1e-3)


def test_gradients_of_several_images_and_targets_are_those_of_each_alone(served):
    def formula(image: Array, seeds: Array) -> Steps:
        pair = np.concatenate([image, image[:, :, ::-1]])
        together = yield Gradients(pair, np.concatenate([seeds, seeds]))
        alone = np.empty_like(together)
        for row in range(4):
            alone[row : row + 1] = yield Gradients(pair[row // 2][None], seeds[row % 2][None])
        return Outcome(np.concatenate([together, alone]).reshape(2, 1, -1))

    pairs = served(
        "digits40-cnn-gap", formula, picture("digits40-cnn-gap"), targets=(2, 5), at=IMAGE, asks=(Gradients,)
    )
    (_, together), (_, alone) = pairs
    assert np.abs(together).max() > 0.01
    assert np.allclose(together, alone, atol=1e-6)


PASSES = {  # on two targets of the second of two images: forward, backward, head
    "grad-cam": (1, 0, 2),
    "feature-maps": (1, 0, 0),
    "saliency": (3, 2, 0),
    "recipro-cam": (1, 0, 100),
    "random-cam": (1, 0, 0),
    "integrated-gradients": (1 + 2 * 6 + 1, 2 * 6, 0),
    "rise": (1 + 20, 0, 0),
    "smooth-grad-cam++": (1 + 4, 0, 8),
}
SMALL: dict[str, dict[str, Any]] = {
    "integrated-gradients": {"steps": 6},
    "rise": {"masks": 20},
    "smooth-grad-cam++": {"samples": 4},
}


@pytest.mark.parametrize("method", PASSES)
def test_every_pass_is_counted(shared: Path, engine: Engine, method: str):
    digest = stored(engine.store, shared / "models" / "digits40-cnn-gap.onnx")
    x = picture("digits40-cnn-gap", 2)
    *_, (last, _) = responses(engine, digest, x, method, [2, 5], **SMALL.get(method, {}))
    made = last.provenance
    assert (made.forward_passes, made.backward_passes, made.head_passes) == PASSES[method]
    assert {e.image for e in last.explanations} <= {0, 1}


def test_methods_that_change_the_image_need_one_image(shared: Path, engine: Engine):
    digest = stored(engine.store, shared / "models" / "silero-vad.onnx")
    audio = {"input": np.zeros((1, 512), np.float32), "state": np.zeros((2, 1, 128), np.float32)}
    with pytest.raises(NotExplainable, match="not one image"):
        ask(engine, digest, audio | {"sr": np.array(16000)}, "rise")


def test_a_method_at_the_image_takes_no_layer(shared: Path, engine: Engine):
    digest = stored(engine.store, shared / "models" / "digits40-cnn-gap.onnx")
    with pytest.raises(BadQuestion, match="rise looks at the image"):
        ask(engine, digest, picture("digits40-cnn-gap"), "rise", layer="layer")
