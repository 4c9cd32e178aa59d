"""LeGrad and attention rollout: against a transformer in numpy and its finite differences, and on real models."""

import math
from pathlib import Path

import numpy as np
import onnx
import pytest

import plain
from backlit_proto.errors import BadQuestion, NotExplainable
from backlit_server.engine.engine import Engine
from backlit_server.graph import examine, transformer, with_outputs
from bare import ask, stored
from real_models import anatomy_of, model_of
from transformers import registers, windows

rng = np.random.default_rng(29)
STEP = 1e-5


class Numpy:
    """The two blocks of the transformer with registers, in double precision, from the tokens before them."""

    def __init__(self, net: onnx.ModelProto):
        self.weights = {t.name: onnx.numpy_helper.to_array(t).astype(np.float64) for t in net.graph.initializer}

    def attention(self, tokens: np.ndarray) -> np.ndarray:
        n, w = normal(tokens), self.weights
        return softmax((n @ w["wq"]) @ (n @ w["wk"]).T)

    def block(self, tokens: np.ndarray, attention: np.ndarray) -> np.ndarray:
        w = self.weights
        r = tokens + attention @ (normal(tokens) @ w["wv"])
        return r + gelu(normal(r) @ w["wh"]) @ w["wf"]

    def scores(self, tokens: np.ndarray) -> np.ndarray:
        return normal(tokens)[0] @ self.weights["wy"]


def normal(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def gelu(x: np.ndarray) -> np.ndarray:
    erf = np.vectorize(math.erf)
    return x * (1 + erf(x / np.sqrt(2))) / 2


@pytest.fixture(scope="module")
def small() -> tuple[onnx.ModelProto, np.ndarray, np.ndarray]:
    """The model, two images, and the tokens before the blocks."""
    net = registers()
    x = rng.random((2, 3, 12, 16)).astype(np.float32)
    (tokens,) = plain.values(with_outputs(net, ["f"]), ["f"], {"x": x})
    return net, x, tokens.astype(np.float64)


def served(engine: Engine, net: onnx.ModelProto, folder: Path, x: np.ndarray, method: str, targets: list[int]):
    file = folder / "net.onnx"
    file.write_bytes(net.SerializeToString())
    return ask(engine, stored(engine.store, file), x, method, targets)


def test_le_grad_is_the_positive_part_of_how_each_blocks_score_depends_on_its_attention(
    engine: Engine, tmp_path: Path, small: tuple[onnx.ModelProto, np.ndarray, np.ndarray]
):
    net, x, first = small
    model = Numpy(net)
    found = served(engine, net, tmp_path, x, "le-grad", [1, 4])
    for (explanation, heatmap), (image, target) in zip(found, [(0, 1), (0, 4), (1, 1), (1, 4)], strict=True):
        tokens, total = first[image], np.zeros(16)
        for _ in range(2):
            attention = model.attention(tokens)
            slope = np.zeros((16, 16))
            for place in np.ndindex(16, 16):
                ends = []
                for sign in (1, -1):
                    moved = attention.copy()
                    moved[place] += sign * STEP
                    ends.append(model.scores(model.block(tokens, moved))[target])
                slope[place] = (ends[0] - ends[1]) / (2 * STEP)
            total += slope.clip(0).mean(0) / 2
            tokens = model.block(tokens, attention)
        assert explanation.image == image
        assert np.allclose(heatmap.ravel(), total[3:15], rtol=1e-2, atol=1e-5)
        assert np.isclose(explanation.target.score, model.scores(tokens)[target], rtol=1e-3, atol=1e-4)


def test_rollout_is_the_product_of_attention_and_identity_seen_from_the_class_token(
    engine: Engine, tmp_path: Path, small: tuple[onnx.ModelProto, np.ndarray, np.ndarray]
):
    net, x, first = small
    model = Numpy(net)
    for image, (_, heatmap) in enumerate(served(engine, net, tmp_path, x, "attention-rollout", [2])):
        tokens, flow = first[image], np.eye(16)
        for _ in range(2):
            attention = model.attention(tokens)
            flow = (attention + np.eye(16)) / 2 @ flow
            tokens = model.block(tokens, attention)
        assert np.allclose(heatmap.ravel(), flow[0, 3:15], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", ["digits40-vit-tiny", "vit_tiny_patch16_224"])
def test_the_blocks_of_a_real_transformer_are_found(shared: Path, name: str):
    found = transformer(model_of(shared, name), anatomy_of(shared, name).scores.name, anatomy_of(shared, name).views)
    assert [block.attention for block in found.blocks] == [
        f"/blocks/blocks.{k}/attn/Softmax_output_0" for k in range(len(found.blocks))
    ]
    assert [block.stream for block in found.blocks] == [
        f"/blocks/blocks.{k}/Add_1_output_0" for k in range(len(found.blocks))
    ]
    assert found.first == "/Add_output_0"


def test_rollout_of_a_real_transformer_is_the_product_of_its_attention(engine: Engine, shared: Path):
    file = shared / "models" / "digits40-vit-tiny.onnx"
    x = rng.random((2, 1, 40, 40)).astype(np.float32)
    names = [f"/blocks/blocks.{k}/attn/Softmax_output_0" for k in range(4)]
    found = plain.values(with_outputs(model_of(shared, "digits40-vit-tiny"), names), names, {"input": x})
    flow = np.eye(65)
    for attention in found:
        flow = (attention.mean(1) + np.eye(65)) / 2 @ flow
    maps = [heatmap for _, heatmap in ask(engine, stored(engine.store, file), x, "attention-rollout")]
    assert np.allclose(maps, flow[:, 0, 1:].reshape(-1, 8, 8), rtol=1e-3)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("efficientnet-lite0", "has no attention"),
        ("mobilevit_xxs", "part of a mixed network"),
        ("edgenext_xx_small", "part of a mixed network"),
    ],
)
def test_what_is_no_transformer_is_told_why_not(shared: Path, name: str, says: str):
    with pytest.raises(NotExplainable, match=says):
        transformer(model_of(shared, name), anatomy_of(shared, name).scores.name, anatomy_of(shared, name).views)


def test_attention_within_windows_is_not_taken_for_that_of_all():
    net = windows()
    found = examine(net)
    with pytest.raises(NotExplainable, match="within windows"):
        transformer(net, found.scores.name, found.views)


def test_no_layer_is_chosen_where_all_blocks_are_looked_at(engine: Engine, shared: Path):
    digest = stored(engine.store, shared / "models" / "digits40-vit-tiny.onnx")
    with pytest.raises(BadQuestion, match="attention of all blocks"):
        ask(engine, digest, rng.random((1, 1, 40, 40)).astype(np.float32), "le-grad", layer="/Add_output_0")
