"""Where tokens are: every map of a transformer puts what belongs to a patch where the patch is."""

from pathlib import Path

import numpy as np
import onnx
import pytest

import plain
from backlit_proto import backlit_pb2 as pb
from backlit_server.admission.card import card_of
from backlit_server.engine.engine import Engine
from backlit_server.engine.models import OpenModel
from backlit_server.engine.runtime import Runtime
from backlit_server.graph import differentiate, examine, with_outputs
from backlit_server.graph.reading.mattering import mattering
from backlit_server.graph.reading.sized import sized
from backlit_server.graph.reading.wiring import wiring
from bare import ask, stored
from real_models import anatomy_of, model_of
from transformers import registers, windows

MODELS = {"registers": registers(), "windows": windows()}
FOUND = {name: examine(model) for name, model in MODELS.items()}


# Tensors in which every patch is still alone, and those of windows that attend within.
ALONE = {
    "registers": ("d", "e", "f", "b0n", "b0q", "b0t"),
    "windows": ("a", "b", "c", "n", "d", "e", "f", "g", "h", "w", "q", "t", "u", "res"),
}
ATTENDED = ("o", "i", "j", "l", "m", "r", "back")


@pytest.mark.parametrize(("name", "tensor"), [(name, tensor) for name in ALONE for tensor in ALONE[name]])
def test_a_brightened_patch_shows_at_its_place_alone(name: str, tensor: str) -> None:
    rows, columns = FOUND[name].view_of(tensor).size
    for row, column in ((0, 0), (1, columns - 1), (rows - 1, 2)):
        changed = brightened(name, tensor, row, column)
        if tensor in ("u", "res"):
            assert changed[row, column]
            assert changed.sum() == 16
        else:
            assert np.argwhere(changed).tolist() == [[row, column]]


@pytest.mark.parametrize("tensor", ATTENDED)
@pytest.mark.parametrize(("row", "column"), [(0, 0), (1, 7), (3, 4), (7, 2)])
def test_inside_rolled_windows_it_shows_in_its_window(tensor: str, row: int, column: int) -> None:
    """Windows are four by four on a grid rolled by two: they wrap around the edges."""
    window = [(np.arange(8) - 2) % 8 // 4 == (place - 2) % 8 // 4 for place in (row, column)]
    np.testing.assert_array_equal(brightened("windows", tensor, row, column), np.outer(*window))


@pytest.mark.parametrize("tensor", ["cat", "row", "ln", "red", "z"])
def test_merged_patches_are_the_places_from_there_on(tensor: str) -> None:
    assert FOUND["windows"].view_of(tensor).size == (4, 4)
    changed = brightened("windows", tensor, 2, 3)
    assert changed[1, 1]
    assert changed.sum() == 4  # a window of four by four is two by two of them


def brightened(name: str, tensor: str, row: int, column: int) -> np.ndarray:
    """Where the map of a tensor changes when one patch of the picture does."""
    model, view = MODELS[name], FOUND[name].view_of(tensor)
    _, _, height, width = FOUND[name].inputs[0].shape
    grid = (8, 8) if name == "windows" else view.size
    down, across = height // grid[0], width // grid[1]
    x = np.random.default_rng(1).standard_normal((3, 3, height, width)).astype(np.float32)
    x[1] = x[0]
    x[1, :, row * down : (row + 1) * down, column * across : (column + 1) * across] += 1
    (features,) = plain.values(with_outputs(model, [tensor]), [tensor], {"x": x})
    maps = view.maps(features)
    assert maps.shape == (3, view.channels(features.shape), *view.size)
    return (np.abs(maps[1] - maps[0]) > 1e-6).any(0)


def test_tokens_at_no_place_are_counted() -> None:
    view = FOUND["registers"].view_of("b1y")
    assert (view.axes, view.size, view.others, view.tokens) == ("NTC", (3, 4), 4, tuple(range(3, 15)))


def test_where_only_the_class_token_is_read_the_default_layer_moves_up_and_says_why() -> None:
    found = FOUND["registers"]
    assert found.default_layer == "b1n"  # what the attention of the last block reads
    assert "3x4 tokens and 4 at no place, 8 channels, after LayerNormalization" in found.default_layer_reason
    assert "'z' are blank" in found.default_layer_reason


def test_where_all_tokens_are_pooled_it_stays_and_the_head_is_linear() -> None:
    found = FOUND["windows"]
    assert (found.default_layer, found.head.kind) == ("z", "pooling + linear")


@pytest.mark.parametrize("tensor", ["/blocks/blocks.2/Add_1_output_0", "/blocks/blocks.3/attn/qkv/Add_output_0",
    "/blocks/blocks.3/attn/Softmax_output_0", "/blocks/blocks.3/attn/Squeeze_output_0", "/blocks/blocks.3/Add_output_0",
    "/norm/LayerNormalization_output_0"])  # fmt: skip
def test_what_cannot_matter_has_no_gradient_and_all_else_has(shared: Path, tensor: str) -> None:
    model = model_of(shared, "digits40-vit-tiny")
    x = np.random.default_rng(2).standard_normal((2, 1, 40, 40)).astype(np.float32)
    seed = np.random.default_rng(3).standard_normal((2, 10)).astype(np.float32)
    feeds = {"input": x, "grad/logits": seed}
    (gradient,) = plain.values(differentiate(model, ["logits"], [tensor]), [f"grad/{tensor}"], feeds)
    np.testing.assert_array_equal(gradient != 0, mattering(sized(model, wiring(model)), tensor, "logits"))


def test_the_card_tells_the_grid_of_tokens_and_which_methods_suit_a_class_token() -> None:
    opened = {name: OpenModel(model, Runtime("cpu", 2)) for name, model in MODELS.items()}
    cards = {name: card_of(MODELS[name], model, None, pb.SelfCheck()) for name, model in opened.items()}
    told = {layer.name: (layer.axes, layer.height, layer.width) for layer in cards["registers"].layers}
    assert told["b1n"] == ("NTC", 3, 4)
    assert told["d"] == ("NTC", 3, 4)
    assert [bool(cards[name].notes) for name in ("registers", "windows")] == [True, False]
    refused = {method.method for method in cards["windows"].methods if not method.available}
    assert refused == {"le-grad", "attention-rollout", "d-rise"}, "attention within windows, and no boxes"


@pytest.fixture(scope="module")
def swin(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("models") / "windows.onnx"
    onnx.save(MODELS["windows"], file)
    return stored(engine.store, file)


def test_class_activation_maps_of_tokens_are_the_closed_form(engine: Engine, swin: str) -> None:
    x = np.random.default_rng(4).standard_normal((2, 3, 16, 16)).astype(np.float32)
    (features,) = plain.values(with_outputs(MODELS["windows"], ["z"]), ["z"], {"x": x})
    weights = next(onnx.numpy_helper.to_array(t) for t in MODELS["windows"].graph.initializer if t.name == "wy")
    expected = [(tokens @ weights[:, target]).reshape(4, 4) for tokens in features for target in (1, 3)]
    for method, scale in (("cam", 1), ("grad-cam", 16), ("hires-cam", 16)):
        maps = [heatmap * scale for _, heatmap in ask(engine, swin, x, method, [1, 3])]
        np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layer", ["w", "o", "n", "p"])
def test_images_in_one_axis_with_windows_are_each_alone(engine: Engine, swin: str, layer: str) -> None:
    x = np.random.default_rng(5).standard_normal((2, 3, 16, 16)).astype(np.float32)
    for method in ("grad-cam", "layer-cam", "feature-maps"):
        targets = [0, 4] if method != "feature-maps" else [0]
        together = ask(engine, swin, x, method, targets, layer)
        alone = [
            pair
            for image in x
            for target in targets
            for pair in ask(engine, swin, image[None], method, [target], layer)
        ]
        for (_, ours), (_, theirs) in zip(together, alone, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def unfolded(tokens: np.ndarray) -> np.ndarray:
    """MobileViT's tokens, (two by two pixels of a patch, patches of 16x16): the picture of 32x32 that they are."""
    return tokens.reshape(2, 2, 16, 16).transpose(2, 0, 3, 1).reshape(32, 32)


# How people write the maps of these layers down.
BY_HAND = {
    ("digits40-vit-tiny", ""): lambda product: product[0, 1:].sum(-1).reshape(8, 8),
    ("vit_tiny_patch16_224", ""): lambda product: product[0, 1:].sum(-1).reshape(14, 14),
    ("edgenext_xx_small", "/stages/stages.3/blocks/blocks.1/norm_xca/LayerNormalization_output_0"): (
        lambda product: product[0].sum(-1).reshape(8, 8)
    ),
    ("edgenext_xx_small", "/stages/stages.3/blocks/blocks.1/norm/LayerNormalization_output_0"): (
        lambda product: product[0].sum(-1)
    ),
    ("mobilevit_xxs", "/stages/stages.2/stages.2.1/transformer/transformer.0/Add_output_0"): (
        lambda product: unfolded(product.sum(-1))
    ),
}


@pytest.mark.parametrize(("name", "layer"), BY_HAND)
def test_maps_of_real_transformers_are_those_made_by_hand(shared: Path, engine: Engine, name: str, layer: str) -> None:
    """HiResCAM, features times the gradient that the whole network has there."""
    model, found = model_of(shared, name), anatomy_of(shared, name)
    at, scores, image = layer or found.default_layer, found.scores.name, found.inputs[0]
    x = np.random.default_rng(6).standard_normal((1, *image.shape[1:])).astype(np.float32)
    whole = with_outputs(differentiate(model, [scores], [at]), [at])
    (forward,) = plain.values(model, [scores], {image.name: x})
    feeds = {image.name: x, f"grad/{scores}": np.eye(1, forward.shape[1], 3, dtype=np.float32)}
    features, gradient = plain.values(whole, [at, f"grad/{at}"], feeds)
    expected = BY_HAND[name, layer](features * gradient)
    digest = stored(engine.store, shared / "models" / f"{name}.onnx")
    ((_, heatmap),) = ask(engine, digest, x, "hires-cam", [3], layer)
    np.testing.assert_allclose(heatmap, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
