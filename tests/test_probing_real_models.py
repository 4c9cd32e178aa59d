"""Methods that probe a model, on real ones, against loops in plain ONNX Runtime over the file itself."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.utils import Extractor
from skimage.transform import resize

import plain
from backlit_proto.errors import NotExplainable
from backlit_server.engine.engine import Engine
from bare import ask, stored, values


@dataclass(frozen=True)
class Case:
    """`tokens`: the layer has a class token, then one a place; else its axes are NCHW. `last`: the input's are NHWC."""

    file: str
    input: str
    shape: tuple[int, ...]
    layer: str
    scores: str
    tokens: bool = False
    last: bool = False


DENSE = Case("mnist-dianna", "input", (1, 28, 28), "14", "24")
NHWC = Case("vww96-mnv1-nhwc", "input_1", (96, 96, 3), "Relu__83:0", "Add__87:0", last=True)
POOLED = Case("efficientnet-lite0", "input", (3, 224, 224), "/_swish_1/Clip_output_0", "logits")
TOKENS = Case(
    "digits40-vit-tiny", "input", (1, 40, 40), "/blocks/blocks.3/norm1/LayerNormalization_output_0", "logits", True
)


@dataclass(frozen=True, eq=False)
class Asked:
    """A model and an image, its features as the file has them, its scores, and the two best classes."""

    case: Case
    file: Path
    x: np.ndarray
    features: np.ndarray
    logits: np.ndarray
    best: list[int]

    @property
    def maps(self) -> np.ndarray:
        """The features as (channels, height, width)."""
        if not self.case.tokens:
            return self.features[0]
        side = round((self.features.shape[1] - 1) ** 0.5)
        return self.features[0, 1:].T.reshape(-1, side, side)

    def heatmaps(self, engine: Engine, method: str, **parameters) -> np.ndarray:
        answers = ask(engine, stored(engine.store, self.file), self.x, method, self.best, **parameters)
        assert {answer.layer for answer, _ in answers} == {self.case.layer}
        return np.stack([heatmap for _, heatmap in answers])

    def changed(self, features: Iterator[np.ndarray]) -> np.ndarray:
        """The scores of the best classes when the layer's values are others, one change at a time."""
        ends = [self.case.input, self.case.layer]
        whole = onnx.shape_inference.infer_shapes(onnx.load(self.file))
        session = plain.session(Extractor(whole).extract_model(ends, [self.case.scores]))
        known = {i.name for i in session.get_inputs()}
        feeds = ({self.case.input: self.x, self.case.layer: one} for one in features)
        runs = [np.asarray(session.run(None, {n: a for n, a in feed.items() if n in known})[0]) for feed in feeds]
        return np.concatenate(runs)[:, self.best]


@pytest.fixture
def asked(request, shared: Path) -> Asked:
    case: Case = request.param
    file = shared / "models" / f"{case.file}.onnx"
    x = np.random.default_rng(4).normal(size=(1, *case.shape)).astype(np.float32)
    features, logits = values(file, [case.layer, case.scores], {case.input: x})
    return Asked(case, file, x, features, logits, np.argsort(-logits[0])[:2].tolist())


def of(*cases: Case) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("asked", cases, ids=lambda case: case.file, indirect=True)


@of(DENSE, TOKENS, NHWC)
def test_ablation_cam_is_what_the_score_loses_map_by_map(asked: Asked, engine: Engine):
    def ablated() -> Iterator[np.ndarray]:
        for k in range(len(asked.maps)):
            features = asked.features.copy()
            if asked.case.tokens:
                features[:, 1:, k] = 0  # the class token is at no place and stays
            else:
                features[:, k] = 0
            yield features

    whole = asked.logits[:, asked.best]
    weights = (whole - asked.changed(ablated())) / whole
    expected = np.einsum("kt,khw->thw", weights, asked.maps)
    assert np.allclose(asked.heatmaps(engine, "ablation-cam"), expected, atol=1e-3 * abs(expected).max())


@of(DENSE, TOKENS, NHWC)
def test_recipro_cam_is_the_score_of_one_place_at_a_time(asked: Asked, engine: Engine):
    places = asked.maps[0].size

    def alone() -> Iterator[np.ndarray]:
        for place in range(places):
            kept = np.zeros_like(asked.features)
            if asked.case.tokens:
                kept[:, [0, 1 + place]] = 1  # the class token is kept
            else:
                kept.reshape(1, -1, places)[:, :, place] = 1
            yield asked.features * kept

    expected = asked.changed(alone()).T.reshape(2, *asked.maps.shape[1:])
    assert np.allclose(asked.heatmaps(engine, "recipro-cam"), expected, atol=1e-4 * abs(expected).max())


def varying(asked: Asked, most: int) -> np.ndarray:
    """The maps that vary most, none of them constant."""
    spread = asked.maps.std((1, 2))
    return np.sort([k for k in np.argsort(-spread)[:most] if spread[k] > 0])


def behind(asked: Asked, k: int) -> np.ndarray:
    """The image behind a map, enlarged by scikit-image."""
    size = asked.x.shape[1:3] if asked.case.last else asked.x.shape[2:]
    mask = np.asarray(resize(asked.maps[k], size, order=1, mode="edge", anti_aliasing=False))
    mask = (mask - mask.min()) / (mask.max() - mask.min())
    return asked.x * (mask[:, :, None] if asked.case.last else mask)


def probabilities(asked: Asked, image: np.ndarray) -> np.ndarray:
    (logits,) = values(asked.file, [asked.case.scores], {asked.case.input: image.astype(np.float32)})
    raised = np.exp(logits - logits.max())
    return (raised / raised.sum())[0, asked.best]


@of(DENSE, TOKENS, NHWC, POOLED)
def test_score_cam_is_a_loop_over_the_maps(asked: Asked, engine: Engine):
    chosen = varying(asked, 12)
    weights = [probabilities(asked, behind(asked, k)) for k in chosen]
    expected = np.einsum("kt,khw->thw", weights, asked.maps[chosen])
    assert np.allclose(asked.heatmaps(engine, "score-cam", most=12), expected, atol=1e-3 * abs(expected).max())


@of(DENSE)
def test_is_cam_lets_the_masks_fade_in(asked: Asked, engine: Engine):
    chosen = varying(asked, 3)
    likely = [[probabilities(asked, behind(asked, k) * i / 5) for i in range(1, 6)] for k in chosen]
    expected = np.einsum("kt,khw->thw", np.mean(likely, 1), asked.maps[chosen])
    found = asked.heatmaps(engine, "score-cam", most=3, steps=5)
    assert np.allclose(found, expected, atol=1e-3 * abs(expected).max())


@of(TOKENS)
def test_a_random_map_has_nothing_to_do_with_the_class(asked: Asked, engine: Engine):
    one, same = (asked.heatmaps(engine, "random-cam", seed=3) for _ in range(2))
    assert np.array_equal(one, same)
    assert abs(np.corrcoef(one.reshape(2, -1))[0, 1]) < 0.9


@pytest.mark.parametrize("name", ["catsordogs-nhwc", "ultraface-rfb320"])
def test_finer_cam_needs_several_classes(name: str, shared: Path, engine: Engine):
    model = stored(engine.store, shared / "models" / f"{name}.onnx")
    x = np.zeros({"catsordogs-nhwc": (1, 256, 256, 1), "ultraface-rfb320": (1, 3, 240, 320)}[name], np.float32)
    with pytest.raises(NotExplainable, match="finer-cam compares classes"):
        ask(engine, model, x, "finer-cam")
