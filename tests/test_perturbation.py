"""Perturbation methods and averaged gradients of real models, against loops in plain ONNX Runtime."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from PIL import Image
from skimage import data

import plain
from backlit_proto.errors import BadQuestion, NotExplainable
from backlit_server.engine.engine import Engine
from backlit_server.methods import METHODS, bind
from backlit_server.methods.masks import random_masks
from backlit_server.methods.scaling import resize
from bare import ask, responses, stored, values

SHAPES = {"digits40-cnn-gap": (1, 40, 40), "vww96-mnv1-nhwc": (96, 96, 3)}
FILES = pytest.mark.parametrize("name", SHAPES)
FACE = "ultraface-rfb320"


@cache
def session(file: Path) -> onnxruntime.InferenceSession:
    return plain.session(file)


def run(file: Path, images: np.ndarray, output: int = 0) -> np.ndarray:
    """Image by image, as a naive loop would."""
    model = session(file)
    name = model.get_inputs()[0].name
    return np.concatenate([np.asarray(model.run(None, {name: one[None].astype(np.float32)})[output]) for one in images])


def picture(name: str) -> np.ndarray:
    smooth = np.random.default_rng(4).random((1, 8, 8, 3))
    image = np.asarray(Image.fromarray((smooth[0] * 255).astype(np.uint8)).resize((96, 96)), np.float32) / 255
    shape = SHAPES[name]
    return image[None] if shape[-1] == 3 else image[None, None, :40, :40, 0] * 2 - 1


def softmax(scores: np.ndarray) -> np.ndarray:
    raised = np.exp(scores - scores.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)


def probabilities(file: Path, images: np.ndarray) -> np.ndarray:
    """Of the digits, which end in scores, and of the other, which ends in probabilities."""
    found = run(file, images)
    return softmax(found) if file.stem.startswith("digits") else found


def masked(x: np.ndarray, masks: np.ndarray, fill: np.ndarray | float = 0.0) -> np.ndarray:
    masks = masks[..., None] if x.shape[-1] == 3 else masks[:, None]
    return x * masks + fill * (1 - masks)


def size_of(x: np.ndarray) -> tuple[int, int]:
    return x.shape[1:3] if x.shape[-1] == 3 else x.shape[2:]


@FILES
def test_rise_is_the_loop_over_its_masks(shared: Path, engine: Engine, name: str):
    file, x = shared / "models" / f"{name}.onnx", picture(name)
    found = ask(engine, stored(engine.store, file), x, "rise", [0, 1], masks=70, cells=5, keep=0.3, seed=6)
    masks = random_masks(np.random.default_rng(6), 70, 5, 0.3, size_of(x))
    likely = probabilities(file, masked(x, masks))
    for k, (about, heatmap) in enumerate(found):
        expected = sum(p * m for p, m in zip(likely[:, k], masks, strict=True)) / 70 / 0.3
        assert np.allclose(heatmap, expected, atol=1e-5)
        assert about.facts["standard error"] >= 0


@FILES
def test_sidu_is_the_loop_over_the_layers_maps(shared: Path, engine: Engine, name: str):
    file, x = shared / "models" / f"{name}.onnx", picture(name)
    digest = stored(engine.store, file)
    ((_, features),) = ask(engine, digest, x, "feature-maps")
    ((_, heatmap),) = ask(engine, digest, x, "sidu", [1], threshold=0.3)
    active = (features > 0.3).astype(np.float32)
    told = probabilities(file, masked(x, np.stack([resize(one, size_of(x)) for one in active])))
    whole, expected = probabilities(file, x)[0], np.zeros(active.shape[1:])
    for p, mask in zip(told, active, strict=True):
        unlike = sum(np.linalg.norm(p - q) for q in told)
        expected += np.exp(-(np.linalg.norm(p - whole) ** 2) / (2 * 0.25**2)) * unlike * mask
    assert np.allclose(heatmap, expected, rtol=1e-3, atol=1e-4 * expected.max())


@pytest.mark.parametrize("mirrored", [False, True])
@FILES
def test_occlusion_is_the_loop_over_its_patches(shared: Path, engine: Engine, name: str, mirrored: bool):
    """What is hidden may be filled with an array of the model's own layout, sent as a tensor."""
    file, x = shared / "models" / f"{name}.onnx", picture(name)
    digest, (height, width) = stored(engine.store, file), size_of(x)
    filling = x[:, ::-1, ::-1].copy() if mirrored else 0.0
    ((about, heatmap),) = ask(engine, digest, x, "occlusion", [1], patch=20, stride=10, fill=filling)

    def score(image: np.ndarray) -> float:
        name = session(file).get_inputs()[0].name
        return values(file, [about.target.scores], {name: image.astype(np.float32)})[0][0, 1]

    total, count = np.zeros((height, width)), np.zeros((height, width))
    for row in sorted({*range(0, height - 19, 10), height - 20}):
        for column in sorted({*range(0, width - 19, 10), width - 20}):
            mask = np.ones((1, height, width), np.float32)
            mask[0, row : row + 20, column : column + 20] = 0
            total += (1 - mask[0]) * (score(x) - score(masked(x, mask, filling)))
            count += 1 - mask[0]
    assert np.allclose(heatmap, total / count, atol=2e-4)


@pytest.mark.parametrize(
    ("name", "shape", "most"),
    [
        ("digits40-vit-tiny", (1, 40, 40), 1e-3),
        pytest.param("mobilevit_xxs", (3, 256, 256), 1e-3, marks=pytest.mark.slow),
        ("vww96-mnv1-nhwc", (96, 96, 3), 0.1),  # its rectifiers have kinks all along the line
    ],
)
def test_integrated_gradients_of_real_models_are_complete(
    shared: Path, engine: Engine, name: str, shape: tuple[int, ...], most: float
):
    """Of smooth models to a thousandth at 50 points, and the error that is told is that of the map and the scores."""
    file, x = shared / "models" / f"{name}.onnx", np.random.default_rng(1).random((1, *shape)).astype(np.float32)
    ((about, heatmap),) = ask(engine, stored(engine.store, file), x, "integrated-gradients", [1], baseline=0.25 * x)
    feed = session(file).get_inputs()[0].name
    ends = [values(file, [about.target.scores], {feed: one})[0][0, 1] for one in (x, np.float32(0.25) * x)]
    error = abs(heatmap.sum() - (ends[0] - ends[1])) / abs(ends[0] - ends[1])
    assert about.facts["completeness error"] == pytest.approx(error, abs=1e-4)
    assert error < most


def face() -> np.ndarray:
    """A photograph of an astronaut, as the detector takes it."""
    picture = Image.fromarray(data.astronaut()).resize((320, 240))
    return ((np.asarray(picture, np.float32) - 127) / 128).transpose(2, 0, 1)[None]


def test_d_rise_is_the_loop_over_its_masks(shared: Path, engine: Engine):
    file, x = shared / "models" / f"{FACE}.onnx", face()
    ((about, heatmap),) = ask(engine, stored(engine.store, file), x, "d-rise", ["top1"], masks=12, cells=8, seed=3)
    masks = random_masks(np.random.default_rng(3), 12, 8, 0.5, (240, 320))
    boxes, chances = run(file, x, 1)[0], run(file, x)[0, :, 1]
    wanted, expected = boxes[about.target.detection.anchor], np.zeros((240, 320))
    for mask in masks:
        found, likely = run(file, x * mask, 1)[0], run(file, x * mask)[0, :, 1]
        shared_sides = np.minimum(found[:, 2:], wanted[2:]) - np.maximum(found[:, :2], wanted[:2])
        common = np.maximum(shared_sides, 0).prod(1)
        areas = (found[:, 2:] - found[:, :2]).prod(1) + (wanted[2:] - wanted[:2]).prod() - common
        expected += (common / areas * likely).max() * mask / 12 / 0.5
    assert chances[about.target.detection.anchor] > 0.9
    assert np.allclose(heatmap, expected, atol=1e-4)


def test_what_finds_no_boxes_is_refused_by_d_rise(shared: Path, engine: Engine):
    digits = stored(engine.store, shared / "models" / "digits40-cnn-gap.onnx")
    with pytest.raises(NotExplainable, match="d-rise follows boxes, and this model finds none: use rise"):
        ask(engine, digits, picture("digits40-cnn-gap"), "d-rise")
    faces = stored(engine.store, shared / "models" / f"{FACE}.onnx")
    with pytest.raises(NotExplainable, match="d-rise follows boxes: ask for"):
        ask(engine, faces, face(), "d-rise", [np.ones((4420, 2), np.float32)])


@pytest.mark.parametrize("method", ["sise", "ada-sise"])
def test_sise_fuses_the_maps_of_three_blocks(shared: Path, engine: Engine, method: str):
    """What is bright in the end was bright in the last block; the passes are those of the masks and of the blocks."""
    digest, x = stored(engine.store, shared / "models" / "digits40-cnn-gap.onnx"), picture("digits40-cnn-gap")
    ((about, heatmap),) = ask(engine, digest, x, method)
    assert heatmap.shape == (40, 40)
    assert 0 <= heatmap.min() < 0.1
    assert 1 < heatmap.max() <= 3
    assert about.layer


@pytest.mark.parametrize(
    ("method", "parameters", "said"),
    [
        ("rise", {"masks": 0}, "masks must be a whole number from 1 to 1,000,000,000, not 0"),
        ("rise", {"keep": 1.5}, r"keep must be a number from 0\.01 to 1, not 1\.5"),
        ("rise", {"cells": 1}, "cells must be a whole number from 2 to 64, not 1"),
        ("d-rise", {"tolerance": -1}, "tolerance must be a number from 0 to 1, not -1"),
        ("kernel-shap", {"segments": 1}, "segments must be a whole number from 2 to 500, not 1"),
        ("lime", {"samples": 10**6}, "samples must be a whole number from 2 to 100,000, not 1000000"),
        ("integrated-gradients", {"steps": 1001}, "steps must be a whole number from 1 to 1,000, not 1001"),
        ("integrated-gradients", {"baseline": "black"}, "baseline must be a number, or an array"),
        ("integrated-gradients", {"baseline": [[float("nan")]]}, "baseline must be a number, or an array"),
        ("smooth-grad", {"noise": -0.1}, "noise must be a number from 0 to 10"),
        ("rise", {"steps": np.zeros((3, 3))}, "rise has no parameter 'steps'"),
        ("rise", {"masks": np.zeros((3, 3))}, "masks must be a whole number"),
    ],
)
def test_parameters_out_of_range_are_refused_with_the_range(method: str, parameters: dict, said: str):
    with pytest.raises(BadQuestion, match=said):
        bind(method, parameters)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("method", ["integrated-gradients", "expected-gradients"])
def test_a_baseline_of_another_shape_than_the_input_is_refused(shared: Path, engine: Engine, name: str, method: str):
    digest = stored(engine.store, shared / "models" / f"{name}.onnx")
    parameter = {"integrated-gradients": "baseline", "expected-gradients": "baselines"}[method]
    given: dict[str, Any] = {parameter: np.zeros((7, 7, 7), np.float32)}
    with pytest.raises(BadQuestion, match=rf"{parameter} has the shape of the input.*\(7, 7, 7\)"):
        ask(engine, digest, picture(name), method, [1], **given)


def test_an_array_among_the_parameters_is_told_by_its_digest(shared: Path, engine: Engine):
    digest, x = stored(engine.store, shared / "models" / "digits40-cnn-gap.onnx"), picture("digits40-cnn-gap")
    ((answer, _),) = responses(engine, digest, x, "integrated-gradients", [1], steps=2, baseline=np.zeros_like(x))
    assert str(answer.provenance.parameters["baseline"]).startswith("float32 [1, 1, 40, 40], SHA-256 ")


def test_every_random_method_tells_its_seed():
    random = [name for name, row in METHODS.items() if any(p.name == "seed" for p in row.parameters)]
    assert {"rise", "d-rise", "kernel-shap", "lime", "expected-gradients", "smooth-grad", "var-grad"} <= set(random)
    assert all(bind(name, {})["seed"] == 0 for name in random)
